//! One family per file.

pub mod approval;
pub mod authentication;
pub mod command;
pub mod decision;
pub mod integrity;
pub mod policy;
pub mod query;
pub mod response;
pub mod revocation;
pub mod session;
