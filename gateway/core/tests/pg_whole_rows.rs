//! A whole row has its table for an origin and no column: should one come, nothing of it passes where a column of it is masked, or may be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod hold_support;
mod verdict_support;

use gateway_core::masking::Masking;
use gateway_core::pg::session::Violation;
use hold_support::{Session, bench_under, frame, query};
use verdict_support::{OPEN_BUT_MASKED, catalog, oid};

/// One result of this table, which is none of its columns.
fn described(table: &str) -> Vec<u8> {
    let oid: u32 = oid(table).parse().unwrap();
    let origin = [&oid.to_be_bytes()[..], &0_i16.to_be_bytes()].concat();
    let of_text = [&25_u32.to_be_bytes()[..], &[0xff; 6], &[0; 2]].concat();
    frame(b'T', &[&b"\0\x01x\0"[..], &origin, &of_text].concat())
}

#[test]
fn a_whole_row_ends_the_session_where_a_column_is_masked_or_expected() {
    let labels =
        "[columns]\n\"app.customers.ssn\" = \"secret\"\n\"app.orders.token\" = \"secret\"\n";
    let masking = Masking::parse(labels, "masking.toml").unwrap();
    for (table, passes) in [("customers", false), ("orders", false), ("notes", true)] {
        let mut session = Session::new();
        session.bench = bench_under(OPEN_BUT_MASKED, catalog(), &masking);
        let _sent = session.agent(&query(&format!("SELECT id FROM app.{table}"))).forwarded();
        session.machine.target_bytes(&described(table));
        let step = session.machine.target_step(1);
        assert_eq!(!matches!(step, Err(Violation::WholeRow)), passes, "{table}: {step:?}");
    }
}
