//! There is no proof of nothing.
use tallyport_eventlog::Durable;

fn main() {
    let _forged: Durable<u8> = Default::default(); //~ E0277: the trait bound `Durable<u8>: Default` is not satisfied
}
