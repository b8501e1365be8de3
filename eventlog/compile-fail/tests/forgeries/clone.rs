//! One append, one proof.
use tallyport_eventlog::Durable;

fn twice(durable: Durable<String>) -> (Durable<String>, Durable<String>) {
    (durable.clone(), durable)
}

fn main() {}
