//! How an approval ends that is neither used nor denied: taken back, or standing for longer than it could be answered.

use std::time::Duration;

use serde_json::json;

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

/// An approval that stands for longer than it could be answered is not given up for its own age.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_for_the_session_waits_beside_what_does_not_stand_yet() {
    const STANDING: &str = r#"
@id("rest") permit (principal, action, resource)
unless { action in [Tallyport::Action::"sql:delete", Tallyport::Action::"sql:update"] };
@id("deletes") @require_approval("1 of dba; within 10s; for session")
permit (principal, action == Tallyport::Action::"sql:delete", resource);
@id("updates") @require_approval("1 of dba; within 1h")
permit (principal, action == Tallyport::Action::"sql:update", resource);
"#;
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
