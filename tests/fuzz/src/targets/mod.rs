//! One module per target: `run`, `seeds`, and the words that its format is made of.

pub mod answers;
pub mod asked;
pub mod assertion;
pub mod backend;
pub mod block;
pub mod catalog;
pub mod config;
pub mod connect;
pub mod detectors;
pub mod event;
pub mod frames;
pub mod frontend;
pub mod h3_frames;
pub mod heads;
pub mod issuer_said;
pub mod keys;
pub mod log_url;
pub mod login;
pub mod masking;
pub mod mcp_message;
pub mod mcp_server;
pub mod policy;
pub mod proof;
#[cfg(feature = "questions")]
pub mod question;
pub mod routes;
pub mod session;
pub mod sql;
pub mod startup;
pub mod streams;
pub mod svid;
pub mod token;
pub mod webhook;

mod court;
mod recorded;
mod wire;
