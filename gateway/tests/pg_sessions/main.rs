//! The gateway between real clients and a real PostgreSQL, over a tunnel in memory.

mod fault;
mod harness;
mod lifecycle;
mod masking;
mod record;
mod refusal;
mod transparency;
mod upstream;
mod wire;
