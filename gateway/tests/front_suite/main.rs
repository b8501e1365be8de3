//! The fronts and the connector against an echo service: one binary, so that the gateway is linked once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod aioquic;
mod connect;
mod curl;
mod deadlines;
mod departures;
mod hardening;
mod hardening_tcp;
mod load;
mod raw;
mod routes;
mod shutdown;
mod support;
mod takeover;
mod takeover_socket;
