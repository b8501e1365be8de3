//! What a command does once its arguments are known.

pub mod approvals;
pub mod ask;
#[cfg(feature = "serve")]
pub mod config;
pub mod connect;
mod diff;
mod gateway_api;
mod kubeconfig;
#[cfg(feature = "recorder")]
pub mod lake;
pub mod login;
pub mod mcp;
pub mod mcp_servers;
pub mod policy;
mod policy_test;
pub mod request;
pub mod revoke;
pub mod sessions;
pub mod sql;
