//! What a view leaves out cannot be found out by what is asked of the view, and no error says it.

use serde_json::json;

use crate::places::everywhere;
use crate::world::World;

/// Fails on every text with the secret in it, which no row of `commands` has.
const FAILS: &str =
    "CASE WHEN statement LIKE '%of the auditors%' THEN CAST(statement AS INT) ELSE 1 END";

async fn looked_for(world: &World, place: &str) {
    let _asked = world.rows("SELECT 'a secret of the auditors'").await;
    let secret = "SELECT count(*) > 0 FROM queries WHERE sql LIKE '%of the auditors%'";
    assert_eq!(world.value(secret).await, json!(true), "{place}");
    for sql in [
        format!("SELECT 1 FROM commands WHERE {FAILS} = 2"),
        format!("SELECT 1 FROM commands WHERE {FAILS} = 2 AND time > now() - INTERVAL '1 day'"),
        format!("SELECT max({FAILS}) FROM commands"),
        format!("SELECT {FAILS} AS x FROM commands ORDER BY x LIMIT 1"),
        format!("SELECT session_id FROM commands ORDER BY {FAILS}, session_id LIMIT 1"),
        format!("SELECT 1 FROM commands JOIN (VALUES (7)) AS v (n) ON {FAILS} = n"),
        format!("SELECT count(*) FROM (SELECT {FAILS} AS x FROM commands) c WHERE x > 1"),
    ] {
        let (status, answer) = world.try_sql("apprentice", &sql).await;
        assert_eq!(status, 200, "{place}: {sql}: {answer}");
        assert!(answer.get("error").is_none(), "{place}: {sql}: {answer}");
    }
    // Of a whole number there is nothing that fails, and of its rows a view has the first.
    let (_, answer) = world.try_sql("apprentice", "SELECT statement FROM commands LIMIT 1").await;
    assert_eq!(answer["row_count"], json!(1), "{place}: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_of_rows_that_a_view_leaves_out() {
    everywhere(looked_for).await;
}

async fn failed(world: &World, place: &str) {
    for (sql, says) in [
        ("SELECT CAST(statement AS INT) FROM commands", "cast to Int32"),
        ("SELECT 1 FROM commands WHERE CAST(statement AS INT) = 1", "cast to Int32"),
        ("SELECT 1 FROM events WHERE CAST(statement AS BIGINT) = 1", "cast to Int64"),
        ("SELECT 1 FROM events WHERE CAST(statement AS timestamp) > now()", "try_cast"),
    ] {
        let (status, answer) = world.try_sql("auditor", sql).await;
        let error = if status == 200 { &answer["error"] } else { &answer };
        assert_eq!(error["code"], "failed", "{place}: {sql}: {answer}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(says), "{place}: {sql}: {message}");
        for value in ["app.", "SELECT", "DELETE"] {
            assert!(!message.contains(value), "{place}: {sql}: {message}");
        }
    }
    let tried = "SELECT count(TRY_CAST(statement AS INT)) FROM commands";
    assert_eq!(world.value(tried).await, json!(0), "{place}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_says_what_failed_and_no_value() {
    everywhere(failed).await;
}
