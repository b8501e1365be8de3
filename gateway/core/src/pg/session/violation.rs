//! What ends a session at once: nothing more passes in either direction.

use tallyport_schemas::ContentError;

use crate::pg::frame::FrameError;
use crate::pg::read::Malformed;
use crate::pg::write::ErrorReply;

/// A broken protocol, a bound, or a result whose masks cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// The agent's bytes are no messages.
    #[error("the client broke the protocol: {0}")]
    AgentFrame(FrameError),
    /// The target's bytes are no messages, or one is too long to be masked or looked into.
    #[error("the target's answer cannot be read: {0}")]
    TargetFrame(FrameError),
    /// A message has not the form of its kind.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The agent sent what no client sends.
    #[error("invalid frontend message type {tag}")]
    UnknownFromAgent {
        /// The kind.
        tag: u8,
    },
    /// The agent sent what it may not send now.
    #[error("the client sent a message of kind `{}` where none is allowed", char::from(*.tag))]
    UnexpectedFromAgent {
        /// The kind.
        tag: u8,
    },
    /// The target sent what nothing asked for.
    #[error("the target sent a message of kind `{}` that nothing asked for", char::from(*.tag))]
    UnexpectedFromTarget {
        /// The kind.
        tag: u8,
    },
    /// A row came while masks or detectors are in force and its columns are not known.
    #[error("a row came without a description while masks or detectors are in force")]
    RowWithoutDescription,
    /// A row has other columns than its description.
    #[error("a row does not fit its description while masks or detectors are in force")]
    RowDoesNotFit,
    /// A masked table's row came as one value.
    #[error("a whole row of a masked table came as one value")]
    WholeRow,
    /// A column comes from a relation that the catalog does not know.
    #[error(
        "a column comes from relation {table_oid}, which the catalog does not know, while masks are in force"
    )]
    UnknownOrigin {
        /// The relation.
        table_oid: u32,
    },
    /// What passes cannot be recorded.
    #[error("what passes cannot be recorded: {0}")]
    Record(#[from] ContentError),
}

impl Violation {
    /// A stable code for the session's last event.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AgentFrame(_)
            | Self::UnknownFromAgent { .. }
            | Self::UnexpectedFromAgent { .. }
            | Self::Malformed(_) => "protocol_error",
            Self::TargetFrame(_) | Self::UnexpectedFromTarget { .. } => "target_protocol_error",
            Self::RowWithoutDescription
            | Self::RowDoesNotFit
            | Self::WholeRow
            | Self::UnknownOrigin { .. } => "masking_uncertain",
            Self::Record(_) => "record_failed",
        }
    }

    /// What the agent gets.
    #[must_use]
    pub fn reply(&self) -> ErrorReply {
        let sqlstate = match self {
            Self::AgentFrame(FrameError::TooLong { .. })
            | Self::TargetFrame(FrameError::TooLong { .. }) => "54000",
            Self::AgentFrame(_)
            | Self::UnknownFromAgent { .. }
            | Self::UnexpectedFromAgent { .. }
            | Self::Malformed(_) => "08P01",
            Self::TargetFrame(_) | Self::UnexpectedFromTarget { .. } => "08P01",
            Self::Record(_) => "58000",
            _ => "42501",
        };
        ErrorReply::fatal(sqlstate, format!("tallyport: {self}"))
            .hint("The session was ended and the reason is on record; connect again.")
    }
}
