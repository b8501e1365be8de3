//! What is not durable has no bytes for the agent.
use gateway_core::passage::{self, Masked, Response};

fn send(masked: Masked<Response>) {
    let _bytes = passage::to_agent(masked); //~ E0308: mismatched types
}

fn main() {}
