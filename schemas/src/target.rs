//! To where: the configured target of a session, the call that it belongs to, and the network addresses of both ends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CommandId;
use crate::words::words;

/// The protocol a target speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    /// PostgreSQL, protocol version 3.
    Postgresql,
    /// A server of the Model Context Protocol.
    Mcp,
    /// An HTTP service, by its routes.
    Http,
    /// The API of a Kubernetes cluster.
    Kubernetes,
}

words!(TargetKind { Postgresql => "postgresql", Mcp => "mcp", Http => "http", Kubernetes => "kubernetes" });

/// A target by its configured name. The agent never chooses a host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TargetRef {
    /// The name in the configuration.
    pub name: String,
    /// The protocol it speaks.
    pub kind: TargetKind,
    /// The database within it, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

/// One call of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallRef {
    /// The command that the call is on record as.
    pub call_id: CommandId,
    /// The server that has the tool, by its configured name.
    pub server: String,
    /// The tool, as the server calls it.
    pub tool: String,
}

/// A network address as seen by the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// IPv4 or IPv6 address, without brackets.
    pub ip: String,
    /// Port.
    pub port: u16,
}

impl From<std::net::SocketAddr> for Endpoint {
    fn from(addr: std::net::SocketAddr) -> Self {
        Self { ip: addr.ip().to_string(), port: addr.port() }
    }
}
