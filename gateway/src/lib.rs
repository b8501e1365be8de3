//! The gateway: fronts, targets, sessions. IO that drives gateway-core.

pub mod api;
mod approval;
pub mod config;
pub mod connect;
mod control;
pub mod front;
mod gate;
mod inside;
mod mcp;
mod meters;
mod outgoing;
mod requests;
pub mod service;
mod session;
pub mod targets;
pub mod tls;
mod tunnel;
mod turned_away;
pub mod upstream;
pub mod webhooks;

#[cfg(feature = "fuzz")]
pub use front::fuzz;
pub use mcp::Seal;
#[cfg(feature = "fuzz")]
pub use mcp::fuzz as mcp_fuzz;
pub use requests::NotReached;
pub use service::{Gateway, ProbeError, TargetState};
pub use session::SessionInfo;
pub use tunnel::{BearerToken, ConnectRequest, OpenTunnel, Refusal, TunnelIo, TunnelService};
pub use turned_away::{Cause, TurnedAway};
