//! What the gateway is told: `[[targets]]` of each kind, and limits. Raw serde structs become checked types at start.

mod any_target;
mod http_target;
mod kube_target;
mod mcp;
mod mcp_server;
mod mcp_way;
mod oauth2;
mod request_target;
mod target;

pub use any_target::{AnyTarget, RawAnyTarget};
pub use http_target::{HttpKind, HttpTarget, RawBasic, RawHttpTarget, RawRoute};
pub use kube_target::{KubernetesKind, RawKubernetesTarget, RawObjectHide};
pub(crate) use mcp::McpHost;
pub use mcp::{McpConfig, McpLimits, RawMcp, RawMcpScopes};
pub use mcp_server::{McpServer, RawMcpMask, RawMcpServer, RawMcpServerLimits};
pub(crate) use mcp_server::{McpServerLimits, SEPARATOR};
pub use mcp_way::RawMcpProcesses;
pub(crate) use mcp_way::{McpEndpoint, McpProcess, McpWay};
pub use oauth2::RawOAuth2;
pub(crate) use oauth2::{OAuth2, OAuth2Issuer, OAuth2Proof};
pub(crate) use request_target::Shown;
pub use request_target::{RawHide, RawRequestTarget, RequestTarget};
pub use tallyport_access::{Credential, CredentialError, Secret};
pub use target::{Address, ClientIdentity, RawTarget, SslMode, Target, TargetLimits};

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tallyport_access::saml::SamlExchange;

use crate::mcp::Seal;
use crate::webhooks::Webhook;

/// A value of the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ConfigError {
    /// The key, such as `targets.orders-db.sslmode`.
    pub key: String,
    /// What is wrong and how to fix it.
    pub problem: String,
}

impl ConfigError {
    pub(crate) fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into() }
    }
}

/// Limits of the gateway as a whole, as written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawGatewayLimits {
    /// The most sessions at once (default 4096).
    pub max_sessions: Option<usize>,
    /// The most sessions of one principal at once (default 1024).
    pub max_sessions_per_principal: Option<usize>,
    /// The most requests under way at once, to all HTTP services, clusters and MCP servers together (default 2048).
    pub max_requests: Option<usize>,
    /// The most of one principal (default 256).
    pub max_requests_per_principal: Option<usize>,
    /// The longest a client takes for its start-up packets, in seconds (default 30).
    pub startup_seconds: Option<u64>,
    /// The longest a target takes until it is ready, in seconds (default 10).
    pub dial_seconds: Option<u64>,
    /// The longest an answer waits for an agent that takes nothing of it, in seconds (default 60).
    pub stalled_reader_seconds: Option<u64>,
}

/// Limits of the gateway as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayLimits {
    /// The most sessions at once.
    pub max_sessions: usize,
    /// The most sessions of one principal at once.
    pub max_sessions_per_principal: usize,
    /// The most requests under way at once, to all HTTP services, clusters and MCP servers together.
    pub max_requests: usize,
    /// The most of one principal.
    pub max_requests_per_principal: usize,
    /// The longest a client takes for its start-up packets.
    pub startup_timeout: Duration,
    /// The longest a target takes until it is ready.
    pub dial_timeout: Duration,
    /// The longest an answer waits for an agent that takes nothing of it.
    pub stalled_reader_timeout: Duration,
    /// How often the count of strangers that were turned away goes on record. No setting of the file.
    pub strangers_interval: Duration,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            max_sessions: 4096,
            max_sessions_per_principal: 1024,
            max_requests: 2048,
            max_requests_per_principal: 256,
            startup_timeout: Duration::from_secs(30),
            dial_timeout: Duration::from_secs(10),
            stalled_reader_timeout: Duration::from_secs(60),
            strangers_interval: Duration::from_secs(10),
        }
    }
}

impl RawGatewayLimits {
    /// Checks them.
    ///
    /// # Errors
    /// When one is 0 or out of reason.
    pub fn check(&self) -> Result<GatewayLimits, ConfigError> {
        let fallback = GatewayLimits::default();
        let seconds = |key: &str, value: Option<u64>, fallback: Duration| match value {
            None => Ok(fallback),
            Some(value @ 1..=3600) => Ok(Duration::from_secs(value)),
            Some(value) => Err(ConfigError::new(
                format!("gateway.limits.{key}"),
                format!("{value} is not within 1 to 3600"),
            )),
        };
        let most = |key: &str, value: Option<usize>, fallback: usize| match value {
            Some(0) => Err(ConfigError::new(
                format!("gateway.limits.{key}"),
                "0 would refuse everybody; use 1 or more",
            )),
            value => Ok(value.unwrap_or(fallback)),
        };
        Ok(GatewayLimits {
            max_sessions: most("max_sessions", self.max_sessions, fallback.max_sessions)?,
            max_sessions_per_principal: most(
                "max_sessions_per_principal",
                self.max_sessions_per_principal,
                fallback.max_sessions_per_principal,
            )?,
            max_requests: most("max_requests", self.max_requests, fallback.max_requests)?,
            max_requests_per_principal: most(
                "max_requests_per_principal",
                self.max_requests_per_principal,
                fallback.max_requests_per_principal,
            )?,
            startup_timeout: seconds(
                "startup_seconds",
                self.startup_seconds,
                fallback.startup_timeout,
            )?,
            dial_timeout: seconds("dial_seconds", self.dial_seconds, fallback.dial_timeout)?,
            stalled_reader_timeout: seconds(
                "stalled_reader_seconds",
                self.stalled_reader_seconds,
                fallback.stalled_reader_timeout,
            )?,
            strangers_interval: fallback.strangers_interval,
        })
    }
}

/// What the gateway serves.
#[derive(Clone, Debug, Default)]
pub struct GatewayConfig {
    /// The targets, each with a name of its own.
    pub targets: Vec<AnyTarget>,
    /// Limits of the gateway as a whole.
    pub limits: GatewayLimits,
    /// Exchanges SAML assertions for tokens; nobody is signed in so where absent.
    pub saml: Option<Arc<SamlExchange>>,
    /// The hosts that it is known by: those of its certificate. A proof of possession must be for one of them.
    pub names: Vec<String>,
    /// Marks what clients carry for MCP servers: [`ServerIdentity::seal`](crate::tls::ServerIdentity::seal), so that it counts at
    /// every gateway of one certificate; of this process alone by default.
    pub seal: Seal,
    /// Who is told of requests for approvals.
    pub webhooks: Vec<Webhook>,
    /// How `/mcp` is served; not at all where absent.
    pub mcp: Option<McpConfig>,
}
