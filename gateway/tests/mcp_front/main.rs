//! `/mcp` on real fronts: HTTP/1.1 and HTTP/2 over TLS, and HTTP/3. The log is in memory; no target is reached.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod approvals_by_client;
mod approvals_of_calls;
mod authorization;
mod checks;
mod children;
mod client;
mod double;
mod drains;
mod eras;
mod faults;
mod faults_of_servers;
mod hostile_children;
mod hostile_servers;
mod message;
mod order;
mod pins;
mod refusals;
mod servers;
mod sessions;
mod shadowing;
mod states;
mod tasks_that_end;
mod tokens_for_servers;
mod world;
