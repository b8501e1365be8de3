//! Policy or configuration changed, or a change was refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::words;

/// What was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyKind {
    /// Cedar policies.
    Policy,
    /// Labels and masks.
    Masking,
    /// The service's configuration.
    Config,
}

words!(PolicyKind { Policy => "policy", Masking => "masking", Config => "config" });

/// A change, taken or refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "activity", rename_all = "snake_case", deny_unknown_fields)]
pub enum PolicyChange {
    /// It is in force.
    Loaded {
        /// What.
        kind: PolicyKind,
        /// SHA-256 of what is in force, lower-case hexadecimal.
        version: String,
        /// SHA-256 of what was in force before; absent at start.
        previous: Option<String>,
        /// Where it came from: a file's name, never its content.
        source: String,
    },
    /// It was refused; what was in force before stays in force.
    Rejected {
        /// What.
        kind: PolicyKind,
        /// SHA-256 of what stays in force.
        kept: String,
        /// Where it came from.
        source: String,
        /// Why.
        error: String,
    },
}

impl PolicyChange {
    pub(crate) const fn activity(&self) -> &'static str {
        match self {
            Self::Loaded { .. } => "loaded",
            Self::Rejected { .. } => "rejected",
        }
    }
}
