//! Targets of kind `kubernetes`, through a real gateway, with real clients, onto a real API server (`deploy/dev/kube`); its pods run
//! on kwok's node, and what runs in their containers runs on this machine.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod clients;
mod exec;
mod faults;
mod hostile;
mod long;
mod objects;
mod stalled;
mod world;
