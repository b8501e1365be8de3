//! What the gateway sends by itself: a statement that always fails, a flush, a cancellation, the reading of the
//! catalog, the opening of a connection. All bytes but a cancellation's key are constants.

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use tallyport_access::policy::AskContext;
use tallyport_schemas::{
    Body, Command as CommandEvent, CommandId, Decision, Disposition, Effect, Phase, Session,
    StatementKind,
};

use super::denial::Denial;
use super::span::blank;
use super::{Authorized, Bench, Command, Connection, Note, Scribe};
use crate::pg::write;

/// A statement that PostgreSQL refuses whatever its settings are: it makes an open transaction fail.
pub const POISON: &str = "TALLYPORT REFUSED THE STATEMENT BEFORE THIS ONE";

/// Before the catalog's queries: they tell of one moment, and wait for nothing for long.
pub const CATALOG_BEGIN: &str =
    "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL statement_timeout = '30s'";

/// Behind the catalog's queries.
pub const CATALOG_END: &str = "COMMIT";

/// The name under which [`POISON`] is parsed: never created, so that the agent's unnamed statement stays.
pub const POISON_NAME: &[u8] = b"tallyport_refused";

/// Makes the target's transaction fail: [`POISON`] as a simple query, or as the Parse of a named statement, with
/// `tail` (the agent's own Sync) after it. Recorded behind the refusal that made it necessary.
pub(crate) fn poison(
    simple: bool,
    tail: &[u8],
    policy_version: &str,
    scribe: &mut Scribe,
    refusal: Note,
) -> (Authorized<Command>, CommandId) {
    let poison = if simple { write::query(POISON) } else { write::parse(POISON_NAME, POISON) };
    let mut bytes = BytesMut::from(&poison[..]);
    bytes.extend_from_slice(tail);
    let command_id = CommandId::new();
    let phase = if simple { Phase::Query } else { Phase::Parse };
    let event = CommandEvent {
        statement_sha256: Some(hex::encode(Sha256::digest(POISON))),
        statement: Some(POISON.to_owned()),
        ..blank(command_id, phase, &bytes, Disposition::Forwarded)
    };
    let mut drafts = refusal.drafts;
    let decision = own_decision("tallyport:refusal", policy_version, command_id);
    drafts.push(scribe.draft(Body::Decision(decision)));
    drafts.push(scribe.draft(Body::Command(Box::new(event))));
    (Authorized { value: Command { bytes: bytes.freeze() }, drafts }, command_id)
}

/// A Flush of the gateway's own, so that the target answers what it holds back.
pub(crate) fn flush(policy_version: &str, scribe: &mut Scribe) -> Authorized<Command> {
    let command_id = CommandId::new();
    let bytes = write::flush();
    let event = blank(command_id, Phase::Control, &bytes, Disposition::Forwarded);
    let decision = own_decision("tallyport:flush", policy_version, command_id);
    let drafts =
        vec![scribe.draft(Body::Decision(decision)), scribe.draft(Body::Command(Box::new(event)))];
    Authorized { value: Command { bytes }, drafts }
}

/// The agent's own Sync behind a series that failed; the messages before it were dropped, as `dropped` records.
pub(crate) fn sync(
    bytes: &Bytes,
    policy_version: &str,
    scribe: &mut Scribe,
    dropped: Note,
) -> (Authorized<Command>, CommandId) {
    let command_id = CommandId::new();
    // Whatever was given, a Sync is what goes out.
    let bytes = if *bytes == write::sync() { bytes.clone() } else { write::sync() };
    let event = blank(command_id, Phase::Control, &bytes, Disposition::Forwarded);
    let decision = own_decision("tallyport:sync", policy_version, command_id);
    let mut drafts = dropped.drafts;
    drafts.push(scribe.draft(Body::Decision(decision)));
    drafts.push(scribe.draft(Body::Command(Box::new(event))));
    (Authorized { value: Command { bytes }, drafts }, command_id)
}

/// The decision behind what the gateway does by itself, for a reason of its own.
#[must_use]
pub fn own_decision(rule: &str, policy_version: &str, command_id: CommandId) -> Decision {
    Decision {
        effect: Effect::Allow,
        actions: Vec::new(),
        resources: Vec::new(),
        policy_ids: vec![rule.to_owned()],
        policy_version: policy_version.to_owned(),
        obligations: Vec::new(),
        reasons: Vec::new(),
        command_id: Some(command_id),
    }
}

/// A cancel request for what the target runs for this session. The recorded digest is taken with the secret key as
/// zeros: it must not help to find the key. `what` says in words which session it is for.
pub fn cancel(
    (pid, key): (u32, u32),
    scribe: &mut Scribe,
    decision: Decision,
    what: String,
) -> Option<Authorized<Command>> {
    if decision.effect != Effect::Allow {
        return None;
    }
    let command_id = decision.command_id.unwrap_or_else(CommandId::new);
    let recorded = write::cancel_request(pid, 0);
    let event = CommandEvent {
        statement: Some(what),
        ..blank(command_id, Phase::Cancel, &recorded, Disposition::Forwarded)
    };
    let drafts = vec![
        scribe.draft(Body::Decision(Decision { command_id: Some(command_id), ..decision })),
        scribe.draft(Body::Command(Box::new(event))),
    ];
    Some(Authorized { value: Command { bytes: write::cancel_request(pid, key) }, drafts })
}

/// The record of a cancellation of what waits for an approval: the target has nothing to cancel.
pub fn cancel_held(scribe: &mut Scribe, policy_version: &str, what: String) -> Note {
    let command_id = CommandId::new();
    let decision = own_decision("tallyport:cancel", policy_version, command_id);
    let recorded = write::cancel_request(0, 0);
    let event = CommandEvent {
        statement: Some(what),
        ..blank(command_id, Phase::Cancel, &recorded, Disposition::Abandoned)
    };
    Note::new(vec![
        scribe.draft(Body::Decision(decision)),
        scribe.draft(Body::Command(Box::new(event))),
    ])
}

/// Leave to dial the target, for a session whose opening the judge allowed; with the events of the opening.
///
/// # Errors
/// The denial's events, and its reasons.
pub fn connect(
    bench: &Bench,
    context: &AskContext,
    scribe: &mut Scribe,
    opened: Session,
) -> Result<Authorized<Connection>, (Note, Denial)> {
    let verdict = bench.connect(context, None);
    let effect = verdict.decision.effect;
    let reasons = verdict.decision.reasons.clone();
    let mut drafts = vec![scribe.draft(Body::Decision(verdict.decision))];
    if effect != Effect::Allow {
        return Err((Note::new(drafts), Denial::Policy(reasons)));
    }
    drafts.push(scribe.draft(Body::Session(opened)));
    Ok(Authorized { value: Connection(()), drafts })
}

/// The gateway's own reading of the target's catalog: constant statements, with its own principal in `scribe`.
pub fn catalog_reading(scribe: &mut Scribe, policy_version: &str) -> Authorized<Command> {
    let command_id = CommandId::new();
    let mut bytes = BytesMut::from(&write::query(CATALOG_BEGIN)[..]);
    let mut names = Vec::new();
    for query in crate::sql::catalog::QUERIES {
        bytes.extend_from_slice(&write::query(query.sql));
        names.push(query.name);
    }
    bytes.extend_from_slice(&write::query(CATALOG_END));
    let bytes = bytes.freeze();
    let statement = format!("-- the gateway reads the catalog: {}", names.join(", "));
    let decision = Decision {
        actions: vec!["sql:catalog".to_owned()],
        ..own_decision("tallyport:catalog", policy_version, command_id)
    };
    let event = CommandEvent {
        statement_sha256: Some(hex::encode(Sha256::digest(&statement))),
        statement: Some(statement),
        kinds: vec![StatementKind::Select],
        read_only: true,
        ..blank(command_id, Phase::Query, &bytes, Disposition::Forwarded)
    };
    let drafts =
        vec![scribe.draft(Body::Decision(decision)), scribe.draft(Body::Command(Box::new(event)))];
    Authorized { value: Command { bytes }, drafts }
}

/// The record of messages that were dropped behind a refusal.
pub(crate) fn skipped(scribe: &mut Scribe, bytes: &[u8]) -> (Note, CommandId) {
    let command_id = CommandId::new();
    let event = blank(command_id, Phase::Control, bytes, Disposition::Abandoned);
    (Note::new(vec![scribe.draft(Body::Command(Box::new(event)))]), command_id)
}

/// The record of a cancellation that was refused.
pub fn cancel_refused(scribe: &mut Scribe, reason: &str, policy_version: &str) -> Note {
    let command_id = CommandId::new();
    let decision = Decision {
        effect: Effect::Deny,
        policy_ids: Vec::new(),
        reasons: vec![reason.to_owned()],
        ..own_decision("", policy_version, command_id)
    };
    let recorded = write::cancel_request(0, 0);
    let event = blank(command_id, Phase::Cancel, &recorded, Disposition::Refused);
    Note::new(vec![
        scribe.draft(Body::Decision(decision)),
        scribe.draft(Body::Command(Box::new(event))),
    ])
}
