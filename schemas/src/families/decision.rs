//! Policy decided.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CommandId;
use crate::words::words;

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It may pass, under the obligations.
    Allow,
    /// It may not.
    Deny,
    /// It waits for a human.
    Pause,
}

words!(Effect { Allow => "allow", Deny => "deny", Pause => "pause" });

/// What a permit demands in return, such as `mask` = `partial:last4`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Obligation {
    /// `mask`, `row_limit`, `require_approval`, `ttl`, `record`.
    pub kind: String,
    /// Its value, as written in the policy.
    pub value: String,
    /// What it applies to, such as `app.customers.ssn`; everything when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
}

/// `kind=value`, or `kind=value@on`.
impl fmt::Display for Obligation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind, self.value)?;
        self.on.as_ref().map_or(Ok(()), |on| write!(f, "@{on}"))
    }
}

/// One decision: the action, on what, and the policies that determined it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The decision.
    pub effect: Effect,
    /// The Cedar actions asked for, such as `sql:connect` or `sql:select`.
    pub actions: Vec<String>,
    /// The resources asked for, such as `orders-db/app.customers`.
    pub resources: Vec<String>,
    /// The ids of the policies that determined it; empty for a denial because nothing permits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy_ids: Vec<String>,
    /// SHA-256 of the policy set, lower-case hexadecimal.
    pub policy_version: String,
    /// What the permits demand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<Obligation>,
    /// Why, in words for the agent and the auditor; no value that passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The command it is about; absent for the decision at session open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_id: Option<CommandId>,
}

impl Decision {
    pub(crate) const fn activity(&self) -> &'static str {
        match self.effect {
            Effect::Allow => "allowed",
            Effect::Deny => "denied",
            Effect::Pause => "paused",
        }
    }
}
