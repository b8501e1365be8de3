//! A request for a service that nobody recorded.
use gateway_core::passage::Authorized;
use gateway_core::passage::request::{Outgoing, Wanted, to_service};

fn send(request: Authorized<Wanted>) -> Outgoing {
    to_service(request) //~ E0308: mismatched types
}

fn main() {
    let _unused = send;
}
