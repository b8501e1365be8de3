//! psql: its backslash commands, `\copy`, errors, notices, Ctrl-C.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tallyport_tests::{eventually, psql, said};

use crate::{differences, world};

/// Runs a script of psql and returns both its streams.
fn script(port: u16, text: &str) -> String {
    let mut child = psql(port, "postgres", "postgres")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("psql starts");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("psql reads");
    said(&child.wait_with_output().expect("psql ends"))
}

fn same(text: &str) -> String {
    let Some(world) = world() else { return String::new() };
    let direct = script(world.postgres.port("port"), text);
    let through = script(world.forward.port(), text);
    let differ = differences(&direct, &through);
    assert!(
        differ.is_empty(),
        "psql sees something else through the gateway:\n{}",
        differ.join("\n")
    );
    through
}

#[test]
fn backslash_commands() {
    let seen = same(
        "SET client_min_messages = error;\nDROP SCHEMA IF EXISTS shop CASCADE;\nCREATE SCHEMA shop;\n\
         CREATE TABLE shop.item (id int PRIMARY KEY, name text UNIQUE, price numeric CHECK (price > 0));\n\
         CREATE OR REPLACE VIEW shop.cheap AS SELECT * FROM shop.item WHERE price < 5;\n\
         SET search_path = shop;\n\\d\n\\d item\n\\d+ cheap\n\\dt *.item\n\\dn+\n\\df shop.*\n\\du\n\\l\n\\dp item\n\\dT\n\\di\n\\ds\n\
         \\x\nSELECT 1 AS a, 'b' AS b;\n\\x\n\\echo :SERVER_VERSION_NUM\n",
    );
    assert!(seen.is_empty() || seen.contains("\"item_pkey\" PRIMARY KEY"), "{seen}");
}

#[test]
fn errors_notices_and_transactions() {
    same(
        "SELECT 1/0;\nSELECT * FROM nowhere;\nSELECT 'a'::int;\n\
         DO $$ BEGIN RAISE NOTICE 'hello'; RAISE WARNING 'careful' USING HINT = 'look'; END $$;\n\
         BEGIN;\nCREATE TEMP TABLE x (i int);\nINSERT INTO x VALUES (1);\nSELECT 1/0;\nSELECT 1;\nCOMMIT;\n\
         BEGIN;\nSAVEPOINT s;\nSELECT 1/0;\nROLLBACK TO s;\nSELECT 'on';\nCOMMIT;\n\
         SELECT 1 AS one \\; SELECT 2 AS two;\nPREPARE p AS SELECT $1::int + 1;\nEXECUTE p(41);\n\
         SELECT generate_series(1,3) \\gdesc\n\\set FETCH_COUNT 10\nSELECT g FROM generate_series(1, 35) g;\n",
    );
}

#[test]
fn copy_both_ways() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("rows.csv");
    let text: String = (0..5_000).map(|i| format!("{i},\"row, {i}\"\n")).collect();
    std::fs::write(&file, text).expect("writable");
    let file = file.display();
    let seen = same(&format!(
        "CREATE TEMP TABLE c (i int, t text);\n\\copy c FROM '{file}' CSV\nSELECT count(*), sum(i), max(t) FROM c;\n\
         \\copy (SELECT * FROM c WHERE i % 1000 = 0 ORDER BY i) TO STDOUT\nCOPY c FROM STDIN;\n7\tseven\n\\.\n\
         \\copy c FROM '{file}' WITH (FORMAT csv, FORCE_NOT_NULL (nothing))\nSELECT count(*) FROM c;\n",
    ));
    assert!(seen.is_empty() || seen.contains("COPY 5000"), "{seen}");
}

#[test]
fn interrupt_cancels_the_statement() {
    let Some(world) = world() else { return };
    let sleeping = || {
        let out = psql(world.postgres.port("port"), "postgres", "postgres")
            .args(["-At", "-c", "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(61)%' AND pid <> pg_backend_pid()"])
            .output()
            .expect("psql runs");
        String::from_utf8_lossy(&out.stdout).trim() == "1"
    };
    let child = psql(world.forward.port(), "postgres", "postgres")
        .args(["-c", "SELECT pg_sleep(61)"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("psql starts");
    assert!(eventually(sleeping), "the statement reaches PostgreSQL");
    let began = Instant::now();
    let interrupted =
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(interrupted.success());
    let seen = said(&child.wait_with_output().expect("psql ends"));
    assert!(seen.to_lowercase().contains("cancel"), "{seen}");
    assert!(began.elapsed() < Duration::from_secs(30), "cancelled at once, not after the sleep");
    assert!(eventually(|| !sleeping()), "the statement no longer runs");
    let cancels =
        world.stack.sql("auditor", "SELECT command_id FROM commands WHERE phase = 'cancel'");
    assert!(!cancels.is_empty(), "the cancellation is on record");
}
