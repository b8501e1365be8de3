//! The HTTP face.

use serde_json::{Value, json};

use crate::story;
use crate::world::World;

async fn told() -> World {
    let world = World::start().await;
    for draft in story::drafts() {
        world.commit(draft).await;
    }
    world
}

async fn send(world: &World, accept: &str, sql: &str) -> reqwest::Response {
    let token = world.token("auditor").await;
    let request = world.http.post(world.url("/v1/sql")).bearer_auth(token);
    request.header("accept", accept).json(&json!({ "sql": sql })).send().await.unwrap()
}

const SQL: &str = "SELECT time, command_id IS NOT NULL AS known, wire_bytes, tables, statement, prepared \
                   FROM commands ORDER BY time LIMIT 1";

#[tokio::test(flavor = "multi_thread")]
async fn every_form_says_the_same() {
    let world = told().await;
    let statement = "SELECT name, ssn FROM app.customers WHERE id = 1";
    let row = json!([
        "2024-03-04T10:00:01.000001Z",
        true,
        statement.len() + 6,
        ["app.customers"],
        statement,
        null
    ]);

    let answer: Value = send(&world, "application/json", SQL).await.json().await.unwrap();
    let columns = json!([
        {"name": "time", "type": "timestamptz"}, {"name": "known", "type": "boolean"},
        {"name": "wire_bytes", "type": "bigint"}, {"name": "tables", "type": "text[]"},
        {"name": "statement", "type": "text"}, {"name": "prepared", "type": "text"}
    ]);
    let whole =
        json!({"columns": columns, "rows": [row], "row_count": 1, "snapshot_version": null});
    assert_eq!(answer, whole);

    let text = send(&world, "application/x-ndjson", SQL).await.text().await.unwrap();
    let object: Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!((&object["tables"], &object["prepared"]), (&row[3], &Value::Null));

    let response = send(&world, "text/csv", SQL).await;
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/csv"));
    let text = response.text().await.unwrap();
    let want = format!(
        "time,known,wire_bytes,tables,statement,prepared\r\n\
         2024-03-04T10:00:01.000001Z,true,{},\"[\"\"app.customers\"\"]\",\"{statement}\",\r\n",
        statement.len() + 6
    );
    assert_eq!(text, want);

    let bytes =
        send(&world, "application/vnd.apache.arrow.stream", SQL).await.bytes().await.unwrap();
    let reader = arrow::ipc::reader::StreamReader::try_new(bytes.as_ref(), None).unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 1);
    assert_eq!(batches[0].schema().field(2).name(), "wire_bytes");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_is_whole_in_every_form() {
    let world = World::start().await;
    let sql = "SELECT statement FROM commands";
    let answer: Value = send(&world, "application/json", sql).await.json().await.unwrap();
    assert_eq!((&answer["rows"], &answer["row_count"]), (&json!([]), &json!(0)));
    assert_eq!(send(&world, "text/csv", sql).await.text().await.unwrap(), "statement\r\n");
    assert_eq!(send(&world, "application/x-ndjson", sql).await.text().await.unwrap(), "");
    let bytes =
        send(&world, "application/vnd.apache.arrow.stream", sql).await.bytes().await.unwrap();
    let reader = arrow::ipc::reader::StreamReader::try_new(bytes.as_ref(), None).unwrap();
    assert_eq!(reader.schema().field(0).name(), "statement");
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_a_status_and_a_code() {
    let world = World::start().await;
    for (sql, status, code, says) in [
        ("SELECT nonsense FROM commands", 400, "invalid_query", "nonsense"),
        ("SELECT * FROM nowhere", 400, "invalid_query", "nowhere"),
        ("SELEC 1", 400, "invalid_query", "SELEC"),
        ("DELETE FROM events", 400, "read_only", "changes nothing"),
        ("CREATE TABLE t AS SELECT 1", 400, "read_only", "CREATE TABLE"),
        ("COPY events TO '/tmp/stolen'", 400, "read_only", "COPY"),
        ("SET datafusion.execution.batch_size = 1", 400, "read_only", "SET"),
        ("SELECT * FROM '/etc/passwd'", 400, "invalid_query", "passwd"),
        ("SELECT * FROM read_csv('/etc/passwd')", 400, "invalid_query", "read_csv"),
        ("SELECT * FROM events; SELECT 1", 400, "bad_request", "one by one"),
        ("", 400, "bad_request", "empty"),
        ("SELECT 1/0", 422, "failed", "zero"),
        ("SELECT CAST(actor AS INT) FROM (VALUES ('x')) t(actor)", 422, "failed", "Int32"),
        ("SELECT 'a' ~ '('", 400, "invalid_query", "regular expression"),
        (
            "SELECT now() AT TIME ZONE 'Nowhere/X'",
            400,
            "invalid_query",
            "`Nowhere/X` is no time zone",
        ),
    ] {
        let (got, answer) = world.try_sql("auditor", sql).await;
        assert_eq!((got, answer["code"].as_str().unwrap()), (status, code), "{sql}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(says), "{sql}: {answer}");
    }
    for path in ["/v1/sql", "/v1/ask/denied"] {
        let request = world.http.post(world.url(path)).bearer_auth(world.token("auditor").await);
        let response = request.body("{\"sq\": 1").send().await.unwrap();
        assert_eq!(response.status(), 400, "{path}");
    }
    let (status, answer) = world.post("auditor", "/v1/ask/nonsense", &json!({})).await;
    assert_eq!((status, answer["code"].as_str().unwrap()), (404, "unknown_question"));
    let response = send(&world, "image/png", "SELECT 1").await;
    assert_eq!(response.status(), 400);
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_healthz_goes_without_a_token() {
    let world = World::start().await;
    let health = world.http.get(world.url("/healthz")).send().await.unwrap();
    assert_eq!(health.json::<Value>().await.unwrap(), json!({"status": "ok"}));
    let without = world.http.post(world.url("/v1/sql")).json(&json!({"sql": "SELECT 1"}));
    let response = without.send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    let forged = world.http.get(world.url("/v1/ask")).bearer_auth("e30.e30.e30");
    let response = forged.send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
    let sql = "SELECT outcome, failure, front, method, client_ip FROM authentications \
               WHERE outcome = 'failure' ORDER BY time";
    let rows = world.rows(sql).await;
    assert_eq!(rows[0], json!(["failure", "no_token", "query_http", "none", "127.0.0.1"]));
    assert_eq!(rows[1][2], "query_http");
    assert_eq!(rows.len(), 2);
    world.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_service_has_closed_everything() {
    let world = World::start().await;
    let (http, pg) = (world.running.http_addr.unwrap(), world.running.pg_addr.unwrap());
    assert_eq!(world.rows("SELECT 1").await, [json!([1])]);
    world.running.stop().await;
    for address in [http, pg] {
        assert!(tokio::net::TcpStream::connect(address).await.is_err(), "{address} still answers");
    }
}
