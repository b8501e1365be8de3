//! Peers that mean harm, over real sockets, while an honest session is served: memory stays bounded, and each leaves an
//! event. The table of them is in docs/reliability.md.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod backend_login;
mod backend_session;
mod bodies;
mod client;
#[path = "../pg_sessions/clients.rs"]
#[allow(dead_code, reason = "shared with pg_sessions")]
mod clients;
mod dns;
mod evil;
mod half_closed;
mod handshake_flood;
#[path = "../pg_sessions/harness.rs"]
#[allow(dead_code, unused_macros, unused_imports, reason = "shared with pg_sessions")]
mod harness;
mod headers;
mod stage;
mod stalled_reader;
mod streams;
mod tokens;
#[path = "../pg_sessions/told.rs"]
mod told;
#[path = "../pg_sessions/wire.rs"]
#[allow(dead_code, reason = "shared with pg_sessions")]
mod wire;
