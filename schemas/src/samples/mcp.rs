//! Samples of what passes to and from an MCP server, and of what became of its tools' definitions.

use super::{Named, agent, delegated, outside, person, sha256, texts, uuid};
use crate::*;

const SERVER: &str = "github";
const TOOL: &str = "search_issues";
const ARGUMENTS: &str =
    r#"{"arguments":{"query":"is:open","repo":"acme/x"},"name":"search_issues"}"#;

pub(super) fn bodies() -> Vec<Named> {
    let body = |command| Body::Command(Box::new(command));
    let refused = Command { disposition: Disposition::Refused, read_only: false, ..call() };
    let mut all = vec![
        ("command.forwarded.call", calling(delegated()), body(call())),
        ("command.refused.call", calling(delegated()), body(refused)),
    ];
    for (name, phase) in [
        ("command.forwarded.read", Phase::Read),
        ("command.forwarded.prompt", Phase::Prompt),
        ("command.forwarded.complete", Phase::Complete),
        ("command.forwarded.answer", Phase::Answer),
    ] {
        let read_only = phase != Phase::Answer;
        all.push((name, at_server(delegated()), body(bare(phase, read_only))));
    }
    all.extend(responses());
    all.extend(definitions());
    // A tool of ours asks a database: its session says for which call.
    let inner = Session::Opened {
        expires_at: None,
        application: Some("tallyport-mcp/query".into()),
        parameters: std::collections::BTreeMap::new(),
    };
    let context = Context { call: calling(delegated()).call, ..delegated() };
    all.push(("session.opened.for_call", context, Body::Session(inner)));
    all
}

/// The same principal at an MCP server.
fn at_server(context: Context) -> Context {
    let target = TargetRef { name: SERVER.into(), kind: TargetKind::Mcp, database: None };
    Context { target: Some(target), ..context }
}

fn calling(context: Context) -> Context {
    let call = CallRef { call_id: call_id(), server: SERVER.into(), tool: TOOL.into() };
    Context { call: Some(call), ..at_server(context) }
}

const fn call_id() -> CommandId {
    CommandId::from_uuid(uuid(0xca))
}

fn call() -> Command {
    Command {
        statement: Some(ARGUMENTS.into()),
        statement_sha256: Some(sha256(ARGUMENTS)),
        functions: vec![format!("{SERVER}/{TOOL}")],
        definition_sha256: Some(sha256("definition")),
        ..bare(Phase::Call, true)
    }
}

fn bare(phase: Phase, read_only: bool) -> Command {
    Command {
        command_id: call_id(),
        phase,
        disposition: Disposition::Forwarded,
        statement: None,
        statement_sha256: None,
        fingerprint: None,
        kinds: Vec::new(),
        tables: Vec::new(),
        columns: Vec::new(),
        functions: Vec::new(),
        labels: Vec::new(),
        read_only,
        opaque: !read_only,
        parameters: Vec::new(),
        prepared: None,
        portal: None,
        wire_bytes: 128,
        wire_sha256: sha256("request"),
        content: None,
        chunk: None,
        definition_sha256: None,
    }
}

fn responses() -> Vec<Named> {
    let finding =
        |action, detector: &str, count| Finding { detector: detector.into(), action, count };
    let masked = ResponseSummary {
        command_id: call_id(),
        status: ResponseStatus::Ok,
        tag: None,
        sqlstate: None,
        rows: 0,
        bytes: 2_048,
        sha256: sha256("answer"),
        columns: Vec::new(),
        masked_values: 4,
        recording: Recording::Full,
        chunks: 1,
        wire_bytes: 2_048,
        wire_sha256: sha256("answer"),
        content: None,
        duration_us: 182_400,
        findings: vec![
            finding(FindingAction::Mask, "email", 3),
            finding(FindingAction::Alert, "phone", 1),
        ],
    };
    let withheld = ResponseSummary {
        status: ResponseStatus::Error,
        masked_values: 0,
        findings: vec![finding(FindingAction::Deny, "aws-access-key", 1)],
        ..masked.clone()
    };
    let chunk = Response::Chunk {
        command_id: Some(call_id()),
        chunk: 0,
        rows: 0,
        wire_bytes: 2_048,
        wire_sha256: sha256("answer"),
        content: None,
    };
    let progress = Response::Unsolicited {
        kinds: texts(&["notifications/progress"]),
        wire_bytes: 96,
        wire_sha256: sha256("progress"),
        content: None,
        findings: Vec::new(),
    };
    let body = |response| Body::Response(Box::new(response));
    vec![
        ("response.chunk.call", calling(delegated()), body(chunk)),
        ("response.completed.call", calling(delegated()), body(Response::Completed(masked))),
        ("response.completed.withheld", calling(delegated()), body(Response::Completed(withheld))),
        ("response.unsolicited.progress", calling(delegated()), body(progress)),
    ]
}

fn definitions() -> Vec<Named> {
    let definition = |state, sha256: Option<&str>, previous: Option<&str>, reason: Option<&str>| {
        Body::Policy(PolicyChange::ToolDefinition {
            server: SERVER.into(),
            tool: TOOL.into(),
            state,
            sha256: sha256.map(super::sha256),
            previous: previous.map(super::sha256),
            reason: reason.map(Into::into),
        })
    };
    let ours = || at_server(Context::default());
    let (old, new) = (Some("definition"), Some("definition, changed"));
    vec![
        (
            "policy.tool_definition.pinned",
            ours(),
            definition(DefinitionState::Pinned, old, None, None),
        ),
        (
            "policy.tool_definition.changed",
            ours(),
            definition(DefinitionState::Changed, new, old, Some("the description differs")),
        ),
        (
            "policy.tool_definition.accepted",
            at_server(outside(Some(person()))),
            definition(DefinitionState::Accepted, new, old, Some("reviewed in FIN-312")),
        ),
        (
            "policy.tool_definition.gone",
            at_server(outside(Some(agent()))),
            definition(DefinitionState::Gone, None, new, None),
        ),
    ]
}
