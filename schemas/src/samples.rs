//! One event of every kind and variant, with fixed ids and times: for the golden files, and for the tests of others.
//!
//! Every value of every closed set appears in some sample.

mod identity;
mod later;
mod mcp;
mod requests;
mod traffic;

use jiff::Timestamp;
use uuid::Uuid;

use crate::*;

/// A named event. The name is `<family>.<activity>`, with the variant behind it where there are several.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Such as `response.completed.error`; the name of its golden file.
    pub name: &'static str,
    /// The event.
    pub event: Event,
}

/// All samples. The place in the list is the sequence number.
#[must_use]
pub fn all() -> Vec<Sample> {
    identity::bodies()
        .into_iter()
        .chain(traffic::bodies())
        // What came later stands last: the others keep their numbers.
        .chain(identity::exchanges())
        .chain(later::bodies())
        .chain(mcp::bodies())
        .chain(requests::bodies())
        .chain(traffic::findings())
        .enumerate()
        .map(|(seq, (name, context, body))| Sample {
            name,
            event: event(seq as u64, context, body),
        })
        .collect()
}

/// The events of [`all`].
#[must_use]
pub fn events() -> Vec<Event> {
    all().into_iter().map(|sample| sample.event).collect()
}

type Named = (&'static str, Context, Body);

/// 2026-01-15T08:30:00.123456Z, and a little later for each that follows.
const FIRST_US: i64 = 1_768_465_800_123_456;

fn event(seq: u64, context: Context, body: Body) -> Event {
    let session_seq = context.session_id.is_some().then_some(seq);
    Event {
        event_id: EventId::from_uuid(uuid(0x1000 + u128::from(seq))),
        producer: Producer {
            id: ProducerId::literal("gateway-1"),
            epoch: FIRST_US.unsigned_abs() - 60_000_000,
            seq,
        },
        time: at(i64::try_from(seq).unwrap_or(i64::MAX).saturating_mul(1_001)),
        schema_version: SCHEMA_VERSION.to_owned(),
        session_seq,
        context: context.into(),
        body,
    }
}

/// A time so many microseconds after the first.
fn at(after_us: i64) -> Timestamp {
    Timestamp::from_microsecond(FIRST_US.saturating_add(after_us)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// An hour after the first.
fn expiry() -> Timestamp {
    at(3_600_000_000)
}

/// A UUIDv7 of the first time, with these last bits.
const fn uuid(last: u128) -> Uuid {
    Uuid::from_u128(0x019b_c0a4_8bbb_7000_8000_0000_0000_0000 | last)
}

/// The command that most samples are about.
const fn command_id() -> CommandId {
    CommandId::from_uuid(uuid(0xc0))
}

fn sha256(of: &str) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(of.as_bytes()))
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

/// An agent, on its own.
fn agent() -> Principal {
    Principal {
        issuer: "https://issuer.example".into(),
        subject: "agent-7f3a".into(),
        display_name: "invoice-agent".into(),
        kind: PrincipalKind::Agent,
        groups: texts(&["agents", "finance-readers"]),
        owner: Some("finance-platform".into()),
    }
}

/// A person.
fn person() -> Principal {
    Principal {
        issuer: "https://issuer.example".into(),
        subject: "u-1042".into(),
        display_name: "Dana Kovář".into(),
        kind: PrincipalKind::Human,
        groups: texts(&["finance", "finance-approvers"]),
        owner: None,
    }
}

/// Neither.
fn service() -> Principal {
    Principal {
        issuer: "https://issuer.example".into(),
        subject: "nightly-report".into(),
        display_name: "nightly-report".into(),
        kind: PrincipalKind::Service,
        groups: Vec::new(),
        owner: Some("reporting".into()),
    }
}

/// An agent works in a session for a person.
fn delegated() -> Context {
    Context {
        principal: Some(person()),
        delegation: vec![
            Actor { subject: "agent-7f3a".into(), issuer: Some("https://issuer.example".into()) },
            Actor { subject: "orchestrator".into(), issuer: None },
        ],
        agent: AgentAttributes {
            model: Some("example-model-2".into()),
            agent: Some("invoice-agent/1.4".into()),
            task: Some("reconcile January".into()),
            other: [("ticket".to_owned(), "FIN-311".to_owned())].into(),
        },
        ..alone()
    }
}

/// An agent works in a session on its own.
fn alone() -> Context {
    Context {
        session_id: Some(SessionId::from_uuid(uuid(0x5e55))),
        target: Some(TargetRef {
            name: "orders-db".into(),
            kind: TargetKind::Postgresql,
            database: Some("orders".into()),
        }),
        ..outside(Some(agent()))
    }
}

/// Before there is a session, or beside it.
fn outside(principal: Option<Principal>) -> Context {
    Context {
        principal,
        client: Some(Endpoint { ip: "192.0.2.17".into(), port: 50_432 }),
        trace_id: Some(TraceId::from_uuid(uuid(0x7ace))),
        ..Context::default()
    }
}

#[cfg(test)]
mod tests;
