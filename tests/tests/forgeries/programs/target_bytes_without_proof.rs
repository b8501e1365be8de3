//! What is not durable has no bytes for the target.
use gateway_core::passage::{self, Authorized, Command};

fn send(authorized: Authorized<Command>) {
    let _bytes = passage::to_target(authorized); //~ E0308: mismatched types
}

fn main() {}
