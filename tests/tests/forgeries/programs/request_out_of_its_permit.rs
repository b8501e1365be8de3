//! What a service is to get, taken out before it is on record.
use gateway_core::passage::request::{Outgoing, Wanted};

fn take(wanted: Wanted) -> Outgoing {
    wanted.outgoing //~ E0616: field `outgoing` of struct `Wanted` is private
}

fn main() {
    let _unused = take;
}
