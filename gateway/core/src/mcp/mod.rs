//! The Model Context Protocol as messages: what a client sent, which revision it speaks, and what it is answered.
//!
//! * [`parse`]: one JSON-RPC message, or why it is none.
//! * [`Era`]: the revisions without sessions (2026-07-28), and those that begin with `initialize`.
//! * [`HeaderView`]: the fields of a request that repeat what its body says, and must say the same.
//! * [`RequestMeta`]: what a request says of its client.
//! * [`ServerQuestion`]: what is asked of a server, and what it means to policy and for the record.
//! * [`RpcError`], [`reply`]: the answers, as the revisions spell them.
//! * [`Events`]: a stream of messages, in whatever pieces it comes.
//! * [`Screening`]: what is hidden in what a server says.
//! * [`Pins`]: which definition of a tool is in use.
//! * [`canonical`]: one text for every value, so that what was agreed to can be told from what was not.
//!
//! Sources: <https://modelcontextprotocol.io/specification>, revisions 2025-06-18, 2025-11-25 and 2026-07-28; JSON-RPC 2.0.
//! Nothing is read here that a message does not say strictly, and nothing is answered in the words of a client but its id.

pub mod reply;

mod canonical;
mod error;
mod headers;
mod id;
mod meaning;
mod message;
mod meta;
mod pins;
mod revision;
mod screen;
mod sse;

pub use canonical::{NotCanonical, canonical};
pub use error::RpcError;
pub use headers::{Field, HeaderView, decoded, encoded, fields_of};
pub use id::Id;
pub use meaning::{ServerQuestion, ToolFacts};
pub use message::{Incoming, Malformed, parse};
pub use meta::{ClientInfo, RequestMeta};
pub use pins::{Pin, Pins, Standing};
pub use revision::{Era, LEGACY_REVISIONS, MODERN_REVISION, initialize_revision};
pub use screen::{MaskRule, Screened, Screening};
pub use sse::{Events, TooLong};

#[cfg(test)]
mod tests;
