//! The roles of a configuration file, apart and together: gateway, recorder and query as three processes over a real
//! Apache Kafka, a lake on S3 and an OpenID provider, `kill -9` of each in the middle of a load; and all of them, or
//! some, in one process by `tallyport up`.
//!
//! `TALLYPORT_ROLES_ROUNDS` sets how often each is killed (1), `TALLYPORT_SEED` replays the moments of the kills.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod apart;
mod certificates;
mod clock;
mod fresh;
mod lake;
mod secrets;
mod sessions;
mod store_keys;
mod takeover;
mod together;
