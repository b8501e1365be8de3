//! The corpus: what must never be exchanged for a token, each for its own reason, and good assertions that prove that
//! the reasons are the only difference.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod conditions;
mod good;
mod idp;
mod markup;
mod random;
mod settings;
mod signatures;
mod wrapping;
