//! The service over real readers: HTTP, psql, drivers; on a memory log and a Delta table on disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod abuse;
mod ask;
mod barrier;
mod cases;
mod crowd;
mod described;
mod dictionaries;
mod distinct;
mod files;
mod filters;
mod freshness;

mod http;
mod joins;
mod large;
mod leaving;
mod left_out;
mod limits;
mod pg;
mod pg_entry;
mod places;
mod policy;
mod postgres;
mod requests;
mod requests_made;
mod s3;
mod story;
mod tool_calls;
mod views;
mod world;
