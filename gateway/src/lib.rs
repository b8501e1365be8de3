//! The gateway: fronts, targets, sessions. IO that drives gateway-core.

mod tunnel;

pub use tunnel::{BearerToken, ConnectRequest, OpenTunnel, Refusal, TunnelIo, TunnelService};
