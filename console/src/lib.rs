//! The pages for people: reviewers sign in at an issuer, and the page in their browser asks the gateway's API and the
//! audit in their name.
//!
//! The page never sees a token: it is in a sealed cookie that only this server can open, and every request of the page
//! goes on with it as a bearer token to the very same API that the command line uses. So there is no second way past the
//! token check, policy or the log, and the API itself takes no cookies. See docs/reference/console.md.
//!
//! Main types: [`Console`] is made of a [`ConsoleConfig`] and gives a router; [`Witness`] puts failed sign-ins on record.

mod assets;
mod config;
mod cookie;
mod error;
mod forward;
mod guard;
mod replay;
mod seal;
mod sign_in;
mod state;

pub use config::{AuditService, ConsoleConfig, ConsoleError, SignInConfig};
pub use seal::SealKey;
pub use sign_in::Witness;
pub use state::Console;
