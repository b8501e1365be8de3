//! Calls of tools: one row each, whatever became of them, wherever their events are, and in a lake older than they are.

use serde_json::{Value, json};
use tallyport_schemas::*;

use crate::story::{at, command_id, id, principal, session};
use crate::world::{Merge, World, record_without};

pub const NEW: [&str; 5] =
    ["call_id", "call_server", "call_tool", "command_definition_sha256", "findings"];

/// The context of call `number`, in a session of its own.
fn calling(number: u128, tool: &str) -> SharedContext {
    let call = CallRef { call_id: command_id(number), server: "github".into(), tool: tool.into() };
    Context {
        session_id: Some(session(number)),
        principal: Some(principal("ada", "Ada", PrincipalKind::Human, None)),
        delegation: vec![Actor { subject: "bot-2".into(), issuer: None }],
        target: Some(TargetRef { name: "github".into(), kind: TargetKind::Mcp, database: None }),
        call: Some(call),
        ..Context::default()
    }
    .into()
}

pub fn draft(context: &SharedContext, time: &str, body: Body) -> Draft {
    let number = at(time).as_microsecond().unsigned_abs();
    Draft {
        event_id: EventId::from_uuid(id(u128::from(number))),
        time: at(time),
        session_seq: None,
        context: context.clone(),
        body,
    }
}

pub fn command(number: u128, phase: Phase, disposition: Disposition, arguments: &str) -> Body {
    let Body::Command(mut command) =
        crate::story::command(number, disposition, arguments, &[], &[])
    else {
        unreachable!()
    };
    command.phase = phase;
    command.kinds = Vec::new();
    command.fingerprint = None;
    command.definition_sha256 = Some("d1".into());
    Body::Command(command)
}

pub fn decision(number: u128, effect: Effect, reason: Option<&str>) -> Body {
    let Body::Decision(decision) = crate::story::decision(number, effect, "mcp:call", reason)
    else {
        unreachable!()
    };
    Body::Decision(decision)
}

pub fn answered(number: u128, findings: Vec<Finding>) -> Body {
    let summary = ResponseSummary {
        tag: None,
        masked_values: 2,
        findings,
        ..crate::story::response(number, 0, 640, 42_000, &[])
    };
    Body::Response(Box::new(Response::Completed(summary)))
}

/// A merge waits, is approved by Grace and runs; a deletion is denied; a resource is read, which is no call.
pub fn drafts() -> Vec<Draft> {
    let merge = calling(0x71, "merge");
    let delete = calling(0x72, "delete_repo");
    let approval_id = ApprovalId::from_uuid(id(0xb1));
    let grace = principal("grace", "Grace", PrincipalKind::Human, None);
    let granted = Approval::Granted { approval_id, reviewer: grace, comment: None, webhook: None };
    let used = Approval::Used { approval_id, command_id: command_id(0x71), digest: "00".into() };
    let found = [(FindingAction::Mask, "email", 2), (FindingAction::Alert, "phone", 1)];
    let found =
        found.map(|(action, detector, count)| Finding { detector: detector.into(), action, count });
    let inner = Context { target: None, ..Context::clone(&merge) }.into();
    let resource = Context { call: None, ..Context::clone(&merge) }.into();
    let forwarded = Disposition::Forwarded;
    vec![
        draft(
            &merge,
            "2024-03-10T09:00:00Z",
            decision(0x71, Effect::Pause, Some("leads must agree")),
        ),
        draft(&merge, "2024-03-10T09:05:00Z", Body::Approval(granted)),
        draft(&merge, "2024-03-10T09:05:01Z", Body::Approval(used)),
        draft(&merge, "2024-03-10T09:05:02Z", decision(0x71, Effect::Allow, None)),
        draft(&merge, "2024-03-10T09:05:03Z", command(0x71, Phase::Call, forwarded, "{\"pr\":7}")),
        draft(&inner, "2024-03-10T09:05:04Z", command(0x73, Phase::Query, forwarded, "SELECT 7")),
        draft(&merge, "2024-03-10T09:05:05Z", answered(0x71, found.into())),
        draft(
            &delete,
            "2024-03-10T09:06:00Z",
            decision(0x72, Effect::Deny, Some("no policy permits")),
        ),
        draft(
            &delete,
            "2024-03-10T09:06:01Z",
            command(0x72, Phase::Call, Disposition::Refused, "{}"),
        ),
        draft(&resource, "2024-03-10T09:07:00Z", command(0x74, Phase::Read, forwarded, "{}")),
    ]
}

const CALLS: &str = "SELECT time, principal_subject, actor, server, tool, arguments, definition_sha256, \
     disposition, effect, reason, policy_ids, approved_by, status, masked_values, findings FROM tool_calls ORDER BY time";

fn calls() -> [Value; 2] {
    [
        json!([
            "2024-03-10T09:05:03Z",
            "ada",
            "bot-2",
            "github",
            "merge",
            "{\"pr\":7}",
            "d1",
            "forwarded",
            "allow",
            null,
            ["support-reads"],
            "Grace",
            "ok",
            2,
            ["mask email 2", "alert phone 1"]
        ]),
        json!([
            "2024-03-10T09:06:01Z",
            "ada",
            "bot-2",
            "github",
            "delete_repo",
            "{}",
            "d1",
            "refused",
            "deny",
            "no policy permits",
            null,
            null,
            null,
            null,
            null
        ]),
    ]
}

const INNER: &str =
    "SELECT statement, call_tool FROM commands WHERE call_id IS NOT NULL AND command_id <> call_id";

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_one_row_in_the_tail_in_the_lake_and_across_both() {
    let world = World::start().await;
    for draft in drafts() {
        world.commit(draft).await;
    }
    let whole = world.latest(0).await;
    for (place, upto) in [("in the tail", 0), ("across both", whole / 2), ("in the lake", whole)] {
        world.record(0, upto).await;
        assert_eq!(world.rows(CALLS).await, calls(), "{place}");
        assert_eq!(world.rows(INNER).await, [json!(["SELECT 7", "merge"])], "{place}");
        let asked = json!({"since": "2024-03-01", "tool": "merge", "principal": "bot-2"});
        let (status, answer) = world.post("auditor", "/v1/ask/tool-calls", &asked).await;
        assert_eq!((status, &answer["row_count"]), (200, &json!(1)), "{answer}");
        // It was a Sunday: the call and the read at the server, the statement behind the call; not what was refused.
        let since = json!({"since": "2024-03-01"});
        let (_, answer) = world.post("auditor", "/v1/ask/off-hours", &since).await;
        assert_eq!(answer["row_count"], 2, "{answer}");
        let counted = |row: &Value| row.as_array().is_some_and(|row| row.contains(&json!(2)));
        assert!(answer["rows"].as_array().unwrap().iter().any(counted), "{answer}");
    }
    world.running.stop().await;
}

/// A lake that was recorded before there were calls: its rows have null there, before and after the columns were added.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_lake_is_asked_for_calls() {
    let world = World::start().await;
    for draft in crate::story::drafts() {
        world.commit(draft).await;
    }
    let older = world.latest(0).await;
    record_without(world.log.as_ref(), &world.lake, 0, older, &NEW, Merge::No).await;
    assert_eq!(world.rows(CALLS).await, Vec::<Value>::new(), "no row, and no error");
    let counted = "SELECT count(*) > 0, count(call_id), count(findings) FROM events";
    assert_eq!(world.rows(counted).await, [json!([true, 0, 0])]);
    for draft in drafts() {
        world.commit(draft).await;
    }
    assert_eq!(world.rows(CALLS).await, calls(), "the lake lacks the columns, the tail has them");
    record_without(world.log.as_ref(), &world.lake, 0, world.latest(0).await, &[], Merge::Yes)
        .await;
    assert_eq!(world.rows(CALLS).await, calls(), "the columns were added");
    assert_eq!(world.rows(INNER).await, [json!(["SELECT 7", "merge"])]);
    let statements = "SELECT count(*) > 3 FROM commands WHERE definition_sha256 IS NULL";
    assert_eq!(world.value(statements).await, true);
    world.running.stop().await;
}
