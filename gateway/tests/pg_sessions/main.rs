//! The gateway between real clients and a real PostgreSQL, over a tunnel in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod api_forms;
mod approvals;
mod approvals_edges;
mod approvals_shared;
mod between;
mod bounds;
mod broken;
mod certificates;
mod chat;
mod clients;
mod delegation;
mod detectors;
mod detectors_beside;
mod fault;
mod fault_forms;
mod grants;
mod harness;
mod in_pieces;
mod introspection;
mod lifecycle;
mod limits;
pub mod masking;
mod proofs;
mod record;
mod record_policy;
mod refusal;
mod renamed;
mod reviewers;
mod revocations;
mod revocations_of_nobody;
mod saml;
mod saml_idp;
mod slowly;
mod told;
mod tools;
mod tools_waiting;
mod transparency;
mod upstream;
mod webhook_attacks;
mod webhooks;
mod wire;
