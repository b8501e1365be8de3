//! The envelope that every event wears, and the draft it grows from.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Actor, AgentAttributes, Approval, Authentication, CallRef, Command, Decision, Endpoint,
    EventId, Integrity, PolicyChange, Principal, ProducerId, Query, Response, Revocation, Session,
    SessionId, SharedContext, TargetRef, TraceId,
};

/// The version of the own facts under `unmapped.tallyport`. A change of a golden file is a change of this: of its major
/// part where a reader of the older ones would be misled or lost.
pub const SCHEMA_VERSION: &str = "1.2.0";

/// One event as it stands on the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Names the event.
    pub event_id: EventId,
    /// Who wrote it, and its place in that writer's dense sequence.
    pub producer: Producer,
    /// When it was made, as the writer's clock says: RFC 3339, UTC, to the microsecond.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// The version of these facts; a reader refuses another major version.
    pub schema_version: String,
    /// Place in the session, dense from 0; absent where there is no session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_seq: Option<u64>,
    /// Who, on whose behalf, to where.
    pub context: SharedContext,
    /// What happened.
    pub body: Body,
}

/// A writer's place: `(id, epoch)` starts anew at every process start, `seq` is dense from 0 within it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Producer {
    /// The writer.
    pub id: ProducerId,
    /// Grows with every start of that writer (microseconds since the Unix epoch at its start).
    pub epoch: u64,
    /// Dense from 0 within the epoch: a number that is missing is a gap.
    pub seq: u64,
}

/// What all events of a session share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// The session, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The principal, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
    /// RFC 8693 `act`, outermost actor first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delegation: Vec<Actor>,
    /// Model, agent and task as the token gives them.
    #[serde(default, skip_serializing_if = "AgentAttributes::is_empty")]
    pub agent: AgentAttributes,
    /// The target, where one is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetRef>,
    /// The peer's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Endpoint>,
    /// The trace it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// The call of a tool that it belongs to: on the events of the call itself, and on all events of a session that a
    /// tool opened to do its work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallRef>,
}

/// What happened, one variant per family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "family", content = "detail", rename_all = "snake_case", deny_unknown_fields)]
pub enum Body {
    /// A token was checked.
    Authentication(Authentication),
    /// A session began, changed or ended.
    Session(Session),
    /// Policy decided.
    Decision(Decision),
    /// A command is about to reach a target, or was refused.
    Command(Box<Command>),
    /// A response is about to reach an agent.
    Response(Box<Response>),
    /// A human was asked, or answered.
    Approval(Approval),
    /// Access was ended before its time, or given back.
    Revocation(Revocation),
    /// Policy or configuration changed.
    Policy(PolicyChange),
    /// Somebody asked the audit itself.
    Query(Query),
    /// The log speaks of itself.
    Integrity(Integrity),
}

/// The name of a family; a column of the lake and the key of its view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// See [`Body::Authentication`].
    Authentication,
    /// See [`Body::Session`].
    Session,
    /// See [`Body::Decision`].
    Decision,
    /// See [`Body::Command`].
    Command,
    /// See [`Body::Response`].
    Response,
    /// See [`Body::Approval`].
    Approval,
    /// See [`Body::Revocation`].
    Revocation,
    /// See [`Body::Policy`].
    Policy,
    /// See [`Body::Query`].
    Query,
    /// See [`Body::Integrity`].
    Integrity,
}

impl Family {
    /// All families, in the order of their declaration.
    pub const ALL: [Self; 10] = [
        Self::Authentication,
        Self::Session,
        Self::Decision,
        Self::Command,
        Self::Response,
        Self::Approval,
        Self::Revocation,
        Self::Policy,
        Self::Query,
        Self::Integrity,
    ];

    /// The name as it is written in the lake.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Session => "session",
            Self::Decision => "decision",
            Self::Command => "command",
            Self::Response => "response",
            Self::Approval => "approval",
            Self::Revocation => "revocation",
            Self::Policy => "policy",
            Self::Query => "query",
            Self::Integrity => "integrity",
        }
    }
}

impl Body {
    /// The family it belongs to.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Authentication(_) => Family::Authentication,
            Self::Session(_) => Family::Session,
            Self::Decision(_) => Family::Decision,
            Self::Command(_) => Family::Command,
            Self::Response(_) => Family::Response,
            Self::Approval(_) => Family::Approval,
            Self::Revocation(_) => Family::Revocation,
            Self::Policy(_) => Family::Policy,
            Self::Query(_) => Family::Query,
            Self::Integrity(_) => Family::Integrity,
        }
    }

    /// What happened within the family: the variant's name in snake case, such as `opened` or `completed`.
    #[must_use]
    pub fn activity(&self) -> &'static str {
        match self {
            Self::Authentication(a) => a.activity(),
            Self::Session(s) => s.activity(),
            Self::Decision(d) => d.activity(),
            Self::Command(c) => c.activity(),
            Self::Response(r) => r.activity(),
            Self::Approval(a) => a.activity(),
            Self::Revocation(r) => r.activity(),
            Self::Policy(p) => p.activity(),
            Self::Query(q) => q.activity(),
            Self::Integrity(i) => i.activity(),
        }
    }
}

/// To the microsecond: what the lake's columns hold, so that no form of an event knows more of its time than another.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// An event before it has a place on the log. The appender adds the [`Producer`].
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Names the event.
    pub event_id: EventId,
    /// When it was made.
    pub time: Timestamp,
    /// Place in the session.
    pub session_seq: Option<u64>,
    /// Who, on whose behalf, to where.
    pub context: SharedContext,
    /// What happened.
    pub body: Body,
}

impl Draft {
    /// A draft of now, with a new id.
    #[must_use]
    pub fn new(context: SharedContext, session_seq: Option<u64>, body: Body) -> Self {
        Self { event_id: EventId::new(), time: now(), session_seq, context, body }
    }

    /// The event it becomes at this place.
    #[must_use]
    pub fn at(self, producer: Producer) -> Event {
        Event {
            event_id: self.event_id,
            producer,
            time: self.time,
            schema_version: SCHEMA_VERSION.to_owned(),
            session_seq: self.session_seq,
            context: self.context,
            body: self.body,
        }
    }
}
