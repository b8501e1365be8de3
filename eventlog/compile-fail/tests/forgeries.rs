//! Nobody but the appender makes a `Durable`.

use tallyport_eventlog::Durable;

#[test]
fn a_durable_cannot_be_made_elsewhere() {
    trybuild::TestCases::new().compile_fail("tests/forgeries/*.rs");
}

/// What the forgeries are measured against: this compiles, so their failure is not the setting's.
#[test]
fn a_durable_can_be_looked_at_and_given_up() {
    fn take(durable: Durable<String>) -> String {
        let _on_record = (durable.get().len(), durable.positions().len());
        durable.into_inner()
    }
    let _compiles: fn(Durable<String>) -> String = take;
}
