//! A human was asked, or answered.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::words;
use crate::{ApprovalId, ColumnRef, CommandId, ObjectRef, Parameter, Principal, StatementKind};

/// What is asked for. The digest binds it to exactly one thing that may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// Names the request.
    pub approval_id: ApprovalId,
    /// SHA-256 over statement, parameters, target, principal, delegation chain, policy version and what else a meaning
    /// rests on, lower-case hexadecimal. Only what has this digest runs.
    pub digest: String,
    /// Whether only the session that asked may run it: its own state is part of what the statement means.
    pub session_bound: bool,
    /// How often it may run.
    pub scope: ApprovalScope,
    /// Who must agree: all of these.
    pub requirements: Vec<ApprovalRequirement>,
    /// The policies that demand it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy_ids: Vec<String>,
    /// SHA-256 of the policy set, lower-case hexadecimal.
    pub policy_version: String,
    /// Why it is asked, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// What would run, or be opened.
    pub asked: Asked,
    /// When it lapses.
    #[schemars(with = "String")]
    pub expires_at: Timestamp,
}

/// Members of a group who must agree.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequirement {
    /// The group.
    pub group: String,
    /// How many of its members.
    pub quorum: u32,
}

/// `2 of dba`.
impl fmt::Display for ApprovalRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.quorum, self.group)
    }
}

/// How often what was approved may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalScope {
    /// Once, before the request lapses.
    Once,
    /// Again and again, in the session that asked, until that ends.
    Session,
    /// For as long as was asked for, from the moment that enough agreed.
    Period,
}

words!(ApprovalScope { Once => "once", Session => "session", Period => "period" });

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Asked {
    /// To run a command.
    Command(Box<AskedCommand>),
    /// To open sessions to the target that the context names: a grant, once it is approved.
    Access(AskedAccess),
}

impl Asked {
    /// The command, where one would run.
    #[must_use]
    pub const fn command(&self) -> Option<&AskedCommand> {
        match self {
            Self::Command(command) => Some(command),
            Self::Access(_) => None,
        }
    }

    /// The access, where that is asked for.
    #[must_use]
    pub const fn access(&self) -> Option<&AskedAccess> {
        match self {
            Self::Access(access) => Some(access),
            Self::Command(_) => None,
        }
    }
}

/// Access to a target for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskedAccess {
    /// For how many seconds, from the moment that enough agreed.
    pub seconds: u64,
    /// What for, as the requester wrote it.
    pub reason: String,
}

/// A command that waits, as a reviewer must see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskedCommand {
    /// Names it; its decisions, its command and its response carry the same.
    pub command_id: CommandId,
    /// The statement's whole text.
    pub statement: String,
    /// Bound parameters, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Parameter>,
    /// What its statements do, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<StatementKind>,
    /// The relations it names or reaches through views; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<ObjectRef>,
    /// The columns it names; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnRef>,
    /// The functions it calls; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<String>,
    /// The labels of what it touches; sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Whether it provably changes nothing.
    pub read_only: bool,
    /// Whether it runs code whose effect cannot be seen from its text.
    pub opaque: bool,
    /// Whether it has an UPDATE or DELETE, and each of them a WHERE clause.
    pub has_where: bool,
    /// Whether it has an UPDATE or DELETE, and each of them names one row by a whole unique key.
    pub by_key: bool,
    /// About how many rows its UPDATE, DELETE and TRUNCATE change at most, by the target's statistics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_rows: Option<u64>,
}

/// A step in an approval's life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "activity", rename_all = "snake_case", deny_unknown_fields)]
pub enum Approval {
    /// It was asked for.
    Requested(Box<ApprovalRequest>),
    /// A reviewer agreed. Whether that was enough is what all events before it say.
    Granted {
        /// The request.
        approval_id: ApprovalId,
        /// Who.
        reviewer: Principal,
        /// What the reviewer wrote.
        comment: Option<String>,
        /// The webhook that vouches for the reviewer; absent where they answered with a token of their own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        webhook: Option<String>,
    },
    /// A reviewer refused: one is enough.
    Denied {
        /// The request.
        approval_id: ApprovalId,
        /// Who.
        reviewer: Principal,
        /// What the reviewer wrote.
        comment: Option<String>,
        /// The webhook that vouches for the reviewer; absent where they answered with a token of their own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        webhook: Option<String>,
    },
    /// Not enough reviewers agreed in time, or it was not used in time.
    Expired {
        /// The request.
        approval_id: ApprovalId,
    },
    /// Nobody waits for it any more.
    Withdrawn {
        /// The request.
        approval_id: ApprovalId,
        /// Why: a stable code such as `cancelled`, `client_gone` or `superseded`.
        cause: String,
    },
    /// A webhook took a message about it.
    Notified {
        /// The request.
        approval_id: ApprovalId,
        /// The webhook, as the gateways' configuration names it.
        webhook: String,
        /// How far the request was, as the message said: its state and the number of answers, such as `pending-1`.
        step: String,
    },
    /// What was approved runs. Only the first of these counts where it may run once.
    Used {
        /// The request.
        approval_id: ApprovalId,
        /// The command that runs.
        command_id: CommandId,
        /// Its digest: that of the request.
        digest: String,
    },
}

impl Approval {
    /// The request it is about.
    #[must_use]
    pub const fn approval_id(&self) -> ApprovalId {
        match self {
            Self::Requested(request) => request.approval_id,
            Self::Granted { approval_id, .. }
            | Self::Denied { approval_id, .. }
            | Self::Expired { approval_id }
            | Self::Withdrawn { approval_id, .. }
            | Self::Notified { approval_id, .. }
            | Self::Used { approval_id, .. } => *approval_id,
        }
    }

    pub(crate) const fn activity(&self) -> &'static str {
        match self {
            Self::Requested(_) => "requested",
            Self::Granted { .. } => "granted",
            Self::Denied { .. } => "denied",
            Self::Expired { .. } => "expired",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Notified { .. } => "notified",
            Self::Used { .. } => "used",
        }
    }

    pub(crate) const fn command_id(&self) -> Option<CommandId> {
        match self {
            Self::Requested(request) => match &request.asked {
                Asked::Command(command) => Some(command.command_id),
                Asked::Access(_) => None,
            },
            Self::Used { command_id, .. } => Some(*command_id),
            Self::Granted { .. }
            | Self::Denied { .. }
            | Self::Expired { .. }
            | Self::Withdrawn { .. }
            | Self::Notified { .. } => None,
        }
    }
}
