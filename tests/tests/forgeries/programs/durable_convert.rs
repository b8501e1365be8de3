//! Nothing converts into a proof.
use tallyport_eventlog::Durable;

fn main() {
    let _forged: Durable<u8> = 1_u8.into(); //~ E0277: the trait bound `Durable<u8>: From<u8>` is not satisfied
}
