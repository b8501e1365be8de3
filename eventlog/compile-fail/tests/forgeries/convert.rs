//! Nothing converts into a proof.
use tallyport_eventlog::Durable;

fn main() {
    let _forged: Durable<u8> = 1_u8.into();
}
