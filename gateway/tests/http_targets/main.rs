//! Targets of kind `http`, through a real gateway and onto a service that misbehaves on demand (a double, `upstream`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod approvals;
mod credentials;
mod drains;
mod faults;
mod hostile;
mod masks;
mod passing;
mod stalled;
mod tls;
mod upstream;
mod world;
