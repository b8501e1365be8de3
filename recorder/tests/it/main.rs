//! The recorder against real tables, real processes and a real S3 server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod bench;
mod compaction;
mod crash;
mod embedded;
mod file_lake;
mod gone;
mod integrity;
mod kafka;
mod refusals;
mod rows;
mod s3;
mod scripted_log;
mod tampered;
