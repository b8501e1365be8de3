//! What the benches share: the gateway alone on an embedded log, ordinary load, and figures of processes.

pub mod caller;
pub mod figures;
pub mod load;
pub mod stand;
pub mod tunnel;
pub mod upstream;
pub mod watched;
pub mod wire;

/// A bench ends with the first thing that goes wrong.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
