//! What policy sees of a statement's effect: whether it names its row by a key, about how many rows it changes, which
//! columns and labels it names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod verdict_support;

use gateway_core::sql::Parsed;
use gateway_core::verdict::Facts;
use tallyport_schemas::{CommandId, Effect};
use verdict_support::{Bench, LABELS, catalog, catalog_with, context, oid};

/// `app.orders` has a primary key on its first column, and 5,000 rows; `app.customers` has an unknown number.
fn facts(text: &str) -> Facts {
    let orders = oid("orders");
    let more: [(&str, &[&str]); 2] =
        [("keys", &[&orders, "1", "1"]), ("sizes", &[&orders, "5000"])];
    let bench = Bench::over(catalog_with(&more), verdict_support::OPEN, "", &["agents"], "sample");
    let parsed = Parsed::parse(text).unwrap();
    bench.judge.judge(&parsed, &bench.state, &context(), CommandId::new()).facts
}

#[test]
fn a_row_is_named_by_a_whole_key_or_it_is_not() {
    for (text, by_key, rows) in [
        ("DELETE FROM app.orders WHERE id = 1", true, Some(1)),
        ("DELETE FROM app.orders WHERE 1 = id", true, Some(1)),
        ("DELETE FROM app.orders o WHERE o.id = $1", true, Some(1)),
        ("DELETE FROM app.orders WHERE id = '7'::int AND note = 'x'", true, Some(1)),
        ("UPDATE app.orders SET note = 'x' WHERE (id = 1)", true, Some(1)),
        (
            "UPDATE app.orders o SET note = c.name FROM app.customers c WHERE o.id = 1",
            true,
            Some(1),
        ),
        ("DELETE FROM app.orders", false, Some(5000)),
        ("DELETE FROM app.orders WHERE note = 'x'", false, Some(5000)),
        ("DELETE FROM app.orders WHERE id > 1", false, Some(5000)),
        ("DELETE FROM app.orders WHERE id = 1 OR true", false, Some(5000)),
        ("DELETE FROM app.orders WHERE NOT id = 1", false, Some(5000)),
        ("DELETE FROM app.orders WHERE id = id", false, Some(5000)),
        ("DELETE FROM app.orders WHERE id = 1 + 1", false, Some(5000)),
        ("DELETE FROM app.orders WHERE id IN (1)", false, Some(5000)),
        ("DELETE FROM app.orders WHERE id = ANY (ARRAY[1])", false, Some(5000)),
        ("DELETE FROM app.orders WHERE id = (SELECT 1)", false, Some(5000)),
        ("DELETE FROM app.orders WHERE id IS NOT DISTINCT FROM 1", false, Some(5000)),
        // Whose `id`? The customers' may be it.
        ("DELETE FROM app.orders USING app.customers WHERE id = 1", false, Some(5000)),
        ("DELETE FROM app.orders o USING app.customers c WHERE c.id = 1", false, Some(5000)),
        ("DELETE FROM app.orders o WHERE orders.id = 1", false, Some(5000)),
        ("DELETE FROM app.customers WHERE id = 1", false, None),
        ("DELETE FROM app.nowhere WHERE id = 1", false, None),
        ("TRUNCATE app.orders", false, Some(5000)),
        ("TRUNCATE app.orders, app.customers", false, None),
        ("DELETE FROM app.orders WHERE id = 1; DELETE FROM app.orders WHERE id = 2", true, Some(2)),
        ("DELETE FROM app.orders WHERE id = 1; DELETE FROM app.orders", false, Some(5001)),
        (
            "WITH gone AS (DELETE FROM app.orders WHERE note = 'x' RETURNING id) UPDATE app.orders SET note = 'y' WHERE id = 1",
            false,
            None,
        ),
        ("INSERT INTO app.orders (id) VALUES (1)", false, None),
        (
            "INSERT INTO app.orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET note = 'x'",
            false,
            None,
        ),
        ("SELECT * FROM app.orders WHERE id = 1", false, None),
    ] {
        let found = facts(text);
        if text.starts_with("WITH") {
            assert_eq!(found.by_key, by_key, "{text}");
            continue;
        }
        assert_eq!((found.by_key, found.estimated_rows), (by_key, rows), "{text}");
    }
}

#[test]
fn an_equality_of_a_users_own_is_none() {
    let orders = oid("orders");
    let mut more: Vec<(&str, &[&str])> = Vec::new();
    let key = [orders.as_str(), "1", "1"];
    more.push(("keys", &key));
    let by_key = |more: &[(&str, &[&str])]| {
        let bench =
            Bench::over(catalog_with(more), verdict_support::OPEN, "", &["agents"], "sample");
        let parsed = Parsed::parse("DELETE FROM app.orders WHERE id = 1").unwrap();
        bench.judge.judge(&parsed, &bench.state, &context(), CommandId::new()).facts.by_key
    };
    assert!(by_key(&more));
    more.push(("operators", &["app", "=", "plpgsql", ""]));
    assert!(!by_key(&more));
}

#[test]
fn a_key_of_two_columns_needs_both() {
    let orders = oid("orders");
    let (one, two) = ([orders.as_str(), "9", "1"], [orders.as_str(), "9", "2"]);
    let more: [(&str, &[&str]); 2] = [("keys", &one), ("keys", &two)];
    let bench = Bench::over(catalog_with(&more), verdict_support::OPEN, "", &["agents"], "sample");
    let name = catalog().column(orders.parse().unwrap(), 2).unwrap().column;
    let by_key = |text: &str| {
        let parsed = Parsed::parse(text).unwrap();
        bench.judge.judge(&parsed, &bench.state, &context(), CommandId::new()).facts.by_key
    };
    assert!(!by_key("DELETE FROM app.orders WHERE id = 1"));
    assert!(by_key(&format!("DELETE FROM app.orders WHERE id = 1 AND \"{name}\" = '2'")));
}

#[test]
fn policy_decides_by_key_rows_columns_and_labels() {
    let orders = oid("orders");
    let (key, size) = ([orders.as_str(), "1", "1"], [orders.as_str(), "5000"]);
    let more: [(&str, &[&str]); 2] = [("keys", &key), ("sizes", &size)];
    let policy = r#"
        @id("reads") permit (principal, action in [Tallyport::Action::"sql:select", Tallyport::Action::"col:read"], resource)
        unless { context.labels.contains("secret") || context.columns.contains("app.orders.note") };
        @id("few") permit (principal, action == Tallyport::Action::"sql:delete", resource)
        when { context.byKey || (context has estimatedRows && context.estimatedRows < 100) };
        @id("many") @require_approval("1 of dba") permit (principal, action == Tallyport::Action::"sql:delete", resource)
        unless { context.byKey };
    "#;
    let bench = Bench::over(catalog_with(&more), policy, LABELS, &["agents"], "sample");
    let effect = |text: &str| {
        let parsed = Parsed::parse(text).unwrap();
        bench.judge.judge(&parsed, &bench.state, &context(), CommandId::new()).decision.effect
    };
    assert_eq!(effect("DELETE FROM app.orders WHERE id = 1"), Effect::Allow);
    assert_eq!(effect("DELETE FROM app.orders WHERE id > 1"), Effect::Pause);
    assert_eq!(effect("SELECT id FROM app.orders"), Effect::Allow);
    assert_eq!(effect("SELECT note FROM app.orders"), Effect::Deny);
    assert_eq!(effect("SELECT ssn FROM app.customers"), Effect::Deny);
    assert_eq!(effect("SELECT id FROM app.customers"), Effect::Allow);
}
