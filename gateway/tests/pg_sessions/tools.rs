//! Tools for models on a real PostgreSQL: each call is a session as any other, with its masks, approvals and events.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body as HttpBody;
use axum::extract::ConnectInfo;
use http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tallyport_gateway::api;
use tallyport_schemas::{Body, Event, Front, Phase, TraceId};
use tower::ServiceExt as _;

use crate::harness::{GATEWAY_NAME, World, world};

const REVISION: &str = "2026-07-28";

/// A call by the protocol, as a client of 2026-07-28 makes it: whether it failed, and what was told.
pub async fn tool(world: &World, token: &str, name: &str, arguments: Value) -> (bool, Value) {
    let params = json!({ "name": name, "arguments": arguments });
    let answer = ask(world, token, ("tools/call", params), json!({})).await;
    match answer.get("result") {
        Some(result) => (result["isError"] == true, result["structuredContent"].clone()),
        None => (true, answer["error"].clone()),
    }
}

/// Any request of a client that can do this; the whole answer.
pub async fn ask(
    world: &World,
    token: &str,
    (method, mut params): (&str, Value),
    capabilities: Value,
) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    });
    let name = params.get("name").or_else(|| params.get("taskId")).unwrap().as_str().unwrap();
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let peer: SocketAddr = "192.0.2.11:4714".parse().unwrap();
    let request = Request::builder()
        .method("POST")
        .uri("/mcp")
        .extension(ConnectInfo(peer))
        .extension(Front::Tcp)
        .extension(TraceId::new())
        .header("host", GATEWAY_NAME)
        .header("authorization", format!("Bearer {token}"))
        .header("accept", "application/json, text/event-stream")
        .header("content-type", "application/json")
        .header("mcp-protocol-version", REVISION)
        .header("mcp-method", method)
        .header("mcp-name", name)
        .body(HttpBody::from(body.to_string()))
        .unwrap();
    let answer = api::router(&world.gateway).oneshot(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    // What takes longer comes as a stream of events.
    let answer = text.lines().rev().find_map(|line| line.strip_prefix("data: ")).unwrap_or(&text);
    serde_json::from_str(answer).unwrap_or_else(|_| panic!("{text}"))
}

pub async fn good(world: &World, token: &str, name: &str, arguments: Value) -> Value {
    let (is_error, told) = tool(world, token, name, arguments).await;
    assert!(!is_error, "{told}");
    told
}

pub async fn error(world: &World, token: &str, name: &str, arguments: Value) -> Value {
    let (is_error, told) = tool(world, token, name, arguments).await;
    assert!(is_error, "{told}");
    told["error"].clone()
}

/// The statements that ran, with what ran them.
pub fn ran(events: &[Event]) -> Vec<String> {
    let text = |event: &Event| match &event.body {
        Body::Command(command) if command.phase == Phase::Execute => command.statement.clone(),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_a_session_on_record_and_its_values_are_what_they_are() {
    let world = world!();
    let token = world.token("agent", None).await;
    let sql = "SELECT 1 AS n, 9007199254740993::bigint AS big, 1.50::numeric AS price, true AS yes, NULL AS nothing, \
               '{\"a\":1}'::jsonb AS doc, $1::date AS day, $2::int + 1 AS next";
    let told =
        good(&world, &token, "query", json!({ "sql": sql, "params": ["2026-01-02", 41] })).await;
    let doc = json!({ "a": 1 });
    let expected = json!([[1, "9007199254740993", "1.50", true, null, doc, "2026-01-02", 42]]);
    assert_eq!(told["rows"], expected, "{told}");
    assert_eq!((&told["row_count"], &told["has_more"]), (&json!(1), &json!(false)));
    assert_eq!(told["columns"][1], json!({ "name": "big", "type": "bigint" }));
    let events = world.events().await;
    assert!(ran(&events).iter().any(|text| text == sql), "{:?}", ran(&events));
    let command = told["command_id"].as_str().unwrap();
    let of_it = events.iter().find(|event| match &event.body {
        Body::Command(it) => it.command_id.to_string() == command,
        _ => false,
    });
    assert!(of_it.is_some(), "the command that is named stands on record");
    let application = events.iter().find_map(|event| match &event.body {
        Body::Session(tallyport_schemas::Session::Opened { application, .. }) => {
            application.clone()
        }
        _ => None,
    });
    assert_eq!(application.as_deref(), Some("tallyport-mcp/query"));
    let closed = |events: &[Event]| {
        events.iter().any(|event| {
            matches!(&event.body, Body::Session(tallyport_schemas::Session::Closed { .. }))
        })
    };
    world.wait_for("an end in order", closed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_writes_does_not_run_in_query_whatever_policy_permits() {
    let world = world!();
    let token = world.token("agent", None).await;
    for sql in [
        "INSERT INTO app.tools VALUES (900, 'x')",
        "DELETE FROM app.tools WHERE id = 1",
        "UPDATE app.tools SET body = 'y' WHERE id = 1",
        "CREATE TABLE app.made (id int)",
        "WITH gone AS (DELETE FROM app.tools RETURNING *) SELECT * FROM gone",
        "SELECT * FROM app.tools FOR UPDATE",
        "SELECT lo_creat(-1)",
        "SELECT set_config('transaction_read_only', 'off', false)",
    ] {
        let told = error(&world, &token, "query", json!({ "sql": sql })).await;
        let code = told["sqlstate"].as_str().unwrap();
        assert!(["25006", "25001", "42501", "42P01", "0A000"].contains(&code), "{sql}: {told}");
    }
    let told = error(&world, &token, "query", json!({ "sql": "DELETE FROM app.tools" })).await;
    assert_eq!(told["code"], "read_only", "{told}");
    assert!(told["hint"].as_str().unwrap().contains("execute"), "{told}");
    let told = error(&world, &token, "query", json!({ "sql": "SELECT 1; SELECT 2" })).await;
    assert_eq!(told["sqlstate"], "42601", "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn execute_writes_and_says_how_much() {
    let world = world!();
    let token = world.token("agent", None).await;
    let insert =
        "INSERT INTO app.tools (body) SELECT 'tool' FROM generate_series(1, 3) RETURNING body";
    let told = good(&world, &token, "execute", json!({ "sql": insert })).await;
    assert_eq!((&told["tag"], &told["row_count"]), (&json!("INSERT 0 3"), &json!(3)), "{told}");
    let delete = json!({ "sql": "DELETE FROM app.tools WHERE body = $1", "params": ["tool"] });
    let told = good(&world, &token, "execute", delete).await;
    assert_eq!(told["tag"], "DELETE 3");
    assert_eq!(told["rows"], Value::Null, "nothing was returned: {told}");
    let told = error(&world, &token, "execute", json!({ "sql": "DELETE FROM app.nothing" })).await;
    assert_eq!((&told["code"], &told["sqlstate"]), (&json!("target_error"), &json!("42P01")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_in_pages_to_whom_it_belongs() {
    let world = world!();
    let (token, other) = (world.token("agent", None).await, world.token("dana", None).await);
    let sql = "SELECT n FROM generate_series(1, 25) n";
    let first = good(&world, &token, "query", json!({ "sql": sql, "max_rows": 10 })).await;
    assert_eq!((&first["row_count"], &first["has_more"]), (&json!(10), &json!(true)), "{first}");
    let cursor = json!({ "cursor": first["cursor"], "max_rows": 10 });
    let told = error(&world, &other, "query", cursor.clone()).await;
    assert_eq!(told["code"], "cursor_lapsed", "it is somebody else's");
    let second = good(&world, &token, "query", cursor.clone()).await;
    assert_eq!(second["rows"][0], json!([11]));
    let third = good(&world, &token, "query", cursor.clone()).await;
    assert_eq!((&third["row_count"], &third["has_more"]), (&json!(5), &json!(false)));
    assert_eq!(third["cursor"], Value::Null);
    let told = error(&world, &token, "query", cursor).await;
    assert_eq!(told["code"], "cursor_lapsed");
    // Each holds a session: so many and no more.
    let mut cursors = 0;
    for _ in 0..4 {
        let told = good(&world, &token, "query", json!({ "sql": sql, "max_rows": 1 })).await;
        cursors += usize::from(told["cursor"].is_string());
        assert!(told["cursor"].is_string() || told["cursor_refused"].is_string(), "{told}");
    }
    assert_eq!(cursors, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_listed_and_described() {
    let world = world!();
    let token = world.token("agent", None).await;
    let told =
        good(&world, &token, "list_tables", json!({ "schema": "app", "like": "tool%" })).await;
    assert_eq!(told["rows"][0][1], "tools", "{told}");
    let told = good(&world, &token, "describe_table", json!({ "table": "app.tools" })).await;
    assert_eq!(told["readable"], true, "{told}");
    let names: Vec<_> = told["columns"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert!(names.contains(&&json!("body")), "{told}");
    let told = error(&world, &token, "describe_table", json!({ "table": "app.nothing" })).await;
    assert_eq!(told["code"], "unknown_table");
    let told = good(&world, &token, "explain", json!({ "sql": "SELECT * FROM app.tools" })).await;
    assert!(told["plan"][0]["Plan"].is_object(), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_do_not_fit_say_what_would() {
    let world = world!();
    let token = world.token("agent", None).await;
    for (name, arguments, said) in [
        ("query", json!({}), "`sql` is missing"),
        ("query", json!({ "sql": " " }), "one statement"),
        ("query", json!({ "sql": "SELECT 1", "rows": 5 }), "unknown field `rows`"),
        ("query", json!({ "sql": "SELECT 1", "max_rows": 0 }), "from 1 to 1000"),
        ("query", json!({ "sql": "SELECT 1", "cursor": "c" }), "not both"),
        ("query", json!({ "sql": "SELECT \u{0}1" }), "zero byte"),
        ("execute", json!({ "sql": 5 }), "string"),
        ("describe_table", json!({ "table": "tools" }), "schema.table"),
        ("approval_status", json!({ "approval_id": "x" }), "approval_id"),
    ] {
        let (is_error, told) = tool(&world, &token, name, arguments).await;
        assert_eq!((is_error, &told["code"]), (true, &json!(-32_602)), "{name}: {told}");
        assert!(told["message"].as_str().unwrap().contains(said), "{name}: {told}");
    }
    let told = error(&world, &token, "query", json!({ "target": "no", "sql": "SELECT 1" })).await;
    assert_eq!(told["code"], "denied_by_policy", "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_column_says_so_on_every_page_and_in_the_description() {
    let labels = "[columns]\n\"app.customers.ssn\" = \"pii.ssn\"\n";
    let world = world!(policy: crate::masking::MASKED, masking: Some(labels),);
    let token = world.token("agent", None).await;
    let asked = json!({ "sql": "SELECT ssn, id FROM app.customers ORDER BY id", "max_rows": 1 });
    let first = good(&world, &token, "query", asked).await;
    assert_eq!(first["rows"], json!([["[redacted]", 1]]), "{first}");
    let masked = json!({ "by": "redact", "labels": ["pii.ssn"] });
    assert_eq!(first["columns"][0]["masked"], masked, "{first}");
    assert!(first["masking"].as_str().unwrap().contains("ssn (redact, for its label pii.ssn)"));
    let second = good(&world, &token, "query", json!({ "cursor": first["cursor"] })).await;
    assert_eq!(second["rows"], json!([["[redacted]", 2], [null, 3]]), "{second}");
    assert_eq!(second["columns"][0]["masked"], masked);
    let told = good(&world, &token, "describe_table", json!({ "table": "app.customers" })).await;
    let columns = told["columns"].as_array().unwrap();
    let ssn = columns.iter().find(|column| column["name"] == "ssn").unwrap();
    assert_eq!(ssn["masked"], masked, "{told}");
    // In other words it is refused or masked; never clear.
    for sql in [
        "SELECT ssn || '' FROM app.customers",
        "SELECT row_to_json(c) FROM app.customers c",
        "SELECT * FROM app.customers WHERE ssn LIKE '123%'",
        "SELECT ssn::int FROM app.customers",
    ] {
        let (_, told) = tool(&world, &token, "query", json!({ "sql": sql })).await;
        assert!(!told.to_string().contains("123-45"), "{sql}: {told}");
    }
}

/// The session's end is on record, and what ran at the target is cancelled.
#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_cancels_what_runs() {
    let world = world!();
    let token = world.token("agent", None).await;
    let asked = json!({ "sql": "SELECT pg_sleep(60)" });
    let left = tokio::time::timeout(Duration::from_secs(3), tool(&world, &token, "execute", asked));
    assert!(left.await.is_err(), "it runs on");
    let cancelled = |events: &[Event]| {
        let lost = events.iter().any(|event| match &event.body {
            Body::Session(tallyport_schemas::Session::Lost { cause, .. }) => cause == "client_gone",
            _ => false,
        });
        let cancelled = events.iter().any(
            |event| matches!(&event.body, Body::Command(command) if command.phase == Phase::Cancel),
        );
        lost && cancelled
    };
    world.wait_for("the cancellation", cancelled).await;
}

/// What fails when the transaction ends failed; what returns more than is told ran whole.
#[tokio::test(flavor = "multi_thread")]
async fn what_execute_tells_is_what_stands() {
    let world = world!();
    let token = world.token("agent", None).await;
    let twice = json!({ "sql": "INSERT INTO app.tools VALUES (801, 'late'), (801, 'late')" });
    let told = error(&world, &token, "execute", twice).await;
    assert_eq!(told["sqlstate"], "23505", "by a constraint that is looked at in the end: {told}");
    let large = "INSERT INTO app.tools SELECT n, repeat('x', 10000) FROM generate_series(10001, 10300) n RETURNING body";
    let told = good(&world, &token, "execute", json!({ "sql": large })).await;
    assert_eq!(told["tag"], "INSERT 0 300");
    assert!(told["rows_cut"].is_string() && told["row_count"].as_u64().unwrap() < 300);
    let left = json!({ "sql": "DELETE FROM app.tools WHERE id > 800" });
    assert_eq!(good(&world, &token, "execute", left).await["tag"], "DELETE 300");
    let large = json!({ "sql": "SELECT repeat('x', 100000) FROM generate_series(1, 20)" });
    let told = error(&world, &token, "query", large).await;
    assert_eq!(told["code"], "too_large", "{told}");
}
