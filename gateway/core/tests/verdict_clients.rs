//! What clients ask the catalogs passes for a principal that sees columns masked: statements as psql's backslash
//! commands, pgjdbc's metadata, asyncpg's and psycopg's type look-up and pgbench really sent them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod verdict_support;

use std::collections::BTreeMap;

use verdict_support::{Bench, LABELS, OPEN_BUT_MASKED, catalog};

fn statements() -> BTreeMap<String, Vec<String>> {
    serde_json::from_str(include_str!("fixtures/clients-catalog.json")).unwrap()
}

/// Left out on purpose: they read what others do, secrets, or statistics, or change the schema.
const REFUSED: &[&str] = &[
    "pg_stat_",
    "pg_user_mapping",
    "pg_subscription",
    "create table",
    "drop table",
    "alter table",
];

fn check(bench: &Bench) {
    let mut passed = 0;
    let mut wrong = Vec::new();
    for (client, statements) in statements() {
        for sql in statements {
            // Tables that the fixture does not have.
            if sql.contains("pgbench_") && !sql.starts_with("select o.n") {
                continue;
            }
            let refused = REFUSED.iter().any(|word| sql.contains(word));
            let verdict = bench.judge(&sql);
            if verdict.is_allowed() == refused {
                wrong.push(format!("{client}: {:?}\n{sql}", verdict.decision.reasons));
            }
            passed += usize::from(verdict.is_allowed());
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n---\n"));
    assert!(passed > 200, "{passed}");
}

#[test]
fn a_masked_principal_may_describe_the_database() {
    check(&Bench::over(catalog(), OPEN_BUT_MASKED, LABELS, &["agents"], "sample"));
}

#[test]
fn the_example_policy_lets_support_describe_the_database() {
    let policy = include_str!("../../../deploy/examples/policy.cedar");
    let labels =
        LABELS.replace("\"secret\"", "\"pii.ssn\"").replace("\"secret.hidden\"", "\"pii.salary\"");
    let bench = Bench::over(catalog(), policy, &labels, &["support-agents"], "sample");
    assert!(!bench.judge.masks().is_empty());
    let mut wrong = Vec::new();
    for sql in statements().remove("psql 15").unwrap_or_default() {
        let refused = REFUSED.iter().any(|word| sql.contains(word));
        let verdict = bench.judge(&sql);
        if verdict.is_allowed() == refused {
            wrong.push(format!("{:?}\n{sql}", verdict.decision.reasons));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n---\n"));
    bench.allows("SELECT id, ssn FROM app.customers");
    bench.refuses("SELECT upper(ssn) FROM app.customers", "is masked for you");
    bench.refuses(
        "UPDATE app.orders SET total = 0 WHERE id = 1",
        "no policy permits sql:update on app.orders",
    );
    bench.refuses("SELECT name FROM hr.staff", "no policy permits sql:select on hr.staff");
}
