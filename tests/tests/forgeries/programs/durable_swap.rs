//! What is on record cannot be exchanged for something else.
use tallyport_eventlog::Durable;

fn exchange(mut durable: Durable<String>) {
    durable.value = "something else".to_owned(); //~ E0616: field `value` of struct `Durable` is private
}

fn exchange_in_place(durable: &mut Durable<String>) {
    *durable.get() = "something else".to_owned(); //~ E0594: cannot assign to data in a `&` reference
}

fn main() {}
