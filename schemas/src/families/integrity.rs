//! The log speaks of itself: who began and stopped writing, what is missing and why, what is sealed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::words;

/// What is known of events that were not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GapOutcome {
    /// They are not on the log.
    NotPersisted,
    /// They may or may not be on the log.
    Unknown,
}

words!(GapOutcome { NotPersisted => "not_persisted", Unknown => "unknown" });

/// What the log says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "activity", rename_all = "snake_case", deny_unknown_fields)]
pub enum Integrity {
    /// A producer began an epoch; always its seq 0.
    ProducerStarted {
        /// The build that writes.
        version: String,
        /// What it is: `gateway`, `recorder`, `query`.
        role: String,
    },
    /// A producer stopped in order; always the last of its epoch.
    ProducerStopped {
        /// Events in the epoch, this one included.
        events: u64,
    },
    /// Sequence numbers of this producer and epoch that were not acknowledged. What waited on them did not pass.
    Gap {
        /// First number, inclusive.
        first_seq: u64,
        /// Last number, inclusive.
        last_seq: u64,
        /// What is known of them.
        outcome: GapOutcome,
        /// Why, as the log said it.
        reason: String,
    },
    /// A signed state of the evidence tree.
    Checkpoint {
        /// Leaves in the tree.
        tree_size: u64,
        /// Root hash, lower-case hexadecimal.
        root: String,
        /// The key that signed.
        key_id: String,
        /// Signature, base64.
        signature: String,
    },
}

impl Integrity {
    pub(crate) const fn activity(&self) -> &'static str {
        match self {
            Self::ProducerStarted { .. } => "producer_started",
            Self::ProducerStopped { .. } => "producer_stopped",
            Self::Gap { .. } => "gap",
            Self::Checkpoint { .. } => "checkpoint",
        }
    }
}
