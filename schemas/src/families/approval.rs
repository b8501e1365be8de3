//! A human was asked, or answered.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CommandId, Principal};

/// What is asked for. The digest binds it to exactly one thing that may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// Names the request.
    pub approval_id: String,
    /// The command that waits.
    pub command_id: Option<CommandId>,
    /// SHA-256 over statement, parameters, target, principal, delegation chain and policy version.
    pub digest: String,
    /// Whose members may answer.
    pub group: String,
    /// How many of them must agree.
    pub quorum: u32,
    /// Why it is asked.
    pub reason: String,
    /// When it lapses.
    #[schemars(with = "String")]
    pub expires_at: Timestamp,
}

/// A step in an approval's life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "activity", rename_all = "snake_case", deny_unknown_fields)]
pub enum Approval {
    /// It was asked for.
    Requested(ApprovalRequest),
    /// A reviewer agreed.
    Granted {
        /// The request.
        approval_id: String,
        /// Who.
        reviewer: Principal,
        /// What the reviewer wrote.
        comment: Option<String>,
    },
    /// A reviewer refused.
    Denied {
        /// The request.
        approval_id: String,
        /// Who.
        reviewer: Principal,
        /// What the reviewer wrote.
        comment: Option<String>,
    },
    /// Nobody answered in time.
    Expired {
        /// The request.
        approval_id: String,
    },
    /// What was approved ran.
    Used {
        /// The request.
        approval_id: String,
        /// The command that ran.
        command_id: CommandId,
    },
}

impl Approval {
    pub(crate) const fn activity(&self) -> &'static str {
        match self {
            Self::Requested(_) => "requested",
            Self::Granted { .. } => "granted",
            Self::Denied { .. } => "denied",
            Self::Expired { .. } => "expired",
            Self::Used { .. } => "used",
        }
    }

    pub(crate) const fn command_id(&self) -> Option<CommandId> {
        match self {
            Self::Requested(request) => request.command_id,
            Self::Used { command_id, .. } => Some(*command_id),
            Self::Granted { .. } | Self::Denied { .. } | Self::Expired { .. } => None,
        }
    }
}
