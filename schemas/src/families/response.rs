//! A response: the outcome, on record before the agent sees a byte of it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::words;
use crate::{ColumnRef, CommandId, Content};

/// How much of a response is recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "mode", content = "rows", rename_all = "snake_case", deny_unknown_fields)]
pub enum Recording {
    /// All masked bytes, replayable.
    #[default]
    Full,
    /// The first rows, then the digest.
    Head(u64),
    /// Digest and counts only.
    Digest,
}

/// `full`, `head:<rows>` or `digest`.
impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("full"),
            Self::Head(rows) => write!(f, "head:{rows}"),
            Self::Digest => f.write_str("digest"),
        }
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponseStatus {
    /// Completed.
    Ok,
    /// The target refused or failed it.
    Error,
    /// A portal gave its limit of rows and waits.
    Suspended,
    /// The target waits for COPY data, or begins to send it.
    CopyStarted,
    /// The session ended before it did.
    Interrupted,
}

words!(ResponseStatus { Ok => "ok", Error => "error", Suspended => "suspended", CopyStarted => "copy_started", Interrupted => "interrupted" });

/// One column of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputColumn {
    /// The name the agent sees.
    pub name: String,
    /// The type's oid.
    pub type_oid: u32,
    /// The column it comes from; absent for expressions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<ColumnRef>,
    /// The mask that was applied, such as `partial:last4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// The labels of its origin; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

/// What was done about something that a content detector found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingAction {
    /// It was masked.
    Mask,
    /// It passed as it was; this is the alert.
    Alert,
    /// Because of it the answer was kept back, or what of it had not passed yet.
    Deny,
}

words!(FindingAction { Mask => "mask", Alert => "alert", Deny => "deny" });

/// What content detectors found, by kind and number: never the value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The detector, such as `email`.
    pub detector: String,
    /// What was done about it.
    pub action: FindingAction,
    /// How often it was found.
    pub count: u64,
}

/// `action detector count`, such as `mask email 3`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.action, self.detector, self.count)
    }
}

/// What passed to the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "activity", rename_all = "snake_case", deny_unknown_fields)]
pub enum Response {
    /// A piece of a response that goes on.
    Chunk {
        /// The command it answers; absent for messages that answer none.
        command_id: Option<CommandId>,
        /// Place among the chunks of this command, from 0.
        chunk: u64,
        /// Rows that begin in this piece.
        rows: u64,
        /// Length of the exact bytes, in bytes.
        wire_bytes: u64,
        /// SHA-256 over the exact bytes, lower-case hexadecimal.
        wire_sha256: String,
        /// The bytes, as far as `recording` keeps them.
        content: Option<Content>,
    },
    /// The last piece, with the sums.
    Completed(ResponseSummary),
    /// Messages that answer no command: notices, notifications, parameter changes, the session's farewell.
    Unsolicited {
        /// The kinds of message, such as `notice` or `parameter_status`.
        kinds: Vec<String>,
        /// Length of the exact bytes, in bytes.
        wire_bytes: u64,
        /// SHA-256 over the exact bytes, lower-case hexadecimal.
        wire_sha256: String,
        /// The bytes.
        content: Option<Content>,
        /// What content detectors found in them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        findings: Vec<Finding>,
    },
}

/// The sums of one response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResponseSummary {
    /// The command it answers.
    pub command_id: CommandId,
    /// How it ended.
    pub status: ResponseStatus,
    /// The command tag, such as `SELECT 3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The SQLSTATE of an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sqlstate: Option<String>,
    /// Rows in all.
    pub rows: u64,
    /// Bytes in all, this piece included.
    pub bytes: u64,
    /// SHA-256 over all bytes of this response in order, lower-case hexadecimal.
    pub sha256: String,
    /// The result's columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<OutputColumn>,
    /// Number of values that were masked.
    pub masked_values: u64,
    /// How much is recorded.
    pub recording: Recording,
    /// Pieces in all, this one included.
    pub chunks: u64,
    /// Length of the exact bytes of this piece, in bytes.
    pub wire_bytes: u64,
    /// SHA-256 over the exact bytes of this piece, lower-case hexadecimal.
    pub wire_sha256: String,
    /// The bytes of this piece, as far as `recording` keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// From forwarding the command to its end, in microseconds.
    pub duration_us: u64,
    /// What content detectors found in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

impl Response {
    pub(crate) const fn activity(&self) -> &'static str {
        match self {
            Self::Chunk { .. } => "chunk",
            Self::Completed(_) => "completed",
            Self::Unsolicited { .. } => "unsolicited",
        }
    }
}
