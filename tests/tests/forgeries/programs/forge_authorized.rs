//! Nobody but the judge's unit makes an Authorized.
use gateway_core::passage::{Authorized, Command};

fn forge(command: Command) -> Authorized<Command> {
    Authorized { value: command, drafts: Vec::new() } //~ E0451: fields `value` and `drafts` of struct `Authorized` are private
}

fn main() {}
