//! The judge of masking: hostile statements over two states of a database that differ only in the secrets. Whatever
//! the agent sees must be the same bytes in both.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::process::Command;

use dev_services::repo_root;
use tallyport_tests::{Stack, psql, said, start_or_say};

#[test]
fn no_hostile_statement_tells_two_secrets_apart() {
    let test = "no_hostile_statement_tells_two_secrets_apart";
    let Some(postgres) = start_or_say(test, "postgres", &[]) else { return };
    let port = postgres.port("port");
    let fixtures = repo_root().join("tests/fixtures/masking");
    // The gateway's own role must exist before the first session; the judge makes everything else.
    let roles = psql(port, "postgres", "postgres")
        .args(["-c", "CREATE ROLE mk_full LOGIN", "-c", "CREATE DATABASE masklab"])
        .output()
        .expect("psql runs");
    assert!(roles.status.success(), "{}", said(&roles));
    let stack = Stack::start(&[
        "--target-url",
        &format!("postgres://mk_full@127.0.0.1:{port}/masklab?sslmode=disable"),
        "--policy",
        &fixtures.join("hostile.cedar").to_string_lossy(),
        "--masking",
        &fixtures.join("hostile.toml").to_string_lossy(),
    ]);
    let forward = stack.connect("support-agent", "sample");
    let judged = Command::new("python3")
        .arg(fixtures.join("noninterference.py"))
        .args(["--admin-port", &port.to_string(), "--port", &forward.port().to_string()])
        .args(["--user", "mk_full", "--db", "masklab"])
        .output()
        .expect("python3 runs");
    let verdict = said(&judged);
    assert!(judged.status.success(), "{verdict}");
    assert!(verdict.contains("64 attempts: 0 leak"), "{verdict}");
    // A gateway that refuses everything would pass too: plain projections must be answered.
    let answered = verdict
        .split("refused, ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next())
        .map(str::parse::<u32>);
    assert!(matches!(answered, Some(Ok(count)) if count >= 7), "too few were answered: {verdict}");
    let denied = stack.sql("auditor", "SELECT count(*) AS n FROM decisions WHERE effect = 'deny'");
    let count = denied.first().and_then(|row| row.get("n")).and_then(serde_json::Value::as_i64);
    assert!(count.is_some_and(|count| count > 50), "the refusals are on record: {count:?}");
}
