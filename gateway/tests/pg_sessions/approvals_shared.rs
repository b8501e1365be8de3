//! Approvals over several gateways and one log, and while the log fails.

use std::time::Duration;

use serde_json::json;
use tallyport_eventlog::Topic;
use tallyport_eventlog::faults::{Fault, FaultKind};
use tallyport_schemas::{Approval, Body, Event};

use crate::harness::{World, world};
use crate::reviewers::Desk;
use crate::wire::{Wire, error_field, notice_field, query, tags};

const POLICY: &str = r#"
@id("rest") permit (principal, action, resource) unless { action == Tallyport::Action::"sql:delete" };
@id("deletes") @require_approval("1 of dba; within 1h")
permit (principal, action == Tallyport::Action::"sql:delete", resource);
"#;

async fn ask(world: &World, text: &str) -> Wire<tokio::io::DuplexStream> {
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query(text)).await;
    wire
}

fn uses(events: &[Event]) -> usize {
    let used = |event: &&Event| matches!(event.body, Body::Approval(Approval::Used { .. }));
    events.iter().filter(used).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reviewer_at_another_gateway_answers_as_well() {
    let world = world!(policy: POLICY,);
    let second = world.another("second").await;
    let mut wire = ask(&world, "DELETE FROM app.things WHERE body = 'elsewhere'").await;
    let here = Desk::of(&world, "dana").await;
    let there = here.at(&second);
    let asked = there.one().await;
    assert_eq!(there.approve(&asked, None).await.0, 200);
    assert_eq!(tags(&wire.until(b'Z', 1).await), "NCZ");
    here.until_state(&asked, "used").await;
    there.until_state(&asked, "used").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_reviewers_at_once_one_is_too_late() {
    let world = world!(policy: POLICY,);
    let second = world.another("second").await;
    let mut wire = ask(&world, "DELETE FROM app.things WHERE body = 'at-once'").await;
    let dana = Desk::of(&world, "dana").await;
    let eli = Desk::of(&world, "eli").await.at(&second);
    let asked = dana.one().await;
    eli.one().await;
    let (yes, no) = tokio::join!(dana.approve(&asked, None), eli.deny(&asked, None));
    assert!([(200, 409), (409, 200)].contains(&(yes.0, no.0)), "{yes:?} {no:?}");
    let answer = wire.until(b'Z', 1).await;
    if yes.0 == 200 {
        assert_eq!(tags(&answer), "NCZ");
    } else {
        assert_eq!(error_field(&answer, b'C'), "42501");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_nothing_but_the_log_knows_all_that_waits() {
    let world = world!(policy: POLICY,);
    let text = "DELETE FROM app.things WHERE body = 'survives'";
    let wire = ask(&world, text).await;
    let dana = Desk::of(&world, "dana").await;
    let asked = dana.one().await;
    world.gateway.shutdown(Duration::ZERO).await;
    drop(wire);

    let second = world.another("second").await;
    let there = dana.at(&second);
    let mut found = there.one().await;
    found["you"] = asked["you"].clone();
    assert_eq!(found, asked, "as it was");
    assert_eq!(there.approve(&asked, None).await.0, 200);

    // A third one, after the answer: the same statement of the same principal runs at once.
    second.shutdown(Duration::ZERO).await;
    let third = world.another("third").await;
    let there = dana.at(&third);
    there.until_state(&asked, "approved").await;
    let token = world.token("agent", None).await;
    let (mut wire, _) = Wire::start(World::tunnel_at(&third, &token).await, &[("user", "u")]).await;
    wire.send(&query(text)).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "CZ");
    there.until_state(&asked, "used").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_approval_is_used_once_whoever_waits_for_it() {
    let world = world!(policy: POLICY,);
    let second = world.another("second").await;
    let text = "DELETE FROM app.things WHERE body = 'two-wait'";
    let mut one = ask(&world, text).await;
    let dana = Desk::of(&world, "dana").await;
    let asked = dana.one().await;
    dana.at(&second).one().await;
    let token = world.token("agent", None).await;
    let (mut other, _) =
        Wire::start(World::tunnel_at(&second, &token).await, &[("user", "u")]).await;
    other.send(&query(text)).await;
    let id = asked["approval_id"].as_str().unwrap();
    for wire in [&mut one, &mut other] {
        let notice = wire.until(b'N', 1).await;
        assert!(notice_field(&notice, b'M').contains(id), "both wait for the same");
    }
    assert_eq!(dana.approve(&asked, None).await.0, 200);
    dana.until_state(&asked, "used").await;
    // Who was too late asks anew.
    let again = dana.one().await;
    assert_ne!(again["approval_id"], asked["approval_id"]);
    let ran = |events: &[Event]| {
        let ran = |event: &&Event| {
            matches!(&event.body, Body::Command(it) if it.statement.as_deref() == Some(text)
                && it.disposition == tallyport_schemas::Disposition::Forwarded)
        };
        events.iter().filter(ran).count()
    };
    world.wait_for("a run", |events| ran(events) == 1).await;
    assert_eq!(dana.approve(&again, None).await.0, 200);
    world.wait_for("the other run", |events| ran(events) == 2 && uses(events) >= 2).await;
    assert_eq!(tags(&one.until(b'Z', 1).await).replace('N', ""), "CZ");
    assert_eq!(tags(&other.until(b'Z', 1).await).replace('N', ""), "CZ");
}

/// The append that a fault is for: faults are met in the order of appends, so what comes before passes.
fn fail_append(world: &World, nth: usize, persisted: bool) {
    for _ in 1..nth {
        world.faults.set(Fault::once(FaultKind::Delay(Duration::ZERO), true));
    }
    world.faults.set(Fault::once(FaultKind::Unknown, persisted));
}

/// The pause, then the request on the audit topic and on the control topic.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_fails_while_it_is_asked_ends_the_session_and_runs_nothing() {
    for nth in 1..=3 {
        for persisted in [false, true] {
            let world = world!(policy: POLICY,);
            let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
            fail_append(&world, nth, persisted);
            let text = format!("DELETE FROM app.things WHERE body = 'asked-{nth}-{persisted}'");
            wire.send(&query(&text)).await;
            assert_eq!(error_field(&wire.rest().await, b'C'), "58030", "{nth} {persisted}");
            assert!(!world.statements().await.contains(&text));
            // Other sessions go on.
            let mut other = ask(&world, "SELECT 1").await;
            assert_eq!(tags(&other.until(b'Z', 1).await), "TDCZ");
        }
    }
}

/// The use on the audit topic, then on the control topic: whether it persisted or not, the statement does not run.
#[tokio::test(flavor = "multi_thread")]
async fn a_use_that_is_not_known_to_be_on_record_runs_nothing() {
    for nth in 1..=2 {
        for persisted in [false, true] {
            let world = world!(policy: POLICY,);
            let text = format!("DELETE FROM app.things WHERE body = 'used-{nth}-{persisted}'");
            let mut wire = ask(&world, &text).await;
            wire.until(b'N', 1).await;
            let dana = Desk::of(&world, "dana").await;
            let asked = dana.one().await;
            // The reviewer's token, their answer on both topics, the reading of the catalog; then the use.
            fail_append(&world, 4 + nth, persisted);
            assert_eq!(dana.approve(&asked, None).await.0, 200);
            assert_eq!(error_field(&wire.rest().await, b'C'), "58030", "{nth} {persisted}");
            assert!(!world.statements().await.contains(&text), "{nth} {persisted}");
            let control = world.faults.asked();
            let control = control.iter().filter(|it| it.records[0].topic == Topic::Control);
            assert!(control.count() >= 2);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_known_to_be_on_record_is_told_as_such() {
    for persisted in [false, true] {
        let world = world!(policy: POLICY,);
        let mut wire = ask(&world, "DELETE FROM app.things WHERE body = 'answer'").await;
        wire.until(b'N', 1).await;
        let dana = Desk::of(&world, "dana").await;
        let asked = dana.one().await;
        fail_append(&world, 3, persisted);
        let (status, answer) = dana.approve(&asked, None).await;
        assert_eq!((status, &answer["code"]), (503, &json!("log_unavailable")));
        // On the control topic it counts, and reading again tells.
        let state = if persisted { "used" } else { "pending" };
        dana.until_state(&asked, state).await;
    }
}
