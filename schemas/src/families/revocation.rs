//! Access ends before its time, on every gateway.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ApprovalId, RevocationId, SessionId};

/// What is ended, by whoever the event's context names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevocationOrder {
    /// Names it.
    pub revocation_id: RevocationId,
    /// What is ended.
    pub revoked: Revoked,
    /// Why.
    pub reason: String,
    /// Until when it stands; for as long as nobody lifts it where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
}

/// Whose access ends. What is live ends at once, and nothing new of it is let in while the revocation stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Revoked {
    /// One session.
    Session {
        /// Its id.
        session_id: SessionId,
    },
    /// A principal: whoever its tokens name as their subject.
    Principal {
        /// Its issuer.
        issuer: String,
        /// Its id there.
        subject: String,
    },
    /// An agent, whether it acts for itself or for somebody else: as the subject, among the actors, or by its name.
    Agent {
        /// Its issuer; of any where absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
        /// Its id there, or its name.
        subject: String,
    },
    /// All that an issuer vouches for.
    Issuer {
        /// The issuer.
        issuer: String,
    },
    /// A grant.
    Grant {
        /// Its id.
        grant_id: ApprovalId,
    },
}

impl Revoked {
    /// Its kind, as it is written.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Session { .. } => "session",
            Self::Principal { .. } => "principal",
            Self::Agent { .. } => "agent",
            Self::Issuer { .. } => "issuer",
            Self::Grant { .. } => "grant",
        }
    }

    /// What is named within the kind: `ISSUER#SUBJECT` for a principal, as in policies.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Session { session_id } => session_id.to_string(),
            Self::Principal { issuer, subject } | Self::Agent { issuer: Some(issuer), subject } => {
                format!("{issuer}#{subject}")
            }
            Self::Agent { issuer: None, subject } => subject.clone(),
            Self::Issuer { issuer } => issuer.clone(),
            Self::Grant { grant_id } => grant_id.to_string(),
        }
    }
}

/// `session 01a2...`.
impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}

/// A step in a revocation's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "activity", rename_all = "snake_case", deny_unknown_fields)]
pub enum Revocation {
    /// Access ends.
    Revoked(Box<RevocationOrder>),
    /// What stands is said once more by a gateway, so that a log that forgets does not forget it.
    Carried(Box<RevocationOrder>),
    /// It stands no longer.
    Lifted {
        /// The revocation.
        revocation_id: RevocationId,
        /// Why.
        reason: String,
    },
}

impl Revocation {
    /// The revocation it is about.
    #[must_use]
    pub const fn revocation_id(&self) -> RevocationId {
        match self {
            Self::Revoked(order) | Self::Carried(order) => order.revocation_id,
            Self::Lifted { revocation_id, .. } => *revocation_id,
        }
    }

    pub(crate) const fn activity(&self) -> &'static str {
        match self {
            Self::Revoked(_) => "revoked",
            Self::Carried(_) => "carried",
            Self::Lifted { .. } => "lifted",
        }
    }
}
