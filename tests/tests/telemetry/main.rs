//! What operators see of the real binary over a real PostgreSQL: metrics that move as they should, readiness that goes
//! and comes back with what it depends on, traces at a collector, log lines; and that no secret is in any of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod collector;
mod documented;
mod load;
mod outages;
mod planted;
mod process;
mod readiness;
mod relabelled;
mod requests;
mod scrape;
mod secrets;
mod spans;
mod told;
