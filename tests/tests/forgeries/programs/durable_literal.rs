//! A literal needs the fields, which are private.
use tallyport_eventlog::Durable;

fn main() {
    let _forged = Durable { value: 1, positions: Vec::new() }; //~ E0451: fields `value` and `positions` of struct `Durable` are private
}
