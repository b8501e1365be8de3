//! A session: one tunnel of one principal to one target, from opening to its one end.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::words;
use crate::{ApprovalId, RevocationId};

/// A step in a session's life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "activity", rename_all = "snake_case", deny_unknown_fields)]
pub enum Session {
    /// Identity is known and policy let the principal in; the target has not been dialled yet.
    Opened {
        /// When it ends at the latest: the token's or grant's expiry.
        #[schemars(with = "Option<String>")]
        expires_at: Option<Timestamp>,
        /// The client's name for itself (`application_name`).
        application: Option<String>,
        /// The startup parameters that were passed on; user and password are never among them.
        parameters: BTreeMap<String, String>,
    },
    /// A just-in-time grant was attached.
    Granted {
        /// The grant's id.
        grant_id: ApprovalId,
        /// When it ends.
        #[schemars(with = "String")]
        expires_at: Timestamp,
    },
    /// Its time ran out, mid-statement or not.
    Expired {
        /// What ran out: `token` or `grant`.
        cause: String,
        /// What passed until then.
        stats: SessionStats,
    },
    /// Somebody ended it.
    Revoked {
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// The revocation, where it was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revocation_id: Option<RevocationId>,
        /// What passed until then.
        stats: SessionStats,
    },
    /// It ended in order.
    Closed {
        /// Who ended it.
        end: SessionEnd,
        /// What passed until then.
        stats: SessionStats,
    },
    /// It ended out of order: a peer vanished, a protocol was broken, the log failed.
    Lost {
        /// A stable code such as `target_unreachable`, `log_unavailable`, `protocol_error`.
        cause: String,
        /// In words, without any value that passed.
        message: String,
        /// What passed until then.
        stats: SessionStats,
    },
}

/// Who ended a session in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// The client said goodbye.
    Client,
    /// The target closed.
    Target,
    /// The gateway shut down.
    Shutdown,
    /// Policy refused it at the door.
    Refused,
}

words!(SessionEnd { Client => "client", Target => "target", Shutdown => "shutdown", Refused => "refused" });

/// What passed in a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionStats {
    /// Commands that reached the target.
    pub commands: u64,
    /// Commands that were refused.
    pub refused: u64,
    /// Rows that reached the agent.
    pub rows: u64,
    /// Bytes that reached the target.
    pub bytes_to_target: u64,
    /// Bytes that reached the agent.
    pub bytes_to_agent: u64,
}

impl Session {
    pub(crate) const fn activity(&self) -> &'static str {
        match self {
            Self::Opened { .. } => "opened",
            Self::Granted { .. } => "granted",
            Self::Expired { .. } => "expired",
            Self::Revoked { .. } => "revoked",
            Self::Closed { .. } => "closed",
            Self::Lost { .. } => "lost",
        }
    }
}
