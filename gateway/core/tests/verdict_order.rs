//! With `stored_order = "hide"`: rows of a masked table come sorted by all their clear columns, or not at all.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod verdict_support;

use verdict_support::{Bench, LABELS, OPEN_BUT_MASKED};

fn hiding() -> Bench {
    Bench::new(OPEN_BUT_MASKED, &format!("stored_order = \"hide\"\n{LABELS}"))
}

#[test]
fn what_clear_columns_alone_order_passes() {
    let bench = hiding();
    for sql in [
        "SELECT ssn FROM app.customers",
        "SELECT ssn, card AS id FROM app.customers LIMIT 3",
        "SELECT id, ssn FROM app.customers ORDER BY id",
        "SELECT id, name AS who, ssn FROM app.customers ORDER BY who, id LIMIT 3",
        "SELECT c.id, c.name, c.ssn FROM app.customers c ORDER BY c.name DESC, 1",
        "SELECT count(*), min(id), max(name) FROM app.customers WHERE id < 10",
        "SELECT name, count(*) FROM app.customers GROUP BY name ORDER BY name",
        "SELECT c.ssn, o.id FROM app.customers c JOIN app.orders o ON o.customer_id = c.id ORDER BY o.id",
        "SELECT 1",
        "SELECT relname FROM pg_catalog.pg_class",
    ] {
        bench.allows(sql);
    }
}

#[test]
fn what_may_come_in_stored_order_does_not() {
    let bench = hiding();
    for sql in [
        "SELECT * FROM app.customers ORDER BY id",
        "SELECT id FROM app.customers",
        "SELECT id, name FROM app.customers ORDER BY id",
        "SELECT id FROM app.customers ORDER BY id + 0",
        "SELECT id, ssn FROM app.customers ORDER BY 3",
        // The name means the other result.
        "SELECT id, name AS id2, ssn FROM app.customers ORDER BY name, name",
        "SELECT id AS x, name AS id FROM app.customers ORDER BY id",
        "SELECT id + 0 FROM app.customers ORDER BY 1",
        "SELECT array_agg(id) FROM app.customers",
        "SELECT count(*) OVER () FROM app.customers",
        "SELECT max(ctid) FROM app.customers",
        "SELECT ctid, ssn FROM app.customers ORDER BY ctid",
        "SELECT id FROM app.customers ORDER BY id, xmin::text",
        "SELECT (SELECT id FROM app.customers LIMIT 1)",
        "SELECT id FROM (SELECT id FROM app.customers LIMIT 3) x ORDER BY id",
        "WITH x AS (SELECT id FROM app.customers LIMIT 3) SELECT id FROM x ORDER BY id",
        "SELECT id FROM app.customers UNION ALL SELECT 1 ORDER BY 1",
        "INSERT INTO app.scratch (id) SELECT id FROM app.customers",
    ] {
        bench.refuses(sql, "stored");
    }
}

#[test]
fn without_it_ordinary_results_pass() {
    let bench = Bench::masked();
    bench.allows("SELECT * FROM app.customers");
    bench.allows("SELECT id FROM (SELECT id FROM app.customers LIMIT 3) x");
}
