//! What a newcomer sees first: the demo's story, the ready file of `dev`, exit codes, a session replayed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod contract;
mod replay;
mod story;
