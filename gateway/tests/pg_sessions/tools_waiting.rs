//! Tools that wait for people: what is told meanwhile, what runs when they agreed, and who gets its result.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::world;
use crate::reviewers::Desk;
use crate::tools::{ask, error, good, ran, tool};

/// Inserts wait for somebody.
const INSERTS: &str = r#"
    @id("rest") permit (principal, action, resource) unless { action == Tallyport::Action::"sql:insert" };
    @id("inserts") @require_approval("1 of dba; within 1h")
    permit (principal, action == Tallyport::Action::"sql:insert", resource);
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_told_and_runs_once_when_it_is_approved() {
    let world = world!(policy: r#"
        @id("rest") permit (principal, action, resource) unless { action == Tallyport::Action::"sql:delete" };
        @id("deletes") @require_approval("1 of dba; within 1h")
        permit (principal, action == Tallyport::Action::"sql:delete", resource);
    "#,);
    let token = world.token("agent", None).await;
    let asked = json!({ "sql": "DELETE FROM app.tools WHERE body = 'parked'" });
    let told = error(&world, &token, "execute", asked.clone()).await;
    assert_eq!(told["code"], "waits_for_approval", "{told}");
    let id = told["approvals"][0]["approval_id"].as_str().unwrap().to_owned();
    let status = good(&world, &token, "approval_status", json!({ "approval_id": id })).await;
    assert_eq!(status["approval"]["state"], "pending");

    let dana = Desk::of(&world, "dana").await;
    let one = dana.one().await;
    assert_eq!(dana.approve(&one, None).await.0, 200);
    let wait = json!({ "approval_id": id, "wait_seconds": 10 });
    let mut status = Value::Null;
    for _ in 0..50 {
        status = good(&world, &token, "approval_status", wait.clone()).await;
        if status["approval"]["state"] == "used" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(status["approval"]["state"], "used", "it ran by itself");
    let told = good(&world, &token, "execute", asked.clone()).await;
    assert!(told["tag"].as_str().unwrap().starts_with("DELETE"), "its result: {told}");
    let deletes = ran(&world.events().await).iter().filter(|text| text.contains("parked")).count();
    assert_eq!(deletes, 1);
    // The same again is another call.
    let told = error(&world, &token, "execute", asked).await;
    let again = told["approvals"][0]["approval_id"].as_str().unwrap();
    assert_ne!(again, id);
    let withdrawn =
        good(&world, &token, "approval_status", json!({ "approval_id": again, "withdraw": true }))
            .await;
    assert_eq!(withdrawn["approval"]["state"], "withdrawn");
    // What was given up is over: the same call asks anew.
    let asked = json!({ "sql": "DELETE FROM app.tools WHERE body = 'parked'" });
    let told = error(&world, &token, "execute", asked).await;
    assert_eq!(told["code"], "waits_for_approval", "{told}");
    assert_ne!(told["approvals"][0]["approval_id"], again, "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn access_is_asked_for_by_the_agent_itself() {
    let world = world!(policy: r#"
        @id("agents") @require_grant("1 of dba; for 1h; within 10m")
        permit (principal, action == Tallyport::Action::"sql:connect", resource);
        @id("rest") permit (principal, action, resource) unless { action == Tallyport::Action::"sql:connect" };
    "#,);
    let token = world.token("agent", None).await;
    let asked = json!({ "target": "db", "sql": "SELECT 42" });
    let told = error(&world, &token, "query", asked.clone()).await;
    assert_eq!(told["code"], "grant_required", "{told}");
    let wish = json!({ "target": "db", "minutes": 30, "reason": "OPS-7" });
    let told = good(&world, &token, "request_access", wish).await;
    let id = told["approval"]["approval_id"].as_str().unwrap().to_owned();
    let dana = Desk::of(&world, "dana").await;
    let one = dana.one().await;
    assert_eq!(dana.approve(&one, None).await.0, 200);
    let wait = json!({ "approval_id": id, "wait_seconds": 10 });
    let told = good(&world, &token, "approval_status", wait).await;
    assert_eq!(told["approval"]["state"], "approved", "{told}");
    assert_eq!(good(&world, &token, "query", asked).await["rows"], json!([[42]]));
    let wish = json!({ "target": "db", "minutes": 900, "reason": "OPS-7" });
    let told = error(&world, &token, "request_access", wish).await;
    assert_eq!(told["code"], "invalid_request", "{told}");
}

/// Two equal calls that nobody answered yet: one waits on, for both.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_equal_calls_one_is_kept() {
    let world = world!(policy: INSERTS,);
    let token = world.token("agent", None).await;
    // Bound to its session, so that each asks for itself.
    let asked =
        json!({ "sql": "INSERT INTO app.tools (body) VALUES ('kept' || CURRENT_TIMESTAMP)" });
    let (one, other) = tokio::join!(
        error(&world, &token, "execute", asked.clone()),
        error(&world, &token, "execute", asked.clone()),
    );
    assert_eq!(one["approvals"], other["approvals"], "{one} {other}");
    let dana = Desk::of(&world, "dana").await;
    // What the other asked for is taken back.
    let waits = dana.until(1).await.remove(0);
    assert_eq!(waits["approval_id"], one["approvals"][0]["approval_id"]);
    assert_eq!(dana.approve(&waits, None).await.0, 200);
    let told = good(&world, &token, "execute", asked).await;
    assert_eq!(told["tag"], "INSERT 0 1");
    let inserts = ran(&world.events().await).iter().filter(|text| text.contains("kept")).count();
    assert_eq!(inserts, 1);
}

/// Neither a cursor nor a result that nobody came for keeps a gateway from stopping.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_does_not_outlive_the_gateway() {
    let world = world!(policy: INSERTS,);
    let token = world.token("agent", None).await;
    let sql = "SELECT n FROM generate_series(1, 25) n";
    let told = good(&world, &token, "query", json!({ "sql": sql, "max_rows": 1 })).await;
    assert!(told["cursor"].is_string(), "{told}");
    let asked = json!({ "sql": "INSERT INTO app.tools (body) VALUES ('unheard')" });
    let told = error(&world, &token, "execute", asked).await;
    assert_eq!(told["code"], "waits_for_approval", "{told}");
    let dana = Desk::of(&world, "dana").await;
    let waits = dana.one().await;
    assert_eq!(dana.approve(&waits, None).await.0, 200);
    dana.until_state(&waits, "used").await;
    let stops = world.gateway.shutdown(Duration::ZERO);
    assert!(tokio::time::timeout(Duration::from_secs(20), stops).await.is_ok(), "it stops");
}

/// Of two that come for one result one gets it; the statement runs once.
#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_get_one_result() {
    let world = world!(policy: INSERTS,);
    let token = world.token("agent", None).await;
    // Bound to its session: CURRENT_TIMESTAMP means something else in each.
    let asked = json!({ "sql": "INSERT INTO app.tools (body) VALUES (CURRENT_TIMESTAMP::text)" });
    let told = error(&world, &token, "execute", asked.clone()).await;
    assert_eq!(told["approvals"][0]["bound_to_this_session"], true, "{told}");
    let (one, other) = (
        tool(&world, &token, "execute", asked.clone()),
        tool(&world, &token, "execute", asked.clone()),
    );
    let approve = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let dana = Desk::of(&world, "dana").await;
        let waits = dana.one().await;
        dana.approve(&waits, None).await.0
    };
    let ((one_failed, one), (other_failed, other), status) = tokio::join!(one, other, approve);
    assert_eq!(status, 200);
    assert_eq!(u8::from(one_failed) + u8::from(other_failed), 1, "{one} {other}");
    let failed = if one_failed { &one } else { &other };
    assert_eq!(failed["error"]["code"], "result_taken", "{failed}");
    let inserts =
        ran(&world.events().await).iter().filter(|text| text.starts_with("INSERT")).count();
    assert_eq!(inserts, 1);
}

/// For a client that knows tasks, a statement that waits is one: it runs once, when it is approved, and its caller comes for
/// its result; given up, it is taken back and does not run.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_waits_is_a_task_for_whoever_knows_tasks() {
    let world = world!(policy: INSERTS,);
    let token = world.token("agent", None).await;
    let knows = json!({ "extensions": { "io.modelcontextprotocol/tasks": {} } });
    let call = |sql: &str| json!({ "name": "execute", "arguments": { "sql": sql } });
    let begin = async |sql: &str| {
        let told = ask(&world, &token, ("tools/call", call(sql)), knows.clone()).await;
        assert_eq!(told["result"]["resultType"], "task", "{told}");
        told["result"]["taskId"].as_str().unwrap().to_owned()
    };
    let of = async |method: &str, id: &str| {
        ask(&world, &token, (method, json!({ "taskId": id })), knows.clone()).await["result"]
            .clone()
    };
    let insert = "INSERT INTO app.tools (body) VALUES ('task' || CURRENT_TIMESTAMP)";
    let id = begin(insert).await;
    let told = of("tasks/get", &id).await;
    assert_eq!(told["status"], "working", "{told}");
    let dana = Desk::of(&world, "dana").await;
    let waits = dana.one().await;
    assert!(
        told["statusMessage"].as_str().unwrap().contains(waits["approval_id"].as_str().unwrap())
    );
    assert_eq!(dana.approve(&waits, None).await.0, 200);
    let mut told = Value::Null;
    for _ in 0..100 {
        told = of("tasks/get", &id).await;
        if told["status"] != "working" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(told["status"], "completed", "{told}");
    assert_eq!(told["result"]["structuredContent"]["tag"], "INSERT 0 1", "{told}");
    let inserts = async || {
        ran(&world.events().await).iter().filter(|text| text.starts_with("INSERT")).count()
    };
    assert_eq!(inserts().await, 1);

    let id = begin("INSERT INTO app.tools (body) VALUES ('given up')").await;
    let waits = dana.until(1).await.remove(0);
    assert_eq!(of("tasks/cancel", &id).await["resultType"], "complete");
    assert_eq!(of("tasks/get", &id).await["status"], "cancelled");
    dana.until_state(&waits, "withdrawn").await;
    let given_up = json!({ "sql": "SELECT count(*) FROM app.tools WHERE body = 'given up'" });
    assert_eq!(good(&world, &token, "query", given_up).await["rows"], json!([[0]]));
}
