//! Not even a durable permit shows its bytes but through the one function.
use gateway_core::passage::{Authorized, Command};
use tallyport_eventlog::Durable;

fn peek(durable: &Durable<Authorized<Command>>) -> &[u8] {
    &durable.get().value.bytes //~ E0616: field `value` of struct `Authorized` is private
}

fn main() {}
