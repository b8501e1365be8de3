//! Samples of what was decided, sent and answered, and of what was asked of the audit.

use super::{Named, alone, command_id, delegated, outside, person, service, sha256, texts};
use crate::*;

pub(super) fn bodies() -> Vec<Named> {
    let mut all = decisions();
    all.extend(commands());
    all.extend(responses());
    all.extend(queries());
    all
}

fn decisions() -> Vec<Named> {
    let allow = Decision {
        effect: Effect::Allow,
        actions: texts(&["sql:select", "col:readMasked"]),
        resources: texts(&["orders-db/app.customers"]),
        policy_ids: texts(&["finance-reads-orders", "mask-pii"]),
        policy_version: sha256("new"),
        obligations: vec![
            Obligation {
                kind: "mask".into(),
                value: "partial:last4".into(),
                on: Some("app.customers.ssn".into()),
            },
            Obligation { kind: "row_limit".into(), value: "10000".into(), on: None },
        ],
        reasons: Vec::new(),
        command_id: Some(command_id()),
    };
    let connect = Decision {
        actions: texts(&["sql:connect"]),
        resources: texts(&["orders-db"]),
        obligations: Vec::new(),
        command_id: None,
        ..allow.clone()
    };
    let deny = Decision {
        effect: Effect::Deny,
        actions: texts(&["sql:delete"]),
        policy_ids: Vec::new(),
        obligations: Vec::new(),
        reasons: texts(&[
            "no policy permits sql:delete on app.customers",
            "the session is read-only",
        ]),
        ..allow.clone()
    };
    let pause = Decision {
        effect: Effect::Pause,
        actions: texts(&["sql:update"]),
        obligations: vec![Obligation {
            kind: "require_approval".into(),
            value: "finance-approvers".into(),
            on: None,
        }],
        reasons: texts(&["finance-approvers must approve"]),
        ..allow.clone()
    };
    vec![
        ("decision.allowed", delegated(), Body::Decision(allow)),
        ("decision.allowed.connect", delegated(), Body::Decision(connect)),
        ("decision.denied", delegated(), Body::Decision(deny)),
        ("decision.paused", delegated(), Body::Decision(pause)),
    ]
}

fn select() -> Command {
    let column = |column: &str| ColumnRef {
        schema: Some("app".into()),
        table: "customers".into(),
        column: column.into(),
    };
    Command {
        command_id: command_id(),
        phase: Phase::Query,
        disposition: Disposition::Forwarded,
        statement: Some("SELECT name, ssn FROM app.customers WHERE region = 'north'".into()),
        statement_sha256: Some(sha256(
            "SELECT name, ssn FROM app.customers WHERE region = 'north'",
        )),
        fingerprint: Some("a0ead580058af585".into()),
        kinds: vec![StatementKind::Select],
        tables: vec![ObjectRef { schema: Some("app".into()), name: "customers".into() }],
        columns: vec![column("name"), column("region"), column("ssn")],
        functions: Vec::new(),
        labels: texts(&["pii"]),
        read_only: true,
        opaque: false,
        parameters: Vec::new(),
        prepared: None,
        portal: None,
        wire_bytes: 64,
        wire_sha256: sha256("wire"),
        content: None,
        chunk: None,
        definition_sha256: None,
    }
}

/// No statement of its own.
fn bare(phase: Phase) -> Command {
    Command {
        phase,
        statement: None,
        statement_sha256: None,
        fingerprint: None,
        kinds: Vec::new(),
        tables: Vec::new(),
        columns: Vec::new(),
        labels: Vec::new(),
        read_only: false,
        ..select()
    }
}

fn commands() -> Vec<Named> {
    let parse = Command { phase: Phase::Parse, prepared: Some("stmt_1".into()), ..select() };
    let parameter = |bytes, value| Parameter { bytes, value };
    let execute = Command {
        phase: Phase::Execute,
        prepared: Some("stmt_1".into()),
        portal: Some(String::new()),
        parameters: vec![
            parameter(0, ParameterValue::Null),
            parameter(5, ParameterValue::Text("north".into())),
            parameter(4, ParameterValue::Base64("AAAAKg==".into())),
            parameter(1_048_576, ParameterValue::Sha256(sha256("long"))),
        ],
        ..select()
    };
    let copy = Command {
        content: Some(identity(b"7\tAda\n")),
        chunk: Some(0),
        kinds: vec![StatementKind::CopyIn],
        ..bare(Phase::CopyData)
    };
    let refused = Command {
        disposition: Disposition::Refused,
        statement: Some("DELETE FROM app.customers".into()),
        kinds: vec![StatementKind::Delete],
        read_only: false,
        ..select()
    };
    let abandoned = Command { disposition: Disposition::Abandoned, ..refused.clone() };
    let batch = Command {
        kinds: StatementKind::ALL.to_vec(),
        tables: vec![
            ObjectRef { schema: None, name: "staging".into() },
            ObjectRef { schema: Some("app".into()), name: "customers".into() },
        ],
        functions: texts(&["app.recalculate"]),
        read_only: false,
        opaque: true,
        ..select()
    };
    let body = |command| Body::Command(Box::new(command));
    vec![
        ("command.forwarded.query", delegated(), body(select())),
        ("command.forwarded.batch", delegated(), body(batch)),
        ("command.forwarded.parse", delegated(), body(parse)),
        ("command.forwarded.execute", delegated(), body(execute)),
        ("command.forwarded.copy_data", delegated(), body(copy)),
        ("command.forwarded.control", delegated(), body(bare(Phase::Control))),
        ("command.forwarded.cancel", delegated(), body(bare(Phase::Cancel))),
        ("command.refused", delegated(), body(refused)),
        ("command.abandoned", delegated(), body(abandoned)),
    ]
}

fn summary() -> ResponseSummary {
    let origin = |column: &str| {
        Some(ColumnRef {
            schema: Some("app".into()),
            table: "customers".into(),
            column: column.into(),
        })
    };
    let output = |name: &str, type_oid| OutputColumn {
        name: name.into(),
        type_oid,
        origin: None,
        mask: None,
        labels: Vec::new(),
    };
    ResponseSummary {
        command_id: command_id(),
        status: ResponseStatus::Ok,
        tag: Some("SELECT 40".into()),
        sqlstate: None,
        rows: 40,
        bytes: 560,
        sha256: sha256("all"),
        columns: vec![
            OutputColumn { origin: origin("name"), ..output("name", 25) },
            OutputColumn {
                origin: origin("ssn"),
                mask: Some("partial:last4".into()),
                labels: texts(&["pii"]),
                ..output("ssn", 25)
            },
            output("upper", 25),
        ],
        masked_values: 40,
        recording: Recording::Full,
        chunks: 1,
        wire_bytes: 560,
        wire_sha256: sha256("wire"),
        content: Some(masked_rows()),
        duration_us: 1_873,
        findings: Vec::new(),
    }
}

fn responses() -> Vec<Named> {
    let ended = |status, tag: Option<&str>| ResponseSummary {
        status,
        tag: tag.map(Into::into),
        rows: 0,
        columns: Vec::new(),
        masked_values: 0,
        recording: Recording::Digest,
        content: None,
        ..summary()
    };
    let error =
        ResponseSummary { sqlstate: Some("42P01".into()), ..ended(ResponseStatus::Error, None) };
    let suspended = ResponseSummary {
        status: ResponseStatus::Suspended,
        tag: None,
        recording: Recording::Head(10),
        ..summary()
    };
    let chunk = |command_id| {
        Body::Response(Box::new(Response::Chunk {
            command_id,
            chunk: 0,
            rows: 40,
            wire_bytes: 560,
            wire_sha256: sha256("wire"),
            content: Some(masked_rows()),
        }))
    };
    let unsolicited = Response::Unsolicited {
        kinds: texts(&["notice", "parameter_status"]),
        wire_bytes: 6,
        wire_sha256: sha256("wire"),
        content: Some(identity(b"N\0\0\0\x05\0")),
        findings: Vec::new(),
    };
    let body = |summary| Body::Response(Box::new(Response::Completed(summary)));
    let copy = ended(ResponseStatus::CopyStarted, None);
    let interrupted = ended(ResponseStatus::Interrupted, None);
    vec![
        ("response.chunk", delegated(), chunk(Some(command_id()))),
        ("response.chunk.of_none", delegated(), chunk(None)),
        ("response.completed", delegated(), body(summary())),
        ("response.completed.update", alone(), body(ended(ResponseStatus::Ok, Some("UPDATE 3")))),
        ("response.completed.error", alone(), body(error)),
        ("response.completed.suspended", alone(), body(suspended)),
        ("response.completed.copy_started", alone(), body(copy)),
        ("response.completed.interrupted", alone(), body(interrupted)),
        ("response.unsolicited", alone(), Body::Response(Box::new(unsolicited))),
    ]
}

/// What detectors found in answers and beside them.
pub(super) fn findings() -> Vec<Named> {
    let finding =
        |action, detector: &str, count| Finding { detector: detector.into(), action, count };
    let masked = vec![
        finding(FindingAction::Mask, "payment_card", 2),
        finding(FindingAction::Alert, "email", 40),
    ];
    let kept_back = ResponseSummary {
        status: ResponseStatus::Error,
        sqlstate: Some("42501".into()),
        findings: vec![finding(FindingAction::Deny, "payment_card", 1)],
        ..summary()
    };
    let notification = Response::Unsolicited {
        kinds: texts(&["notification"]),
        wire_bytes: 32,
        wire_sha256: sha256("wire"),
        content: None,
        findings: vec![finding(FindingAction::Mask, "payment_card", 1)],
    };
    let body = |response| Body::Response(Box::new(response));
    let found = ResponseSummary { findings: masked, ..summary() };
    vec![
        ("response.completed.found", delegated(), body(Response::Completed(found))),
        ("response.completed.kept_back", delegated(), body(Response::Completed(kept_back))),
        ("response.unsolicited.found", alone(), body(notification)),
    ]
}

fn queries() -> Vec<Named> {
    let query = |face, phase| {
        Body::Query(Query {
            query_id: CommandId::from_uuid(super::uuid(0x9e)),
            face,
            phase,
            sql: "SELECT actor, count(*) FROM commands GROUP BY actor".into(),
            relations: texts(&["commands"]),
            snapshot_version: Some(118),
        })
    };
    let denied = QueryPhase::Denied { reason: "no policy permits audit:query on commands".into() };
    let failed = QueryPhase::Failed { error: "column `nobody` not found".into() };
    let completed = QueryPhase::Completed { rows: 3, duration_us: 21_554 };
    vec![
        ("query.started", outside(Some(person())), query(Face::Pgwire, QueryPhase::Started)),
        ("query.completed", outside(Some(person())), query(Face::Pgwire, completed)),
        ("query.denied", outside(Some(service())), query(Face::Http, denied)),
        ("query.failed", outside(Some(person())), query(Face::Http, failed)),
    ]
}

fn identity(raw: &[u8]) -> Content {
    use sha2::Digest as _;
    Content {
        encoding: ContentEncoding::Identity,
        bytes: raw.len() as u64,
        sha256: hex::encode(sha2::Sha256::digest(raw)),
        data: raw.to_vec(),
    }
}

/// Forty masked rows. The frame is fixed, so that another zstd does not change the golden files.
fn masked_rows() -> Content {
    const FRAME: [u8; 30] = [
        0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x48, 0xad, 0x00, 0x00, 0x70, 0x44, 0x00, 0x00, 0x00, 0x0d,
        0x00, 0x01, 0x00, 0x00, 0x00, 0x03, 0x2a, 0x2a, 0x2a, 0x01, 0x00, 0x1f, 0xa2, 0x9a, 0x4a,
    ];
    let row = b"D\0\0\0\x0d\0\x01\0\0\0\x03***";
    Content { encoding: ContentEncoding::Zstd, data: FRAME.to_vec(), ..identity(&row.repeat(40)) }
}
