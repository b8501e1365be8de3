//! The event log as its callers meet it: one binary, so that it links once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod conformance;
mod crash;
mod credentials;
mod durability;
mod faults;
mod full_disk;
mod kafka;
mod reopen;
mod torn;

/// A seed that is printed, or the one of the run to repeat.
fn seed(test: &str) -> u64 {
    let given = std::env::var("TALLYPORT_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(rand::random::<u64>);
    eprintln!("{test}: repeat with TALLYPORT_SEED={seed}");
    seed
}

fn not_run(test: &str, why: impl std::fmt::Display) {
    eprintln!("NOT RUN: {test}: {why}");
}
