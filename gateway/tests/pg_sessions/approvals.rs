//! Statements that wait for a human: through real sessions, the API and a real PostgreSQL.

use std::time::Duration;

use serde_json::json;
use tallyport_schemas::{Approval, Body, Effect, Event};
use tokio_postgres::error::SqlState;

use crate::harness::{SOON, world};
use crate::reviewers::{Desk, Quick as _};
use crate::wire::{Wire, error_field, notice_field, query, tags};

const POLICY: &str = r#"
@id("rest") permit (principal, action, resource)
unless { action in [Tallyport::Action::"sql:delete", Tallyport::Action::"sql:update"] };
@id("deletes") @require_approval("1 of dba; within 1h")
permit (principal, action == Tallyport::Action::"sql:delete", resource);
@id("updates") @require_approval("2 of dba, 1 of security; within 10s")
permit (principal, action == Tallyport::Action::"sql:update", resource);
"#;

/// What happened of a statement's wait and run, in its order.
fn story(events: &[Event]) -> Vec<&'static str> {
    let step = |event: &Event| match &event.body {
        Body::Decision(it) if it.command_id.is_some() && !it.actions.is_empty() => {
            let asks =
                it.actions.iter().any(|action| action == "sql:delete" || action == "sql:update");
            asks.then_some(match it.effect {
                Effect::Pause => "pause",
                Effect::Allow => "allow",
                Effect::Deny => "deny",
            })
        }
        Body::Approval(approval) => Some(match approval {
            Approval::Requested(_) => "requested",
            Approval::Granted { .. } => "granted",
            Approval::Denied { .. } => "denied",
            Approval::Expired { .. } => "expired",
            Approval::Withdrawn { .. } => "withdrawn",
            Approval::Notified { .. } => "notified",
            Approval::Used { .. } => "used",
        }),
        _ => None,
    };
    events.iter().filter_map(step).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_waits_and_runs_once_a_member_agreed() {
    let world = world!(policy: POLICY,);
    let client = world.connect().await;
    let dana = Desk::of(&world, "dana").await;
    let running = tokio::spawn(async move {
        client.execute("DELETE FROM app.things WHERE body = 'once-approved'", &[]).await
    });
    let asked = dana.one().await;
    assert_eq!(asked["state"], "pending");
    assert_eq!(
        asked["command"]["statement"],
        "DELETE FROM app.things WHERE body = 'once-approved'"
    );
    assert_eq!(asked["command"]["tables"], json!([{"schema": "app", "name": "things"}]));
    assert_eq!(asked["principal"]["subject"], "agent");
    assert_eq!(asked["requirements"], json!([{"group": "dba", "quorum": 1}]));
    assert_eq!(asked["you"], json!({"may_answer": true}));
    let seen = world.statements().await;
    assert!(
        !seen.contains("execute s0: DELETE")
            && !seen.contains("statement: DELETE FROM app.things WHERE body = 'once-approved'")
    );

    let (status, approved) = dana.approve(&asked, Some("as agreed")).await;
    assert_eq!(status, 200);
    assert!(approved["state"] == "approved" || approved["state"] == "used", "{approved}");
    assert_eq!(running.await.unwrap().unwrap(), 0);
    let events = world.wait_for("a use", |events| story(events).contains(&"used")).await;
    // Preparing passes, running waits.
    assert_eq!(story(&events), ["allow", "pause", "requested", "granted", "used", "allow"]);
    let used =
        events.iter().position(|event| matches!(event.body, Body::Approval(Approval::Used { .. })));
    let sent = events.iter().rposition(|event| {
        matches!(&event.body, Body::Command(it) if it.kinds.contains(&tallyport_schemas::StatementKind::Delete))
    });
    assert!(used < sent, "used up before it runs");
    assert!(world.statements().await.contains("once-approved"));
    let (_, now) = dana.show(&asked).await;
    assert_eq!((&now["state"], &now["uses"]), (&json!("used"), &json!(1)));
    assert_eq!(now["answers"][0]["comment"], "as agreed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_is_told_with_its_reason_and_nothing_reaches_the_target() {
    let world = world!(policy: POLICY,);
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("DELETE FROM app.things WHERE body = 'never-approved'")).await;
    let notice = wire.until(b'N', 1).await;
    let dana = Desk::of(&world, "dana").await;
    let asked = dana.one().await;
    let id = asked["approval_id"].as_str().unwrap();
    let told = notice_field(&notice, b'M');
    assert!(told.contains(id) && told.contains("1 of dba"), "{told}");
    assert!(notice_field(&notice, b'H').contains(&format!("tallyport approvals show {id}")));

    let (status, denied) = dana.deny(&asked, Some("use the archive")).await;
    assert_eq!((status, &denied["state"]), (200, &json!("denied")));
    let answer = wire.until(b'Z', 1).await;
    assert_eq!(error_field(&answer, b'C'), "42501");
    let message = error_field(&answer, b'M');
    assert!(
        message.contains("denied by dana: use the archive") && message.contains(id),
        "{message}"
    );
    // The session goes on.
    wire.send(&query("SELECT 1")).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "TDCZ");
    assert!(!world.statements().await.contains("never-approved"));
    let events = world.events().await;
    assert_eq!(story(&events), ["pause", "requested", "denied", "deny"]);
    let (status, late) = dana.approve(&asked, None).await;
    assert_eq!((status, &late["code"]), (409, &json!("over")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_is_of_different_people_and_every_group() {
    let world = world!(policy: POLICY,);
    let client = world.connect().await;
    let running = tokio::spawn(async move {
        client.execute("UPDATE app.things SET body = $1 WHERE id = 7", &[&"quorum"]).await
    });
    let (dana, eli, sam) = (
        Desk::of(&world, "dana").await,
        Desk::of(&world, "eli").await,
        Desk::of(&world, "sam").await,
    );
    let asked = dana.one().await;
    assert_eq!(
        asked["command"]["parameters"][0]["value"],
        json!({"form": "base64", "value": "cXVvcnVt"})
    );
    assert_eq!(dana.approve(&asked, None).await.0, 200);
    let (status, twice) = dana.approve(&asked, None).await;
    assert_eq!((status, &twice["code"]), (409, &json!("answered_already")));
    let (_, now) = sam.approve(&asked, None).await;
    assert_eq!(
        (&now["state"], &now["missing"]),
        (&json!("pending"), &json!([{"group": "dba", "quorum": 1}]))
    );
    assert!(!running.is_finished());
    let (_, now) = eli.approve(&asked, None).await;
    assert_eq!(now["missing"], json!([]));
    assert_eq!(running.await.unwrap().unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_answer_is_told_why_and_strangers_see_nothing() {
    let world = world!(policy: POLICY,);
    let client = world.connect_as("owned", None).await;
    let running = tokio::spawn(async move { client.execute("DELETE FROM app.things", &[]).await });
    let dana = Desk::of(&world, "dana").await;
    let asked = dana.one().await;
    // Dana owns the agent; the agent itself is in the group.
    for (who, code) in [("dana", "not_a_reviewer"), ("owned", "not_a_reviewer")] {
        let desk = Desk::of(&world, who).await;
        let (status, answer) = desk.approve(&asked, None).await;
        assert_eq!((status, &answer["code"]), (403, &json!(code)), "{who}: {answer}");
        assert_eq!(desk.show(&asked).await.1["you"]["may_answer"], false);
    }
    // Not in the group, or in it and no human: there is no such request.
    for who in ["other", "robot"] {
        let other = Desk::of(&world, who).await;
        assert_eq!(other.list().await, json!([]), "{who}");
        assert_eq!(other.show(&asked).await.0, 404, "{who}");
        assert_eq!(other.approve(&asked, None).await.0, 404, "{who}");
        assert_eq!(other.deny(&asked, None).await.0, 404, "{who}");
    }
    // What was read must be what is answered.
    let eli = Desk::of(&world, "eli").await;
    let mut changed = asked.clone();
    changed["digest"] = json!("00");
    assert_eq!(eli.approve(&changed, None).await.0, 409);
    let (status, answer) = eli.post(&asked, "approve", "{}").await;
    assert!(status == 400 && answer["message"].as_str().unwrap().contains("digest"), "{answer}");
    for bad in ["{\"digest\":1}", "[]", "{\"x\":1}", "nonsense"] {
        assert_eq!(eli.post(&asked, "deny", bad).await.0, 400, "{bad}");
    }
    let bell = json!({"digest": asked["digest"], "comment": "\u{7}"}).to_string();
    assert_eq!(eli.post(&asked, "approve", &bell).await.0, 400);
    assert!(!running.is_finished());
    assert_eq!(eli.approve(&asked, None).await.0, 200);
    assert!(running.await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers_without_a_good_token() {
    let world = world!(policy: POLICY,);
    let desk = Desk::with_token(&world, "nonsense".to_owned());
    let (status, answer) = desk.get("/v1/approvals").await;
    assert_eq!((status, &answer["code"]), (401, &json!("invalid_token")));
    let (status, answer) = Desk::with_token(&world, String::new()).get("/v1/approvals").await;
    assert_eq!((status, &answer["code"]), (401, &json!("invalid_token")));
    for path in [
        "/v1/approvals?state=x",
        "/v1/approvals?limit=0",
        "/v1/approvals?wait=31",
        "/v1/approvals/x",
    ] {
        let dana = Desk::of(&world, "dana").await;
        assert_eq!(dana.get(path).await.0, 400, "{path}");
    }
    let failed = world
        .wait_for("failures", |events| {
            let failures = events.iter().filter(|event| event.body.activity() == "failed");
            failures.count() >= 2
        })
        .await;
    assert!(!failed.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn time_ends_the_wait() {
    let world = world!(policy: POLICY,);
    let client = world.connect().await;
    let began = std::time::Instant::now();
    let error = client.execute("UPDATE app.things SET body = 'late'", &[]).await.unwrap_err();
    assert!(began.elapsed() >= Duration::from_secs(9), "{:?}", began.elapsed());
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code(), &SqlState::INSUFFICIENT_PRIVILEGE);
    assert!(error.message().contains("was not given in time"), "{}", error.message());
    let events = world.events().await;
    assert_eq!(story(&events), ["allow", "pause", "requested", "expired", "deny"]);
    let dana = Desk::of(&world, "dana").await;
    assert_eq!(dana.list().await, json!([]));
    let (_, all) = dana.get("/v1/approvals?state=all").await;
    assert_eq!(all["approvals"][0]["state"], "expired");
    // The same again is asked for again.
    let again =
        tokio::spawn(
            async move { client.execute("UPDATE app.things SET body = 'late'", &[]).await },
        );
    assert_eq!(dana.one().await["state"], "pending");
    again.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_request_ends_the_wait_and_the_session_goes_on() {
    let world = world!(policy: POLICY,);
    let (mut wire, hello) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("DELETE FROM app.things WHERE body = 'cancelled'")).await;
    let dana = Desk::of(&world, "dana").await;
    let asked = dana.one().await;
    let (_, key) = hello.iter().find(|(tag, _)| *tag == b'K').unwrap();
    let request = [&16_u32.to_be_bytes()[..], &80_877_102_u32.to_be_bytes(), key].concat();
    let mut cancel = Wire::new(world.tunnel().await);
    cancel.send(&request).await;
    let answer = wire.until(b'Z', 1).await;
    assert_eq!(error_field(&answer, b'C'), "57014");
    wire.send(&query("SELECT 1")).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "TDCZ");
    let (_, now) = dana.show(&asked).await;
    assert_eq!((&now["state"], &now["cause"]), (&json!("withdrawn"), &json!("cancelled")));
    assert_eq!(dana.approve(&asked, None).await.0, 409);
    assert!(!world.statements().await.contains("body = 'cancelled'"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_and_comes_back_with_the_same_finds_the_same_request() {
    let world = world!(policy: POLICY,);
    let text = "DELETE FROM app.things WHERE body = 'came-back'";
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query(text)).await;
    let dana = Desk::of(&world, "dana").await;
    let asked = dana.one().await;
    drop(wire);
    world.wait_for("an end", |events| events.iter().any(|it| it.body.activity() == "lost")).await;
    assert_eq!(dana.show(&asked).await.1["state"], "pending", "it waits on");

    // Somebody else with the same text asks for themselves.
    let other = world.connect_as("robot", None).await;
    let others = tokio::spawn(async move { other.batch_execute(text).await });
    dana.until(2).await;
    others.abort();

    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query(text)).await;
    let notice = wire.until(b'N', 1).await;
    assert!(notice_field(&notice, b'M').contains(asked["approval_id"].as_str().unwrap()));
    assert_eq!(dana.approve(&asked, None).await.0, 200);
    assert_eq!(tags(&wire.until(b'Z', 1).await), "CZ");
    // It was for one run.
    wire.send(&query(text)).await;
    wire.until(b'N', 1).await;
    drop(wire);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rests_on_the_session_goes_with_it() {
    let world = world!(policy: POLICY,);
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("SET search_path = app")).await;
    wire.until(b'Z', 1).await;
    wire.send(&query("DELETE FROM things WHERE body = 'gone'")).await;
    let dana = Desk::of(&world, "dana").await;
    let asked = dana.one().await;
    assert_eq!(asked["session_bound"], true);
    drop(wire);
    let now = dana.until_state(&asked, "withdrawn").await;
    assert_eq!(now["cause"], "session_ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_who_ends_the_session_ends_what_it_waits_for() {
    let world = world!(policy: POLICY,);
    let client = world.connect().await;
    let running = tokio::spawn(async move { client.batch_execute("DELETE FROM app.things").await });
    let dana = Desk::of(&world, "dana").await;
    let asked = dana.one().await;
    let session = world.gateway.sessions()[0].session_id;
    assert!(world.gateway.end_session(session, "admin", "stop"));
    assert!(running.await.unwrap().is_err());
    let now = dana.until_state(&asked, "withdrawn").await;
    assert_eq!(now["cause"], "session_ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_sends_on_while_it_waits_is_answered_in_order() {
    let world = world!(policy: POLICY,);
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("DELETE FROM app.things WHERE body = 'first'")).await;
    wire.send(&query("SELECT 2")).await;
    let dana = Desk::of(&world, "dana").await;
    let asked = dana.one().await;
    assert_eq!(dana.approve(&asked, None).await.0, 200);
    assert_eq!(tags(&wire.until(b'Z', 2).await), "NCZTDCZ");
}

/// What a real server says of keys and sizes.
#[tokio::test(flavor = "multi_thread")]
async fn a_reviewer_is_told_how_much_it_changes() {
    let before = world!(policy: POLICY,);
    let setup = "CREATE TABLE app.sized (a int, b int, note text, UNIQUE (a, b)); \
        INSERT INTO app.sized SELECT g, g, '' FROM generate_series(1, 1000) AS g; ANALYZE app.sized; \
        CREATE TABLE app.parts (id int PRIMARY KEY) PARTITION BY RANGE (id); \
        CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES FROM (0) TO (100); \
        INSERT INTO app.parts SELECT generate_series(0, 99); ANALYZE app.parts_1; \
        CREATE TABLE app.parent (id int PRIMARY KEY); CREATE TABLE app.child () INHERITS (app.parent); \
        CREATE TABLE app.heads (id int PRIMARY KEY); \
        CREATE TABLE app.tails (head int REFERENCES app.heads ON DELETE CASCADE); \
        INSERT INTO app.heads SELECT generate_series(1, 9); ANALYZE app.heads";
    before.direct().await.batch_execute(setup).await.unwrap();
    let world = world!(policy: POLICY,);
    let dana = Desk::of(&world, "dana").await;
    for (text, by_key, rows) in [
        ("DELETE FROM app.sized WHERE a = 1 AND b = 2", true, json!(1)),
        ("DELETE FROM app.sized WHERE a = 1", false, json!(1000)),
        ("DELETE FROM app.parts WHERE id = 7", true, json!(1)),
        ("DELETE FROM app.parts", false, json!(100)),
        ("DELETE FROM app.parent WHERE id = 7", false, json!(null)),
        ("DELETE FROM app.heads WHERE id = 7", false, json!(9)),
    ] {
        let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
        wire.send(&query(text)).await;
        let asked = dana.one().await;
        assert_eq!(asked["command"]["by_key"], by_key, "{text}");
        assert_eq!(asked["command"].get("estimated_rows").unwrap_or(&json!(null)), &rows, "{text}");
        assert_eq!(dana.deny(&asked, None).await.0, 200);
        wire.until(b'Z', 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_can_wait_for_news() {
    let world = world!(policy: POLICY,);
    let dana = Desk::of(&world, "dana").await;
    let (_, empty) = dana.get("/v1/approvals").await;
    let path = format!("/v1/approvals?after={}&wait=20", empty["seen"]);
    let news = async {
        let (_, news) = dana.get(&path).await;
        assert_eq!(news["approvals"].as_array().unwrap().len(), 1);
    };
    let client = world.connect().await;
    let asking = async { client.batch_execute("DELETE FROM app.things").await };
    tokio::select! {
        () = news.within(SOON) => {}
        _ = asking => panic!("it waits for nobody"),
    }
}
