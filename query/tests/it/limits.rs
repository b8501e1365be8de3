//! Every bound says its name.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tallyport_access::Authenticator;
use tallyport_access::policy::PolicyStore;
use tallyport_eventlog::Log;
use tallyport_query::{LakeConfig, Limits, ListenConfig, QueryConfig, QueryService, StartError};

use crate::world::{Setup, World, appender};

/// Runs until somebody stops it.
pub const ENDLESS: &str = "SELECT sum(value % 7) FROM generate_series(1, 9000000000000000)";

async fn limited(limits: Limits) -> World {
    World::with(Setup { limits, ..Setup::default() }).await
}

fn code(answer: &Value) -> &str {
    answer["code"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_bytes_and_text_are_bounded() {
    let world = limited(Limits { max_rows: 100, max_sql_bytes: 1000, ..Limits::default() }).await;
    let (status, answer) = world.try_sql("auditor", "SELECT * FROM generate_series(1, 100)").await;
    assert_eq!((status, &answer["row_count"]), (200, &json!(100)));
    let (status, answer) = world.try_sql("auditor", "SELECT * FROM generate_series(1, 101)").await;
    assert_eq!((status, code(&answer)), (422, "answer_too_large"));
    assert!(answer["message"].as_str().unwrap().contains("max_rows"));
    let long = format!("SELECT '{}'", "x".repeat(1000));
    let (status, answer) = world.try_sql("auditor", &long).await;
    assert_eq!((status, code(&answer)), (413, "query_too_long"));
    world.running.stop().await;

    let world = limited(Limits { max_answer_bytes: 1000, ..Limits::default() }).await;
    let (status, answer) = world.try_sql("auditor", "SELECT repeat('x', 2000)").await;
    assert_eq!((status, code(&answer)), (422, "answer_too_large"));
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_is_bounded_by_the_limit_and_by_the_token() {
    let limits = Limits { max_duration: Duration::from_millis(300), ..Limits::default() };
    let world = limited(limits).await;
    let (status, answer) = world.try_sql("auditor", ENDLESS).await;
    assert_eq!((status, code(&answer)), (504, "timed_out"));
    world.running.stop().await;

    let world = World::start().await;
    let token = world.token_for("auditor", 2).await;
    let request = world.http.post(world.url("/v1/sql")).bearer_auth(token);
    let response = request.json(&json!({ "sql": ENDLESS })).send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.json::<Value>().await.unwrap()["code"], "token_expired");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded() {
    let world = limited(Limits { max_memory_bytes: 1 << 20, ..Limits::default() }).await;
    let sql = "SELECT count(*) FROM (SELECT DISTINCT value, md5(value::text) FROM generate_series(1, 500000))";
    let (status, answer) = world.try_sql("auditor", sql).await;
    assert_eq!((status, code(&answer)), (422, "out_of_memory"), "{answer}");
    world.running.stop().await;

    // Whether numbers are missing can be asked of many more of them than there is memory for, of those that lie apart not.
    // Rows on their way take up to half of it.
    let world = limited(Limits { max_memory_bytes: 16 << 20, ..Limits::default() }).await;
    for grouped in ["", " GROUP BY value < 0"] {
        let sql = |number: &str| {
            format!(
                "SELECT count(DISTINCT {number}), max({number}) FROM generate_series(0, 999999){grouped}"
            )
        };
        assert_eq!(world.rows(&sql("value")).await, vec![json!([1_000_000, 999_999])], "{grouped}");
        let (status, answer) = world.try_sql("auditor", &sql("value * 1000")).await;
        assert_eq!((status, code(&answer)), (422, "out_of_memory"), "{grouped}: {answer}");
    }
    world.running.stop().await;
}

/// A question may have all that nobody else has: nothing is set aside for parts of it that could write to disk, since none does.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_may_have_the_memory_that_nobody_has() {
    let world = limited(Limits { max_memory_bytes: 72 << 20, ..Limits::default() }).await;
    // Eight sorts are there from the beginning, of which two or three have rows at a time.
    let numbered: Vec<String> =
        (2..10).map(|by| format!("row_number() OVER (ORDER BY value % {by}, value)")).collect();
    let numbered = numbered.join(" + ");
    let sql = format!(
        "SELECT count(*), max(n) > 0 FROM (SELECT {numbered} AS n FROM generate_series(1, 200000)) t"
    );
    assert_eq!(world.rows(&sql).await, vec![json!([200_000, true])]);
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_at_once_are_bounded_and_a_reader_that_leaves_gives_its_turn_back() {
    let limits = Limits {
        max_concurrent: 1,
        max_queue_wait: Duration::from_millis(200),
        ..Limits::default()
    };
    let world = limited(limits).await;
    let token = world.token("auditor").await;
    let request = world.http.post(world.url("/v1/sql")).bearer_auth(token);
    let endless = tokio::spawn(request.json(&json!({ "sql": ENDLESS })).send());
    let busy = loop {
        let (status, answer) = world.try_sql("auditor", "SELECT 1").await;
        if status != 200 {
            break answer;
        }
    };
    assert_eq!(code(&busy), "busy");
    endless.abort();
    tokio::time::timeout(Duration::from_secs(20), async {
        while world.try_sql("auditor", "SELECT 1").await.0 != 200 {}
    })
    .await
    .expect("the turn comes back");
    let sql =
        "SELECT reason FROM queries WHERE sql LIKE '%9000000000000000%' AND activity = 'failed'";
    let rows = world.rows(sql).await;
    assert!(rows[0][0].as_str().unwrap().contains("reader_left"), "{rows:?}");
    world.running.stop().await;
}

/// Texts that are deep enough to break a stack are refused or answered, never fatal.
#[tokio::test(flavor = "multi_thread")]
async fn deep_texts_do_no_harm() {
    let world = World::start().await;
    let many = |head: &str, piece: &str, tail: &str, count: usize| {
        format!("{head}{}{tail}", piece.repeat(count))
    };
    for sql in [
        many("SELECT 1 WHERE true", " OR true", "", 7_000),
        many("SELECT 1 WHERE true", " OR true", "", 990),
        many("SELECT 1 WHERE true", " AND NOT false", "", 490),
        many("SELECT 1", " + 1", "", 990),
        many("SELECT 1", "::int", "", 990),
        many("SELECT true", " IS NULL", "", 990),
        many("SELECT 'a'", " || 'a'", "", 990),
        many("SELECT ", "(", "1", 990),
        many("SELECT ", "- ", "1", 990),
        many("SELECT 1", " UNION ALL SELECT 1", "", 490),
        many("SELECT ", "NOT ", "true", 990),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(990), " END".repeat(990)),
        format!("SELECT * FROM {}commands{}", "(SELECT * FROM ".repeat(400), ") t".repeat(400)),
        many("SELECT 1 FROM commands", " JOIN commands USING (command_id)", "", 30),
    ] {
        let (status, answer) = world.try_sql("auditor", &sql).await;
        let start: String = sql.chars().take(40).collect();
        assert!(status < 500 || status == 504, "{start}: {status} {answer}");
    }
    assert_eq!(world.value("SELECT 1").await, json!(1), "it still answers");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_never_cross_a_network_in_the_clear() {
    let world = World::start().await;
    let open: std::net::SocketAddr = "0.0.0.0:0".parse().unwrap();
    for (http, pgwire, face) in [
        (Some(ListenConfig::plain(open)), None, "HTTP"),
        (None, Some(ListenConfig::plain(open)), "PostgreSQL"),
    ] {
        let config = QueryConfig {
            lake: LakeConfig::new("file:///nowhere/".parse().unwrap()),
            http,
            pgwire,
            limits: Limits::default(),
        };
        let log: Arc<dyn Log> = Arc::clone(&world.log) as _;
        let authenticator = Authenticator::new(vec![world.issuer.issuer_config()]).unwrap();
        let policies = PolicyStore::from_text("", "test").unwrap();
        let own = appender(&world.log, "query-2").await;
        let started = QueryService::start(config, log, authenticator, policies, own).await;
        match started {
            Err(StartError::CleartextTokens { face: refused, .. }) => assert_eq!(refused, face),
            other => panic!("{face}: {other:?}"),
        }
    }
    world.running.stop().await;
}
