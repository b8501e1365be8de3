//! The types that carry I1 and I2. Bytes for a target exist only inside [`Authorized<Command>`], bytes for an agent
//! only inside [`Masked<Response>`], and both come out only when they are [`Durable`].
//!
//! * [`Authorized`] is minted in `unit` alone, from spans that a [`crate::verdict::Judge`] allowed, and in [`own`]
//!   for what the gateway sends by itself: constants.
//! * [`Masked`] is minted in `batch` alone, from what the session machine let through the masks.
//! * [`call`] mints both for MCP servers: [`Authorized<call::Call>`], and [`Masked<call::Reply>`] from what was screened.
//! * [`request`] does so for requests of HTTP: [`Authorized<request::Wanted>`], and [`Masked<request::Part>`] from what may be shown.
//! * [`to_target`] and [`to_agent`] are the only ways to the bytes, and they take the proof.
//!
//! Neither type can be cloned or built elsewhere; `tests/ui` holds that.

pub(crate) mod batch;
mod bench;
pub mod call;
mod denial;
pub mod held;
pub mod own;
pub mod request;
mod scribe;
mod span;
pub(crate) mod unit;

pub use batch::CHUNK_BYTES;
pub use bench::Bench;
pub use denial::Denial;
pub use scribe::Scribe;

use bytes::Bytes;
use tallyport_eventlog::{Auditable, Durable};
use tallyport_schemas::{Body, Draft, Response as ResponseEvent, ResponseSummary};

/// The exact bytes of one unit for a target.
#[derive(Debug)]
pub struct Command {
    bytes: Bytes,
}

/// The exact bytes of one batch for an agent.
#[derive(Debug)]
pub struct Response {
    bytes: Bytes,
}

/// Leave to open a connection to a target.
#[derive(Debug)]
pub struct Connection(());

/// What policy allowed, with the events that say so.
#[derive(Debug)]
#[must_use = "commit it, then send it"]
pub struct Authorized<T> {
    value: T,
    drafts: Vec<Draft>,
}

/// What went through the masks, with the events that record it.
#[derive(Debug)]
#[must_use = "commit it, then send it"]
pub struct Masked<T> {
    value: T,
    drafts: Vec<Draft>,
}

/// Events about what does not pass, and about a session's life.
#[derive(Debug)]
#[must_use = "commit it"]
pub struct Note {
    drafts: Vec<Draft>,
}

/// The bytes for the target, once the intent is on record.
pub fn to_target(command: Durable<Authorized<Command>>) -> Bytes {
    command.into_inner().value.bytes
}

/// The bytes for the agent, once the outcome is on record.
pub fn to_agent(response: Durable<Masked<Response>>) -> Bytes {
    response.into_inner().value.bytes
}

impl Authorized<Command> {
    /// How many bytes wait for the proof.
    #[must_use]
    pub const fn wire_bytes(&self) -> usize {
        self.value.bytes.len()
    }
}

impl Masked<Response> {
    /// How many bytes wait for the proof.
    #[must_use]
    pub const fn wire_bytes(&self) -> usize {
        self.value.bytes.len()
    }

    /// The sums of the responses that end in it; none once it is on its way to the log.
    pub fn summaries(&self) -> impl Iterator<Item = &ResponseSummary> {
        self.drafts.iter().filter_map(|draft| match &draft.body {
            Body::Response(response) => match &**response {
                ResponseEvent::Completed(summary) => Some(summary),
                _ => None,
            },
            _ => None,
        })
    }
}

impl<T> Authorized<T> {
    /// It goes on record after `note`, and in one with it: both or neither.
    pub fn after(mut self, note: Note) -> Self {
        self.drafts.splice(0..0, note.drafts);
        self
    }
}

impl Note {
    /// A note of `drafts`.
    pub const fn new(drafts: Vec<Draft>) -> Self {
        Self { drafts }
    }

    /// Whether it says nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.drafts.is_empty()
    }
}

impl<T> Auditable for Authorized<T> {
    fn take_drafts(&mut self) -> Vec<Draft> {
        std::mem::take(&mut self.drafts)
    }
}

impl<T> Auditable for Masked<T> {
    fn take_drafts(&mut self) -> Vec<Draft> {
        std::mem::take(&mut self.drafts)
    }
}

impl Auditable for Note {
    fn take_drafts(&mut self) -> Vec<Draft> {
        std::mem::take(&mut self.drafts)
    }
}
