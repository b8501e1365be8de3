//! The house rules that a compiler does not hold: who may know whom, how large a file or function may grow, what may
//! never be committed. `tests/tidy-exceptions.toml` names each exception with its reason.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod edges;
mod hygiene;
mod roles;
mod sizes;
