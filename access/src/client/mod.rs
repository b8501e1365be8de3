//! Tokens for our own clients: the command line, the local port, the MCP shim, the pages for people.

mod code;
mod credentials;
mod device;
mod key;
mod login;
mod pkce;
mod proof;
mod provider;
mod source;

pub use code::{Begun, CodeAnswer, CodeFlow, SignInError};
pub use credentials::ClientCredentials;
pub use device::{DeviceFlow, DevicePrompt};
pub use key::ClientKey;
pub use login::Login;
pub use proof::ProofKey;
pub use provider::{ChangingSecret, ClientAuthentication, ClientSettings, Granted};
pub use source::{BoundToken, TokenError, TokenSource};
