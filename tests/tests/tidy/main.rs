//! The house rules that a compiler does not hold: who may know whom, how large a file or function may grow, what may
//! never be committed. `tests/tidy-exceptions.toml` names each exception with its reason.

mod edges;
mod hygiene;
mod sizes;
