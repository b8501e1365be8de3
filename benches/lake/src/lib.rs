//! What the benches of recorder and query service share: events as gateways write them, as many as one wants.

pub mod generate;
