//! Nobody but the appender makes a `Durable`.

#[test]
fn a_durable_cannot_be_made_elsewhere() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/honest.rs");
    cases.compile_fail("tests/forgeries/*.rs");
}
