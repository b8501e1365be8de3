//! The audit of the audit: every question is an event too.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CommandId;
use crate::words::words;

/// How a reader asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Face {
    /// PostgreSQL wire.
    Pgwire,
    /// HTTP API (the command line uses it too).
    Http,
}

words!(Face { Pgwire => "pgwire", Http => "http" });

/// How far it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "activity", rename_all = "snake_case", deny_unknown_fields)]
pub enum QueryPhase {
    /// It may run; no row has left yet.
    Started,
    /// It ran to its end.
    Completed {
        /// Rows that left.
        rows: u64,
        /// From start to end, in microseconds.
        duration_us: u64,
    },
    /// Policy refused it.
    Denied {
        /// Why.
        reason: String,
    },
    /// It could not be answered.
    Failed {
        /// Why.
        error: String,
    },
}

/// One question to the audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Names it; its start and end carry the same.
    pub query_id: CommandId,
    /// How it came.
    pub face: Face,
    /// How far it came.
    pub phase: QueryPhase,
    /// The question.
    pub sql: String,
    /// The tables and views it reads; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relations: Vec<String>,
    /// The table version it was answered from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_version: Option<u64>,
}

impl Query {
    pub(crate) const fn activity(&self) -> &'static str {
        match self.phase {
            QueryPhase::Started => "started",
            QueryPhase::Completed { .. } => "completed",
            QueryPhase::Denied { .. } => "denied",
            QueryPhase::Failed { .. } => "failed",
        }
    }
}
