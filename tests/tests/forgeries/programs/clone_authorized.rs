//! One permit passes once.
use gateway_core::passage::{Authorized, Command};

fn twice(authorized: Authorized<Command>) -> (Authorized<Command>, Authorized<Command>) {
    (authorized.clone(), authorized) //~ E0599: no method named `clone` found for struct `Authorized<T>`
}

fn main() {}
