//! Tokens for our own clients: the command line, the local port, the MCP shim.

mod credentials;
mod source;

pub use credentials::ClientCredentials;
pub use source::{TokenError, TokenSource};
