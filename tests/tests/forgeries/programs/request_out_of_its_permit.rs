//! What a service is to get, taken out before it is on record.
use gateway_core::passage::request::{Outgoing, Wanted};

fn take(wanted: Wanted) -> Outgoing {
    wanted.0 //~ E0616: field `0` of struct `Wanted` is private
}

fn main() {
    let _unused = take;
}
