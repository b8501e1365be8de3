//! What every kind of target has in common: a request means something, policy is asked about that, and what comes back is shown
//! as far as it may be seen. docs/adding-a-target.md says how a new kind is added.
//!
//! * [`Question`]: what a request means, whatever protocol it came by. [`crate::verdict::judge`] asks policy about it,
//!   [`crate::passage`] puts it on record, [`crate::approval`] binds an approval to it.
//!   MCP servers are asked such questions too ([`crate::mcp::ServerQuestion`]), by messages of their own.
//! * [`Protocol`]: a kind of target that is asked by HTTP. Its reader makes a question of a request, and says what of an answer
//!   may be seen; all else is the same for every one of them.
//!
//! A protocol with a stream of its own, as PostgreSQL has, is a machine instead ([`crate::pg::session`]): it mints what passes by
//! the same types.

use std::fmt;
use std::sync::Arc;

use tallyport_access::policy::{Action, CallArguments, ExecFacts, Resource};
use tallyport_schemas::TargetKind;

use crate::http::{Asked, Fields, Plan};
use crate::passage::request::Wanted;
use crate::verdict::Facts;

/// What a request means.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// What policy is asked: each action on its resource. All must be permitted.
    pub asks: Vec<(Action, Resource)>,
    /// As it goes on record with the command.
    pub facts: Facts,
    /// Its arguments, as policies see them.
    pub call: Option<Arc<CallArguments>>,
    /// What is to run in a container.
    pub exec: Option<Arc<ExecFacts>>,
    /// In words for the record, for reviewers, and for what an approval is bound to: all that the target gets, in one form, but
    /// for what may not be seen.
    pub statement: String,
    /// SHA-256 of what else its meaning depends on: the definition of a tool, the pod that a name means now.
    pub definition_sha256: Option<String>,
    /// SHA-256 of all that it says, where some of it may not be seen. An approval is bound to it; it is not recorded, since what is
    /// short can be guessed from it (I6).
    pub unseen_sha256: Option<String>,
}

/// A request, read by its protocol.
#[derive(Debug)]
pub struct Reading {
    /// What it means.
    pub question: Question,
    /// What the target gets, or why it gets nothing whoever asks.
    pub wanted: Result<Wanted, NotTaken>,
    /// What of the answer may be seen.
    pub plan: Plan,
    /// What the protocol does with it beyond a request and its answer.
    pub manner: Manner,
}

/// How a request goes on once it is let through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// An answer comes, and that is it.
    #[default]
    Answer,
    /// The answer goes on for as long as there is something to say.
    Follow,
    /// The connection becomes one of streams, by WebSocket (RFC 6455).
    Streams(StreamPlan),
}

/// What goes to and fro in streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPlan {
    /// The agent sends input.
    pub stdin: bool,
    /// It has a terminal.
    pub tty: bool,
    /// It is bytes, and no more is known of it.
    pub raw: bool,
    /// The subprotocols that the agent speaks and that are known, in its order, with commas between them.
    pub protocols: String,
}

/// A request that no target gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTaken {
    /// Status of the answer.
    pub status: u16,
    /// A stable code.
    pub code: &'static str,
    /// Why, and what to do.
    pub message: String,
    /// The rule that the decision names.
    pub rule: &'static str,
    /// What policy says of it is told first: its sender may not learn of it in another way.
    pub after_policy: bool,
}

/// A kind of target that is asked by HTTP.
pub trait Protocol: Send + Sync + fmt::Debug {
    /// Which.
    fn kind(&self) -> TargetKind;

    /// What a request means. A reader that does not know says so in [`Reading::wanted`]: what is not understood is denied.
    fn read(&self, asked: Asked) -> Reading;

    /// A refusal in the form that the protocol's clients show to people: media type and body.
    fn refusal(&self, status: u16, code: &str, message: &str) -> (&'static str, String);

    /// The fields of an answer that pass on; hop-by-hop fields, cookies and names of hosts do not.
    fn passes(&self, name: &str) -> bool;

    /// Where an answer points to, as its reader would find it; nothing where that is not on the target.
    fn located(&self, value: &str) -> Option<String>;

    /// What the name in a request means now, where an approval must not outlive it: what is to be asked of the target first.
    fn pinned_by(&self, _question: &Question) -> Option<Asked> {
        None
    }
}

/// What opens a target of this kind.
#[must_use]
pub const fn opened_by(kind: TargetKind) -> Action {
    match kind {
        TargetKind::Postgresql => Action::Connect,
        TargetKind::Mcp => Action::McpConnect,
        TargetKind::Http => Action::HttpConnect,
        TargetKind::Kubernetes => Action::KubeConnect,
    }
}

impl NotTaken {
    /// A request that cannot be read in one way alone.
    #[must_use]
    pub fn unreadable(why: impl fmt::Display) -> Self {
        Self {
            status: 400,
            code: "invalid_request",
            message: why.to_string(),
            rule: "tallyport:request",
            after_policy: false,
        }
    }

    /// What no rule of the target's configuration takes.
    #[must_use]
    pub fn no_route(status: u16, message: String) -> Self {
        Self { status, code: "no_route", message, rule: "tallyport:route", after_policy: false }
    }
}

/// What of a client's fields goes on: names in lower case.
#[must_use]
pub fn passed_fields(fields: &Fields, names: &[&str]) -> Fields {
    fields.iter().filter(|(name, _)| names.contains(&name.as_str())).cloned().collect()
}
