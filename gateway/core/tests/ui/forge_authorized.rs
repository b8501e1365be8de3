//! Nobody but the judge's unit makes an Authorized.
use gateway_core::passage::{Authorized, Command};

fn forge(command: Command) -> Authorized<Command> {
    Authorized { value: command, drafts: Vec::new() }
}

fn main() {}
