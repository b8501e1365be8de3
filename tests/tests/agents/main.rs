//! An agent at work on a database, an HTTP service and a cluster, with ordinary clients through `tallyport connect`; and what the
//! audit tells of it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod billing;
mod story;
