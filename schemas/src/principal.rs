//! Who: the principal a token names, and on whose behalf it acts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::words;

/// What kind of identity a principal is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    /// A person.
    Human,
    /// An AI agent.
    #[default]
    Agent,
    /// Any other non-human identity: a job, a service, a pipeline.
    Service,
}

words!(PrincipalKind { Human => "human", Agent => "agent", Service => "service" });

/// The identity that a verified token names. Issuer and subject together are the stable id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// The `iss` of the token.
    pub issuer: String,
    /// The `sub` of the token; unique within its issuer.
    pub subject: String,
    /// What people call it; the subject where the token has no better name.
    pub display_name: String,
    /// What it is.
    pub kind: PrincipalKind,
    /// The groups it belongs to, as mapped from claims; sorted, without repeats.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The person or team that answers for it, as mapped from claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// One actor of an RFC 8693 `act` chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// The actor's `sub`.
    pub subject: String,
    /// The actor's `iss`, where the token gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

/// What the token says of the agent beyond its name: model, agent name, task and other mapped claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentAttributes {
    /// The model that acts, such as a vendor's model name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The agent's name or version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The task it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Other attributes that the issuer's claim mapping names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other: BTreeMap<String, String>,
}

impl AgentAttributes {
    /// Whether the token said nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.model.is_none() && self.agent.is_none() && self.task.is_none() && self.other.is_empty()
    }
}
