//! One append, one proof.
use tallyport_eventlog::Durable;

fn twice(durable: Durable<String>) -> (Durable<String>, Durable<String>) {
    (durable.clone(), durable) //~ E0599: no method named `clone` found for struct `Durable<T>`
}

fn main() {}
