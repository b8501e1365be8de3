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

/// How the definition of a tool stands to its pin: the definition that was accepted for use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DefinitionState {
    /// It was seen for the first time and pinned.
    Pinned,
    /// It differs from its pin: the tool is out of use.
    Changed,
    /// A change was accepted, and is the pin now.
    Accepted,
    /// The server has the tool no more.
    Gone,
}

words!(DefinitionState { Pinned => "pinned", Changed => "changed", Accepted => "accepted", Gone => "gone" });

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
    /// The definition of a tool of an MCP server was pinned, or is not what was pinned.
    ToolDefinition {
        /// The server, by its configured name.
        server: String,
        /// The tool, as the server calls it.
        tool: String,
        /// How the definition stands to its pin.
        state: DefinitionState,
        /// SHA-256 of the canonical definition as it is now, lower-case hexadecimal; absent where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
        /// SHA-256 of the pin before; absent where there was none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        previous: Option<String>,
        /// Why, in the words of whoever accepted it, or of what differs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

impl PolicyChange {
    pub(crate) const fn activity(&self) -> &'static str {
        match self {
            Self::Loaded { .. } => "loaded",
            Self::Rejected { .. } => "rejected",
            Self::ToolDefinition { .. } => "tool_definition",
        }
    }
}
