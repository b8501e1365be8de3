//! What a reader without rights, or without measure, cannot do to the others.

use std::time::Duration;

use serde_json::{Value, json};
use tallyport_query::Limits;

use crate::limits::ENDLESS;
use crate::pg;
use crate::world::{Setup, World};

fn code(answer: &Value) -> &str {
    answer["code"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

/// Runs until somebody stops it, and reads nothing but the catalog.
fn endless_without_a_right() -> String {
    endless_over("information_schema.columns", "table_name")
}

/// Rows of a few that were read once: billions of billions.
fn endless_over(table: &str, text: &str) -> String {
    let tables: Vec<_> = (0..9).map(|n| format!("{table} c{n}")).collect();
    format!("SELECT sum(length(c0.{text}) % 7) FROM {}", tables.join(" CROSS JOIN "))
}

/// As many as there are threads would else keep all of them, and no limit would end them: a join of small tables reads once and makes
/// rows for ever, and one whose condition always fails does not even do that.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_keeps_its_thread_keeps_nobody_elses() {
    let limits = Limits { max_duration: Duration::from_secs(6), ..Limits::default() };
    let world = World::with(Setup { limits, ..Setup::default() }).await;
    let threads = std::thread::available_parallelism().unwrap().get();
    let token = world.token("nobody").await;
    // A quarter of a minute without a row, and no end before that: the last one, since it keeps its turn as well.
    let no_pair = "SELECT count(*) FROM (SELECT a.oid AS x FROM pg_catalog.pg_proc a \
         CROSS JOIN (SELECT oid FROM pg_catalog.pg_type LIMIT 40) b) l JOIN pg_catalog.pg_proc r ON l.x + r.oid < 0";
    // Each part would have a thread.
    let many = vec![no_pair; 16].join(" UNION ALL ");
    let many = format!("SELECT sum(n) FROM ({many}) AS parts (n)");
    for sql in [endless_over("pg_catalog.pg_type", "typname"), many, no_pair.to_owned()] {
        let ask = || {
            let request = world.http.post(world.url("/v1/sql")).bearer_auth(&token);
            tokio::spawn(request.json(&json!({ "sql": sql })).send())
        };
        let asked: Vec<_> = (0..threads).map(|_| ask()).collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        let other = tokio::time::timeout(Duration::from_secs(8), world.value("SELECT 40 + 2"));
        assert_eq!(other.await.expect("others have their turns"), json!(42), "{sql}");
        assert!(asked.iter().any(|one| !one.is_finished()), "meanwhile, and not after it: {sql}");
        for one in asked {
            let ended = tokio::time::timeout(Duration::from_secs(20), one).await;
            let answer = ended.expect("it is ended in time").unwrap().unwrap();
            let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            assert!(["timed_out", "busy"].contains(&code(&answer)), "{sql}: {answer}");
        }
    }
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_principal_never_has_all_turns() {
    let limits = Limits {
        max_concurrent: 8,
        max_queue_wait: Duration::from_millis(500),
        ..Limits::default()
    };
    let world = World::with(Setup { limits, ..Setup::default() }).await;
    let endless = endless_without_a_right();
    let token = world.token("nobody").await;
    let ask = || {
        let request = world.http.post(world.url("/v1/sql")).bearer_auth(&token);
        tokio::spawn(request.json(&json!({ "sql": endless })).send())
    };
    let both = [ask(), ask()];
    let started =
        "SELECT count(*) FROM queries WHERE activity = 'started' AND principal_subject = 'nobody'";
    let running = async { while world.value(started).await != json!(2) {} };
    tokio::time::timeout(Duration::from_secs(30), running).await.expect("two may run");
    let (status, answer) = world.try_sql("nobody", "SELECT 1").await;
    assert_eq!((status, code(&answer)), (429, "busy"), "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("you run 2") && message.contains("quarter of max_concurrent"));
    let refused = "SELECT reason FROM queries WHERE activity = 'failed' AND sql = 'SELECT 1'";
    assert!(world.value(refused).await.as_str().unwrap().contains("one principal"));
    assert_eq!(world.value("SELECT 40 + 2").await, json!(42), "the others have their turns");
    both.iter().for_each(tokio::task::JoinHandle::abort);
    let again = async { while world.try_sql("nobody", "SELECT 1").await.0 != 200 {} };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("its turns come back");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_out_of_nothing_are_for_those_who_may_ask_something() {
    let world = World::start().await;
    for sql in [
        ENDLESS,
        "SELECT * FROM range(1, 3)",
        "WITH g AS (SELECT * FROM generate_series(1, 3)) SELECT * FROM g",
        "SELECT (SELECT max(value) FROM generate_series(1, 3))",
        "EXPLAIN ANALYZE SELECT * FROM generate_series(1, 3)",
    ] {
        let (status, answer) = world.try_sql("nobody", sql).await;
        assert_eq!((status, code(&answer)), (403, "denied_by_policy"), "{sql}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains("at least one view"), "{answer}");
    }
    let denied = "SELECT count(*) FROM queries WHERE activity = 'denied'";
    assert_eq!(world.value(denied).await, json!(5));
    let (status, _) = world.try_sql("apprentice", "SELECT * FROM generate_series(1, 3)").await;
    assert_eq!(status, 200);
    // A list of that length would be outside of the memory that is accounted for.
    for sql in ["SELECT range(1, 100000000000)", "SELECT array_repeat(1, 100000000000)"] {
        let (status, answer) = world.try_sql("auditor", sql).await;
        assert_eq!((status, code(&answer)), (400, "invalid_query"), "{sql}: {answer}");
    }
    world.running.stop().await;
}

/// Each overflows a column inside the engine: where it builds one of single values it panics, elsewhere it says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_the_engine_is_an_error_on_record() {
    // A little over 2 GiB in one column, which nothing says before it is there.
    let limits = Limits { max_memory_bytes: 8 << 30, ..Limits::default() };
    let world = World::with(Setup { limits, ..Setup::default() }).await;
    let rows = "SELECT value, CASE WHEN value > 0 THEN repeat('x', 100000) END AS x FROM generate_series(1, 22000)";
    let large = &format!("SELECT cardinality(array_agg(x ORDER BY value DESC)) FROM ({rows})");
    for sql in [large, &format!("SELECT cardinality(array_agg(x)) FROM ({rows})")] {
        let (status, answer) = world.try_sql("auditor", sql).await;
        assert_eq!((status, code(&answer)), (422, "answer_too_large"), "{sql}: {answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains("too large for the engine"), "{sql}: {message}");
    }
    let sql = "SELECT activity, split_part(reason, ':', 1) FROM queries WHERE sql LIKE '%100000%' \
               AND sql NOT LIKE '%FROM queries%' ORDER BY log_offset";
    let (started, failed) = (json!(["started", null]), json!(["failed", "answer_too_large"]));
    assert_eq!(world.rows(sql).await, [&started, &failed, &started, &failed].map(Clone::clone));

    let client = pg::connect(&world, "auditor").await;
    let error = client.simple_query(large).await.unwrap_err();
    assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("54000"), "{error}");
    client.simple_query("SELECT 1").await.expect("the connection goes on");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recursive_queries_are_refused_by_their_name() {
    let world = World::start().await;
    let recursive =
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT n FROM r";
    let (status, answer) = world.try_sql("auditor", recursive).await;
    assert_eq!((status, code(&answer)), (400, "invalid_query"), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("not offered"), "{answer}");
    let (status, answer) =
        world.try_sql("auditor", &format!("SELECT * FROM ({recursive}) q")).await;
    assert_eq!((status, code(&answer)), (400, "invalid_query"), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("ecursive"), "{answer}");
    world.running.stop().await;
}
