//! Audit answers: SQL over the lake and the live tail of the log, with nothing missing between them.
//!
//! * [`QueryService::start`] serves both faces, the HTTP API and the PostgreSQL wire; [`RunningQuery`] stops them.
//! * A query sees one pinned snapshot of the lake and exactly the events of the log that this snapshot lacks.
//! * Readers prove who they are by the same tokens as everybody else, policy says which views they may ask, and every
//!   question is itself an event: on record before its first row leaves, and again before its end is told.
//! * [`ask`] holds the named questions.
//!
//! This crate never writes to the lake, never reads anything but the lake and the log, and never gives an answer that
//! it could not put on record.

pub mod ask;

mod answer;
mod barrier;
mod catalog;
mod config;
mod described;
mod engine;
mod error;
mod functions;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod http;
mod instead;
mod lake;
mod meters;
mod misread;
mod panics;
mod patterns;
mod pg;
mod plan;
mod reader;
mod record;
mod runtime;
mod serve;
mod service;
mod size;
mod state;
mod statement;
mod table;
mod tail;
mod turns;
mod views;

pub use config::{LakeConfig, Limits, ListenConfig, QueryConfig};
pub use error::{QueryError, StartError};
pub use service::{QueryService, RunningQuery};
pub use state::{QueryProbe, QueryState};
