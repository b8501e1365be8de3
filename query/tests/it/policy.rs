//! What readers may see, and that every question is on record.

use serde_json::{Value, json};
use tallyport_eventlog::faults::{Fault, FaultKind};

use crate::story;
use crate::world::World;

async fn told() -> World {
    let world = World::start().await;
    for draft in story::drafts() {
        world.commit(draft).await;
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_is_not_permitted_is_denied_however_it_is_reached() {
    let world = told().await;
    let (status, _) = world.try_sql("apprentice", "SELECT statement FROM commands").await;
    assert_eq!(status, 200, "commands are permitted");
    for sql in [
        "SELECT * FROM decisions",
        "SELECT * FROM public.decisions",
        "SELECT * FROM tallyport.public.decisions",
        "SELECT * FROM decisions AS commands",
        "WITH commands AS (SELECT * FROM decisions) SELECT * FROM commands",
        "SELECT 1 FROM commands WHERE command_id IN (SELECT command_id FROM decisions)",
        "SELECT (SELECT max(reason) FROM decisions)",
        "SELECT 1 FROM commands c WHERE EXISTS (SELECT 1 FROM decisions d WHERE d.command_id = c.command_id)",
        "SELECT 1 WHERE 1 = 2 UNION ALL SELECT 1 FROM decisions",
        "SELECT count(*) FROM decisions WHERE false",
        "SELECT c.statement FROM commands c JOIN decisions d ON true",
        "SELECT l.reason FROM commands c, LATERAL (SELECT reason FROM decisions) l",
        "EXPLAIN SELECT * FROM decisions",
    ] {
        let (status, answer) = world.try_sql("apprentice", sql).await;
        assert_eq!(status, 403, "{sql}: {answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains("view `decisions`"), "{sql}: {message}");
    }
    for sql in ["SELECT * FROM events", "SELECT * FROM events AS commands"] {
        let (status, answer) = world.try_sql("apprentice", sql).await;
        assert_eq!(status, 403, "{sql}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains("view `events`"), "{answer}");
    }
    let (status, _) = world.try_sql("nobody", "SELECT 1 FROM commands").await;
    assert_eq!(status, 403);
    let (status, answer) =
        world.try_sql("nobody", "SELECT count(*) FROM pg_catalog.pg_class").await;
    assert_eq!(status, 200, "the catalog is for every reader: {answer}");
    let (status, answer) =
        world.try_sql("nobody", "SELECT table_name FROM information_schema.tables").await;
    assert_eq!(status, 200, "{answer}");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exact_bytes_have_a_permission_of_their_own() {
    let world = told().await;
    for sql in [
        "SELECT raw FROM events",
        "SELECT e.raw FROM events e",
        "SELECT length(raw) FROM events",
        "SELECT count(*) FROM events WHERE raw IS NOT NULL",
        "WITH e AS (SELECT raw FROM events) SELECT * FROM e",
    ] {
        let (status, answer) = world.try_sql("auditor", sql).await;
        assert_eq!(status, 403, "{sql}: {answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains("audit:raw") && message.contains("`events`"), "{message}");
    }
    let (_, answer) = world.try_sql("auditor", "SELECT * FROM events LIMIT 1").await;
    let names = |answer: &Value| -> Vec<String> {
        let columns = answer["columns"].as_array().unwrap();
        columns.iter().map(|column| column["name"].as_str().unwrap().to_owned()).collect()
    };
    assert!(!names(&answer).contains(&"raw".to_owned()), "a star does not reach it");
    let (status, answer) =
        world.try_sql("curator", "SELECT * FROM events WHERE family = 'session' LIMIT 1").await;
    assert_eq!(status, 200);
    assert_eq!(names(&answer).last().unwrap(), "raw");
    let recorded =
        "SELECT relations FROM queries WHERE activity = 'started' AND sql LIKE '%family = %'";
    assert_eq!(world.value(recorded).await, json!(["events", "events.raw"]));
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_permit_demands_is_met() {
    let world = told().await;
    let sql = "SELECT a.statement FROM commands a, commands b";
    let (status, answer) = world.try_sql("apprentice", sql).await;
    // The first rows may have left by then; the answer is not whole without its `row_count`.
    let error = if status == 200 { &answer["error"] } else { &answer };
    assert_eq!(error["code"], "answer_too_large", "{answer}");
    assert!(error["message"].as_str().unwrap().contains("row_limit"), "{answer}");
    assert!(answer.get("row_count").is_none(), "{answer}");
    let (status, answer) = world.try_sql("apprentice", "SELECT 1 FROM commands").await;
    assert_eq!((status, &answer["row_count"]), (200, &json!(5)));
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_row_limit_of_the_exact_bytes_is_met_where_they_are_read() {
    let world = told().await;
    for (sql, status) in [
        ("SELECT family FROM events", 200),
        ("SELECT raw FROM events LIMIT 3", 200),
        ("SELECT raw FROM events LIMIT 4", 422),
        ("SELECT * FROM events LIMIT 4", 422),
        ("SELECT family FROM events WHERE length(raw) > 0 LIMIT 4", 422),
        ("SELECT 1 FROM (SELECT raw, family FROM events) e LIMIT 4", 200),
    ] {
        let (told, answer) = world.try_sql("archivist", sql).await;
        let error = if told == 200 { &answer["error"] } else { &answer };
        let limited = error["message"].as_str().is_some_and(|told| told.contains("row_limit"));
        assert_eq!(limited, status == 422, "{sql}: {answer}");
    }
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_question_is_on_record_with_its_end() {
    let world = told().await;
    let _ = world.try_sql("auditor", "SELECT 1 FROM commands").await;
    let _ = world.try_sql("apprentice", "SELECT 2 FROM decisions").await;
    let _ = world.try_sql("auditor", "SELECT 3 FROM nowhere").await;
    let _ = world.try_sql("auditor", "SELECT 4/0 FROM commands").await;
    let sql = "SELECT sql, activity, principal_subject, rows, relations FROM queries \
               WHERE sql LIKE 'SELECT _ FROM%' OR sql LIKE 'SELECT _/0%' ORDER BY sql, log_offset";
    let rows = world.rows(sql).await;
    assert_eq!(
        rows,
        [
            json!(["SELECT 1 FROM commands", "started", "auditor", null, ["commands"]]),
            json!(["SELECT 1 FROM commands", "completed", "auditor", 5, ["commands"]]),
            json!(["SELECT 2 FROM decisions", "denied", "apprentice", null, ["decisions"]]),
            json!(["SELECT 3 FROM nowhere", "failed", "auditor", null, null]),
            json!(["SELECT 4/0 FROM commands", "started", "auditor", null, ["commands"]]),
            json!(["SELECT 4/0 FROM commands", "failed", "auditor", null, ["commands"]]),
        ]
    );
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_log_there_is_no_answer() {
    let world = told().await;
    let token = world.token("auditor").await;
    let ask = || async {
        let request = world.http.post(world.url("/v1/sql")).bearer_auth(&token);
        let response =
            request.json(&json!({"sql": "SELECT 1 FROM commands"})).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    assert_eq!(ask().await.0, 200);
    world.log.set(Fault::always(FaultKind::Refuse, false));
    let (status, answer) = ask().await;
    assert_eq!((status, answer["code"].as_str().unwrap()), (503, "log_unavailable"), "{answer}");
    // It comes back without a restart.
    world.log.clear();
    assert_eq!(ask().await.0, 200);
    world.running.stop().await;
}

/// Lets `count` appends pass.
fn pass(count: u32) -> Fault {
    Fault { count, ..Fault::once(FaultKind::Delay(std::time::Duration::ZERO), true) }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_before_the_check_of_the_token_is_on_record() {
    let world = told().await;
    let token = world.token("auditor").await;
    // The list of questions has no beginning and no end of its own on record: only the check holds it back.
    for (token, status) in [(token.as_str(), 200), ("forged", 401)] {
        let request = world.http.get(world.url("/v1/ask")).bearer_auth(token);
        world.log.set(Fault::once(FaultKind::Hang, true));
        let waiting = tokio::spawn(request.try_clone().unwrap().send());
        world.log.wait_hanging(1).await;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert!(!waiting.is_finished(), "told before it is on record: {status}");
        world.log.release_hung();
        assert_eq!(waiting.await.unwrap().unwrap().status(), status);
        world.log.set(Fault::once(FaultKind::Refuse, false));
        assert_eq!(request.send().await.unwrap().status(), 503);
    }
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_leaves_before_the_beginning_is_on_record() {
    let world = told().await;
    let token = world.token("auditor").await;
    let request = world.http.post(world.url("/v1/sql")).bearer_auth(&token);
    let request = request.json(&json!({"sql": "SELECT statement FROM commands"}));
    // Its appends: authentication, started, completed.
    world.log.set(pass(1));
    world.log.set(Fault::once(FaultKind::Refuse, false));
    let response = request.try_clone().unwrap().send().await.unwrap();
    assert_eq!(response.status(), 503);
    let text = response.text().await.unwrap();
    assert!(text.contains("log_unavailable") && !text.contains("app.customers"), "{text}");

    world.log.set(pass(1));
    world.log.set(Fault::once(FaultKind::Hang, true));
    let waiting = tokio::spawn(request.send());
    world.log.wait_hanging(1).await;
    assert!(!waiting.is_finished(), "nothing leaves while the beginning is not durable");
    world.log.release_hung();
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_told_only_when_it_is_on_record() {
    let world = told().await;
    let token = world.token("auditor").await;
    let request = world.http.post(world.url("/v1/sql")).bearer_auth(&token);
    let request = request.json(&json!({"sql": "SELECT statement FROM commands"}));
    world.log.set(pass(2));
    world.log.set(Fault::once(FaultKind::Refuse, false));
    let text = request.send().await.unwrap().text().await.unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["error"]["code"], "log_unavailable", "{answer}");
    assert!(answer.get("row_count").is_none(), "{answer}");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_while_the_beginning_goes_on_record_has_left_on_record() {
    let world = told().await;
    let token = world.token("auditor").await;
    let request = world.http.post(world.url("/v1/sql")).bearer_auth(&token);
    let request = request.json(&json!({"sql": "SELECT statement FROM commands"}));
    world.log.set(pass(1));
    world.log.set(Fault::once(FaultKind::Hang, true));
    let asking = tokio::spawn(request.send());
    world.log.wait_hanging(1).await;
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    world.log.release_hung();
    let left =
        "SELECT count(*) FROM queries WHERE activity = 'failed' AND reason LIKE '%reader_left%'";
    let told = async { while world.value(left).await != json!(1) {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), told).await.expect("it has an end");
    world.running.stop().await;
}
