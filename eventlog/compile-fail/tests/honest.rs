//! What the forgeries are measured against: this compiles, so their failure is not the setting's.
use tallyport_eventlog::Durable;

fn take(durable: Durable<String>) -> String {
    let _on_record = (durable.get().len(), durable.positions().len());
    durable.into_inner()
}

fn main() {
    let _unused: fn(Durable<String>) -> String = take;
}
