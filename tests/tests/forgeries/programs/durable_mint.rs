//! The mint is the crate's own.
use tallyport_eventlog::Durable;

fn main() {
    let _forged = Durable::mint(1, Vec::new()); //~ E0624: associated function `mint` is private
}
