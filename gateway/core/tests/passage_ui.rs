//! I1 and I2 as types: what must not compile does not.

#[test]
fn permits_cannot_be_forged_cloned_or_bypassed() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
