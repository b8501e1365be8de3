//! Requests for approvals go out to webhooks, and reviewers answer by them: a chat tool, a pager, a desk of tickets.
//!
//! * [`RawWebhook`] is what a configuration says of one, [`Webhook`] the same, checked.
//! * [`deliver`] tells one of every request that its groups may answer, at least once for every step that a request takes.
//!   What it was told is on the control log: a gateway that dies before it could tell is no reason that nobody does.
//! * [`Keys`] sign what goes out and check what comes in, as Standard Webhooks 1.0 says.
//!
//! What comes in is answered by `api::answers`. A webhook never sees more than a reviewer would, and it decides nothing: the
//! same rules, and the order of the log, say what an answer counts.

mod config;
mod deliver;
mod due;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod message;
mod post;
mod signature;

pub use config::{Answers, RawAnswers, RawReviewer, RawWebhook, Webhook};
pub use post::WebhookError;

pub(crate) use deliver::deliver;
pub(crate) use message::shows_what_is_asked;
pub(crate) use post::Post;
pub(crate) use signature::{Fields, Keys, SignatureError};
