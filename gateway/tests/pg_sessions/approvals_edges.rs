//! Approvals at their edges: taken back, cancelled at the last moment, standing for longer than they could be answered, for what
//! means something else by now.

use std::time::Duration;

use serde_json::json;
use tallyport_eventlog::faults::{Fault, FaultKind};

use crate::harness::world;
use crate::reviewers::Desk;
use crate::wire::{Wire, bind, error_field, execute, parse, query, sync, tags};

const POLICY: &str = r#"
@id("rest") permit (principal, action, resource) unless { action == Tallyport::Action::"sql:delete" };
@id("deletes") @require_approval("1 of dba; within 1h")
permit (principal, action == Tallyport::Action::"sql:delete", resource);
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_its_requester_withdraws_fails_and_asks_nobody_else() {
    let world = world!(policy: POLICY,);
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("DELETE FROM app.things WHERE body = 'taken-back'")).await;
    let agent = Desk::of(&world, "agent").await;
    let asked = agent.one().await;
    assert_eq!(agent.withdraw(&asked).await.1["state"], "withdrawn");
    let answer = wire.until(b'Z', 1).await;
    assert_eq!(error_field(&answer, b'C'), "42501");
    assert!(error_field(&answer, b'M').contains("withdrawn by whoever asked"));
    assert_eq!(agent.list().await, json!([]));
}

const STANDING: &str = r#"
@id("rest") permit (principal, action, resource)
unless { action in [Tallyport::Action::"sql:delete", Tallyport::Action::"sql:update"] };
@id("deletes") @require_approval("1 of dba; within 10s; for session")
permit (principal, action == Tallyport::Action::"sql:delete", resource);
@id("updates") @require_approval("1 of dba; within 1h")
permit (principal, action == Tallyport::Action::"sql:update", resource);
"#;

/// An approval that stands for longer than it could be answered is not given up for its own age.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_for_the_session_waits_beside_what_does_not_stand_yet() {
    let world = world!(policy: STANDING,);
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    let run = |text: &str| [parse("", text), bind("", "", &[], 0), execute("", 0)].concat();
    let delete = run("DELETE FROM app.things WHERE body = 'standing'");
    wire.send(&[delete.clone(), sync()].concat()).await;
    let dana = Desk::of(&world, "dana").await;
    let standing = dana.one().await;
    assert_eq!(dana.approve(&standing, None).await.0, 200);
    assert_eq!(tags(&wire.until(b'Z', 1).await), "N12CZ");
    tokio::time::sleep(Duration::from_secs(11)).await;
    let update = run("UPDATE app.things SET body = 'x' WHERE body = 'beside'");
    wire.send(&[delete, update, sync()].concat()).await;
    // Of what is approved nothing is announced.
    wire.until(b'N', 1).await;
    let list = dana.list().await;
    let is_update = |it: &&serde_json::Value| it["state"] == "pending";
    let asked = list.as_array().unwrap().iter().find(is_update).unwrap();
    assert_eq!(dana.approve(asked, None).await.0, 200);
    assert_eq!(tags(&wire.until(b'Z', 1).await), "12C12CZ");
}

/// It is approved already when the cancel request comes, and its pause is not on record yet.
#[tokio::test(flavor = "multi_thread")]
async fn who_cancels_before_it_is_used_is_heard_and_what_stands_goes_on_standing() {
    let world = world!(policy: STANDING,);
    let (mut wire, hello) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    let delete = query("DELETE FROM app.things WHERE body = 'last-moment'");
    wire.send(&delete).await;
    let dana = Desk::of(&world, "dana").await;
    let standing = dana.one().await;
    assert_eq!(dana.approve(&standing, None).await.0, 200);
    assert_eq!(tags(&wire.until(b'Z', 1).await), "NCZ");
    // Its own opening is on record before the log is slow.
    let mut cancel = Wire::new(world.tunnel().await);
    world.faults.set(Fault::once(FaultKind::Delay(Duration::from_secs(2)), true));
    wire.send(&delete).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (_, key) = hello.iter().find(|(tag, _)| *tag == b'K').unwrap();
    let request = [&16_u32.to_be_bytes()[..], &80_877_102_u32.to_be_bytes(), key].concat();
    cancel.send(&request).await;
    let answer = wire.until(b'Z', 1).await;
    assert_eq!(error_field(&answer, b'C'), "57014");
    assert_eq!(dana.show(&standing).await.1["uses"], 1);
    wire.send(&delete).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "CZ");
}

/// What the gateway knows of the catalog is an hour old at most; what is approved is looked at as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_view_that_was_replaced_while_it_waited_is_asked_for_anew() {
    let world = world!(policy: POLICY,);
    let direct = world.direct().await;
    let view = |table: &str| {
        format!("CREATE OR REPLACE VIEW app.held_v AS SELECT id, body FROM app.{table}")
    };
    direct.batch_execute(&view("things")).await.unwrap();
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("DELETE FROM app.held_v WHERE body = 'replaced'")).await;
    let dana = Desk::of(&world, "dana").await;
    let asked = dana.one().await;
    let reaches = |asked: &serde_json::Value, table: &str| {
        asked["command"]["tables"].to_string().contains(table)
    };
    assert!(reaches(&asked, "things") && !reaches(&asked, "notes"), "{asked}");
    direct.batch_execute(&view("notes")).await.unwrap();
    assert_eq!(dana.approve(&asked, None).await.0, 200);
    let gone = dana.until_state(&asked, "withdrawn").await;
    assert_eq!(gone["cause"], "superseded");
    let again = dana.one().await;
    assert!(reaches(&again, "notes"), "{again}");
    assert_eq!(dana.deny(&again, None).await.0, 200);
    assert_eq!(error_field(&wire.until(b'Z', 1).await, b'C'), "42501");
    assert!(!world.statements().await.contains("body = 'replaced'"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_named_by_their_address_does_not_answer_for_their_agent() {
    let world = world!(policy: POLICY,);
    let client = world.connect_as("mailed", None).await;
    let running = tokio::spawn(async move { client.execute("DELETE FROM app.things", &[]).await });
    let (dana, eli) = (Desk::of(&world, "dana").await, Desk::of(&world, "eli").await);
    let asked = eli.one().await;
    assert_eq!(asked["you"]["may_answer"], false);
    let (status, answer) = eli.approve(&asked, None).await;
    assert_eq!((status, &answer["code"]), (403, &json!("not_a_reviewer")), "{answer}");
    assert!(!running.is_finished());
    assert_eq!(dana.approve(&asked, None).await.0, 200);
    assert!(running.await.unwrap().is_ok());
}
