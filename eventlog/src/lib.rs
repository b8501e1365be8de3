//! The durable log: nothing passes before the event that records it is here, and [`Durable`] is the proof.
//!
//! * [`Appender::commit`] is the only mint of [`Durable`]: it groups the commits of all sessions into one append.
//! * [`Log`] is what a backend promises; [`open`] chooses one by URL: `embedded:DIR`, `kafka://HOST:PORT`.
//! * One conformance suite (feature `conformance`) runs on every backend; `faults` wraps any of them for tests.
//!
//! There is no way to write an event without waiting for it, and no way to make a [`Durable`] without an append.

pub mod backends;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "faults")]
pub mod faults;

mod appender;
mod durable;
mod log;
mod open;
mod url;

pub use appender::{Appender, AppenderOptions, Auditable, CommitError, LogHealth};
pub use durable::Durable;
pub use log::{AppendError, Entry, Log, LogId, Position, ReadError, Record, Topic};
pub use open::{OpenError, open};
pub use url::{
    Credentials, EmbeddedOptions, HeldSecret, KafkaOptions, LogUrl, SecretSource, UrlError,
};
