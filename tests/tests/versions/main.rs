//! PostgreSQL 13 to 17: the catalog is read, masks hold, ordinary clients work. Each server is that version's own build.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::path::Path;

use tallyport_tests::{Forward, Stack, psql, said, start_or_say};

const LABELS: &str = "[columns]\n\"app.people.ssn\" = \"pii.ssn\"\n";
const POLICY: &str = r#"
@id("everything")
permit (principal, action, resource) unless { action in Tallyport::Action::"col:any" };
@id("masked") @mask("redact")
permit (principal, action == Tallyport::Action::"col:readMasked", resource);
"#;
const SAMPLE: &str = "\
CREATE SCHEMA app; \
CREATE TABLE app.people (id int PRIMARY KEY, name text, ssn text UNIQUE, \
loud text GENERATED ALWAYS AS (upper(ssn) || '!') STORED); \
CREATE TABLE app.refers (id int, ssn text REFERENCES app.people (ssn)); \
CREATE TABLE app.parts (id int, name text) PARTITION BY RANGE (id); \
CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES FROM (0) TO (100); \
CREATE VIEW app.names AS SELECT id, name FROM app.parts; \
INSERT INTO app.people (id, name, ssn) VALUES (1, 'Ada', '900-in-clear'); \
INSERT INTO app.refers VALUES (1, '900-in-clear'); INSERT INTO app.parts VALUES (1, 'one'), (2, 'two')";

#[test]
fn postgresql_13() {
    version_works("postgresql_13", "13");
}

#[test]
fn postgresql_14() {
    version_works("postgresql_14", "14");
}

#[test]
fn postgresql_15() {
    version_works("postgresql_15", "15");
}

#[test]
fn postgresql_16() {
    version_works("postgresql_16", "16");
}

#[test]
fn postgresql_17() {
    version_works("postgresql_17", "17");
}

fn version_works(test: &str, version: &str) {
    let Some(postgres) = start_or_say(test, "postgres", &["--version", version]) else { return };
    let number = postgres.ready()["version"].as_u64().expect("a version");
    assert_eq!((number / 10_000).to_string(), version, "the server is of that version");
    let port = postgres.port("port");
    let made = psql(port, "postgres", "postgres").args(["-c", SAMPLE]).output().unwrap();
    assert!(made.status.success(), "{}", said(&made));
    let kept = tempfile::tempdir().unwrap();
    let stack = Stack::start(&[
        "--target-url",
        &format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable"),
        "--policy",
        &file(kept.path(), "policy.cedar", POLICY),
        "--masking",
        &file(kept.path(), "masking.toml", LABELS),
    ]);
    let forward = stack.connect("ops-agent", "sample");
    masks_hold(&forward);
    clients_work(&forward, port);
    let statement = "SELECT count(*) AS n FROM commands WHERE statement LIKE '%app.people%' AND disposition = 'forwarded'";
    assert!(stack.sql("auditor", statement)[0]["n"].as_i64() >= Some(1));
}

fn masks_hold(forward: &Forward) {
    for (sql, wanted) in [
        ("SELECT id, ssn, loud FROM app.people", "1|[redacted]|[redacted]"),
        ("SELECT * FROM app.refers", "1|[redacted]"),
    ] {
        let answer = through(forward, &["-At", "-c", sql]);
        assert_eq!(answer.trim(), wanted, "{sql}");
    }
    let denied = through(forward, &["-At", "-c", "SELECT upper(ssn) FROM app.people"]);
    assert!(denied.contains("app.people.ssn is masked"), "{denied}");
    let denied = through(forward, &["-At", "-c", "SELECT most_common_vals FROM pg_stats"]);
    assert!(denied.contains("reading pg_catalog.pg_stats is not possible"), "{denied}");
}

/// What psql sees of the catalog and of open tables is the same as without the gateway.
fn clients_work(forward: &Forward, port: u16) {
    let script = [
        "-c",
        "\\d",
        "-c",
        "\\d app.*",
        "-c",
        "\\dt app.*",
        "-c",
        "\\dn",
        "-c",
        "\\du",
        "-c",
        "\\df app.*",
        "-c",
        "\\l postgres",
        "-c",
        "BEGIN",
        "-c",
        "DECLARE c CURSOR FOR SELECT * FROM app.parts ORDER BY id",
        "-c",
        "FETCH 1 FROM c",
        "-c",
        "COMMIT",
        "-c",
        "SELECT * FROM app.names ORDER BY id",
        "-c",
        "COPY app.parts TO STDOUT",
        "-c",
        "SELECT 1/0",
        "-c",
        "PREPARE p AS SELECT $1::int + 1",
        "-c",
        "EXECUTE p(41)",
    ];
    let direct = psql(port, "postgres", "postgres").args(script).output().unwrap();
    assert_eq!(through(forward, &script), said(&direct));
}

fn through(forward: &Forward, arguments: &[&str]) -> String {
    said(&psql(forward.port(), "any", "postgres").args(arguments).output().unwrap())
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}
