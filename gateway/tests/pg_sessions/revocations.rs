//! Access that is ended: what is live ends on every gateway, and nothing new is let in.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tallyport_eventlog::Topic;
use tallyport_eventlog::faults::{Fault, FaultKind};
use tallyport_gateway::Gateway;
use tallyport_schemas::{Authentication, Body, Decision, Effect, Event, Revocation, Session};

use crate::harness::{SOON, World, world};
use crate::reviewers::Desk;
use crate::wire::{Wire, error_field, query, startup, tags};

type Tunnel = Wire<tokio::io::DuplexStream>;

const POLICY: &str = r#"
@id("rest") permit (principal, action, resource) unless { action in Tallyport::Action::"access:any" };
@id("dba") permit (principal in Tallyport::Group::"dba", action in Tallyport::Action::"access:any", resource);
@id("security") permit (principal in Tallyport::Group::"security", action == Tallyport::Action::"access:revoke",
  resource == Tallyport::AccessKind::"session");
"#;

async fn session(world: &World, gateway: &Gateway, who: &str) -> Tunnel {
    let token = world.token(who, None).await;
    Wire::start(World::tunnel_at(gateway, &token).await, &[("user", "u")]).await.0
}

/// One whose statement runs for as long as nobody ends it.
async fn busy(world: &World, gateway: &Gateway, mark: &str) -> Tunnel {
    let mut wire = session(world, gateway, "agent").await;
    wire.send(&query(&format!("SELECT pg_sleep(600) AS \"{mark}\""))).await;
    until_backends(world, mark, 1).await;
    wire
}

/// Waits until so many backends run a statement with this mark.
async fn until_backends(world: &World, mark: &str, count: i64) {
    let direct = world.direct().await;
    let running = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%{mark}%' AND pid <> pg_backend_pid()"
    );
    let deadline = Instant::now() + SOON;
    loop {
        let row = direct.query_one(&running, &[]).await.unwrap();
        if row.get::<_, i64>(0) == count {
            return;
        }
        assert!(Instant::now() < deadline, "{count} backends are not running {mark}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn principal(world: &World, subject: &str) -> Value {
    json!({"kind": "principal", "issuer": issuer(world), "subject": subject})
}

fn issuer(world: &World) -> String {
    world.issuer.issuer_config().issuer
}

fn ended_by<'a>(events: &'a [Event], revoked: &Value) -> Vec<&'a Event> {
    let id = revoked["revocation_id"].as_str().unwrap();
    let by = |event: &&Event| matches!(&event.body, Body::Session(Session::Revoked { revocation_id: Some(it), .. }) if it.to_string() == id);
    events.iter().filter(by).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principal_is_out_at_once_on_every_gateway_and_its_statements_stop() {
    let world = world!(policy: POLICY,);
    let second = world.another("second").await;
    let mut here = busy(&world, &world.gateway, "revoked-here").await;
    let mut there = busy(&world, &second, "revoked-there").await;
    let mut bystander = session(&world, &second, "other").await;

    let (status, revoked) = Desk::of(&world, "dana").await.revoke(principal(&world, "agent")).await;
    assert_eq!(status, 200, "{revoked}");
    for wire in [&mut here, &mut there] {
        assert_eq!(error_field(&wire.rest().await, b'C'), "57P01");
    }
    until_backends(&world, "revoked-here", 0).await;
    until_backends(&world, "revoked-there", 0).await;
    let events = world.wait_for("both ends", |events| ended_by(events, &revoked).len() == 2).await;
    let Body::Session(Session::Revoked { by, reason, .. }) = &ended_by(&events, &revoked)[0].body
    else {
        panic!("it was one");
    };
    assert_eq!((by.as_str(), reason.as_str()), ("dana", "its key leaked"));

    // Nobody of that name comes in again, at either door of either gateway, and that is on record with the name.
    let token = world.token("agent", None).await;
    for gateway in [&world.gateway, &second] {
        let refusal = World::open_at(gateway, &token, "db").await.err().expect("is out");
        assert_eq!((refusal.status, refusal.code), (401, "invalid_token"));
        assert!(refusal.message.contains(revoked["revocation_id"].as_str().unwrap()));
        let (status, _) = Desk::of(&world, "agent").await.at(gateway).get("/v1/approvals").await;
        assert_eq!(status, 401);
    }
    let turned_away = |event: &&Event| matches!(&event.body, Body::Authentication(Authentication { failure: Some(code), .. }) if code == "revoked");
    let events = world.events().await;
    let turned_away: Vec<_> = events.iter().filter(turned_away).collect();
    assert_eq!(turned_away.len(), 4);
    assert!(
        turned_away
            .iter()
            .all(|event| event.context.principal.as_ref().unwrap().subject == "agent")
    );

    // Others go on.
    bystander.send(&query("SELECT 1")).await;
    assert_eq!(tags(&bystander.until(b'Z', 1).await), "TDCZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lifted_is_let_in_again() {
    let world = world!(policy: POLICY,);
    let dana = Desk::of(&world, "dana").await;
    let (_, revoked) = dana.revoke(principal(&world, "agent")).await;
    let (_, list) = dana.get("/v1/revocations").await;
    assert_eq!(list["revocations"], json!([revoked]));
    let token = world.token("agent", None).await;
    assert!(world.open(&token, "db").await.is_err());
    assert_eq!(dana.lift(&revoked).await.0, 200);
    assert!(world.open(&token, "db").await.is_ok());
    assert_eq!(dana.lift(&revoked).await.0, 404);
    assert_eq!(dana.get("/v1/revocations").await.1["revocations"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_and_an_issuer_are_out_as_well() {
    let world = world!(policy: POLICY,);
    let dana = Desk::of(&world, "dana").await;
    for revoked in [
        json!({"kind": "agent", "subject": "agent"}),
        json!({"kind": "agent", "issuer": issuer(&world), "subject": "agent"}),
    ] {
        let mut wire = session(&world, &world.gateway, "agent").await;
        let (_, revoked) = dana.revoke(revoked).await;
        assert_eq!(error_field(&wire.rest().await, b'C'), "57P01");
        assert!(world.open(&world.token("agent", None).await, "db").await.is_err());
        assert_eq!(dana.lift(&revoked).await.0, 200);
    }
    let mut wires = [
        session(&world, &world.gateway, "agent").await,
        session(&world, &world.gateway, "other").await,
    ];
    let (status, _) = dana.revoke(json!({"kind": "issuer", "issuer": issuer(&world)})).await;
    assert_eq!(status, 200);
    for wire in &mut wires {
        assert_eq!(error_field(&wire.rest().await, b'C'), "57P01");
    }
    // Who did it is of that issuer, too.
    assert_eq!(dana.get("/v1/revocations").await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_session_ends_and_its_principal_may_come_again() {
    let world = world!(policy: POLICY,);
    let second = world.another("second").await;
    let mut one = session(&world, &second, "agent").await;
    let victim = second.sessions()[0].session_id;
    let mut other = session(&world, &second, "agent").await;
    // At the gateway that does not have it.
    let sam = Desk::of(&world, "sam").await;
    let (status, _) = sam.revoke(json!({"kind": "session", "session_id": victim})).await;
    assert_eq!(status, 200);
    assert_eq!(error_field(&one.rest().await, b'C'), "57P01");
    other.send(&query("SELECT 1")).await;
    assert_eq!(tags(&other.until(b'Z', 1).await), "TDCZ");
    session(&world, &second, "agent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_revoke_ends_nothing_and_that_is_on_record() {
    let world = world!(policy: POLICY,);
    let mut wire = session(&world, &world.gateway, "agent").await;
    let agent = Desk::of(&world, "agent").await;
    let sam = Desk::of(&world, "sam").await;
    for (desk, revoked) in [
        (&agent, principal(&world, "dana")),
        (&agent, json!({"kind": "session", "session_id": world.gateway.sessions()[0].session_id})),
        // Permitted for sessions alone.
        (&sam, principal(&world, "agent")),
        (&sam, json!({"kind": "issuer", "issuer": issuer(&world)})),
    ] {
        let (status, answer) = desk.revoke(revoked).await;
        assert_eq!((status, answer["code"].as_str()), (403, Some("denied_by_policy")), "{answer}");
    }
    let (_, revoked) = Desk::of(&world, "dana").await.revoke(principal(&world, "robot")).await;
    assert_eq!(sam.lift(&revoked).await.0, 403, "revoking is not restoring");
    assert_eq!(agent.get("/v1/revocations").await.0, 403);
    let denied = |event: &&Event| matches!(&event.body, Body::Decision(Decision { effect: Effect::Deny, actions, .. }) if actions[0].starts_with("access:"));
    let events = world.events().await;
    assert_eq!(events.iter().filter(denied).count(), 6);
    wire.send(&query("SELECT 1")).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "TDCZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_order_is_told_what_to_send() {
    let world = world!(policy: POLICY,);
    let dana = Desk::of(&world, "dana").await;
    let order = |revoked: Value, reason: &str, until: Value| {
        json!({"revoked": revoked, "reason": reason, "until": until}).to_string()
    };
    let agent = || principal(&world, "agent");
    for body in [
        String::new(),
        "[]".to_owned(),
        "{".to_owned(),
        order(agent(), "", Value::Null),
        order(agent(), "\u{7}", Value::Null),
        order(agent(), "why", json!("2020-01-01T00:00:00Z")),
        order(agent(), "why", json!("tomorrow")),
        order(json!({"kind": "principal", "subject": "agent"}), "why", Value::Null),
        order(json!({"kind": "principal", "issuer": "", "subject": "agent"}), "why", Value::Null),
        order(json!({"kind": "agent", "subject": " "}), "why", Value::Null),
        order(json!({"kind": "agent", "subject": "a", "group": "g"}), "why", Value::Null),
        order(json!({"kind": "world"}), "why", Value::Null),
        order(json!({"kind": "session", "session_id": "7"}), "why", Value::Null),
        order(agent(), &"x".repeat(2_001), Value::Null),
    ] {
        let (status, answer) = dana.send("POST", "/v1/revocations", body.clone()).await;
        assert_eq!((status, answer["code"].as_str()), (400, Some("invalid_request")), "{body}");
    }
    let unknown = json!({"kind": "grant", "grant_id": "01a20635-5f36-74df-bd6e-bebe288245d9"});
    assert_eq!(dana.revoke(unknown).await.0, 404);
    let events = world.events().await;
    let orders = events.iter().filter(|event| matches!(event.body, Body::Revocation(_)));
    assert_eq!(orders.count(), 0, "what was refused is on record as ordered");
    assert_eq!(dana.lift(&json!({"revocation_id": "7"})).await.0, 400);
    assert!(world.open(&world.token("agent", None).await, "db").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_with_nothing_but_the_log_lets_nobody_in_who_is_out() {
    let world = world!(policy: POLICY,);
    let dana = Desk::of(&world, "dana").await;
    assert_eq!(dana.revoke(principal(&world, "agent")).await.0, 200);
    let token = world.token("agent", None).await;
    world.gateway.shutdown(Duration::ZERO).await;
    // At its first request, before it can have read the log on its own.
    let second = world.another("second").await;
    let refusal = World::open_at(&second, &token, "db").await.err().expect("is out");
    assert_eq!(refusal.status, 401);
    let (_, list) = dana.at(&second).get("/v1/revocations").await;
    assert_eq!(list["revocations"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_unknown_only_where_the_log_was_read() {
    let world = world!(policy: POLICY,);
    let dana = Desk::of(&world, "dana").await;
    world.faults.fail_reads(u32::MAX);
    // A read that was under way when reads began to fail may still say how things stand.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let grant = json!({"kind": "grant", "grant_id": "01a20635-5f36-74df-bd6e-bebe288245d9"});
    let (status, answer) = dana.revoke(grant).await;
    assert_eq!((status, answer["code"].as_str()), (503, Some("control_unavailable")));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_let_in_while_the_control_log_cannot_be_read() {
    let world = world!(policy: POLICY,);
    let mut wire = session(&world, &world.gateway, "agent").await;
    let token = world.token("agent", None).await;
    world.faults.fail_reads(u32::MAX);
    let deadline = Instant::now() + SOON;
    let refusal = loop {
        match world.open(&token, "db").await {
            Err(refusal) => break refusal,
            Ok(_) => assert!(Instant::now() < deadline, "still lets in"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    assert_eq!((refusal.status, refusal.code), (503, "control_unavailable"));
    assert!(!world.gateway.knows_who_is_out(), "it is not ready either");
    let (status, answer) = Desk::of(&world, "dana").await.get("/v1/approvals").await;
    assert_eq!((status, answer["code"].as_str()), (503, Some("control_unavailable")));
    world.faults.clear();
    assert!(world.open(&token, "db").await.is_ok(), "waits until it is read again");
    wire.send(&query("SELECT 1")).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "TDCZ", "what is live went on");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_on_their_way_in_is_out_as_well() {
    let world = world!(policy: POLICY,);
    // Let in, and nothing sent yet: no session is listed.
    let tunnel = world.tunnel().await;
    assert!(world.gateway.sessions().is_empty());
    let (_, revoked) = Desk::of(&world, "dana").await.revoke(principal(&world, "agent")).await;
    let mut wire = Wire::new(tunnel);
    wire.send(&startup(&[("user", "u")])).await;
    let told = wire.rest().await;
    assert_eq!((tags(&told).as_str(), error_field(&told, b'C').as_str()), ("E", "57P01"));
    world.wait_for("its end", |events| ended_by(events, &revoked).len() == 1).await;
}

/// The target has let it in, and the greeting is not on record yet: it is not sent any more.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_about_to_be_greeted_is_out_as_well() {
    let world = world!(policy: POLICY,);
    let second = world.another("second").await;
    // So that the catalog is read.
    session(&world, &world.gateway, "other").await;
    let mut wire = Wire::new(world.tunnel().await);
    // After the record of the opening.
    world.faults.set(Fault::once(FaultKind::Delay(Duration::ZERO), true));
    world.faults.set(Fault::once(FaultKind::Hang, true));
    wire.send(&startup(&[("user", "u")])).await;
    world.faults.wait_hanging(1).await;
    let dana = Desk::of(&world, "dana").await;
    let (_, revoked) = dana.at(&second).revoke(principal(&world, "agent")).await;
    // Read there by then; whoever asks it would wait for the log.
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.faults.release_hung();
    let told = wire.rest().await;
    assert_eq!((tags(&told).as_str(), error_field(&told, b'C').as_str()), ("E", "57P01"));
    world.wait_for("its end", |events| ended_by(events, &revoked).len() == 1).await;
}

/// The check of the token, the decision, the order on the audit topic, and on the control topic.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_counts_where_it_is_on_the_control_topic_and_is_never_told_to_count_before() {
    for nth in 1..=4 {
        for persisted in [false, true] {
            let world = world!(policy: POLICY,);
            let mut wire = session(&world, &world.gateway, "agent").await;
            let dana = Desk::of(&world, "dana").await;
            for _ in 1..nth {
                world.faults.set(Fault::once(FaultKind::Delay(Duration::ZERO), true));
            }
            world.faults.set(Fault::once(FaultKind::Unknown, persisted));
            let (status, answer) = dana.revoke(principal(&world, "agent")).await;
            assert_eq!(status, 503, "{nth} {persisted}: {answer}");
            assert_eq!(answer["code"], "log_unavailable");
            if nth == 4 && persisted {
                assert_eq!(error_field(&wire.rest().await, b'C'), "57P01");
            } else {
                wire.send(&query("SELECT 1")).await;
                assert_eq!(tags(&wire.until(b'Z', 1).await), "TDCZ", "{nth} {persisted}");
            }
            // Said again, it counts.
            assert_eq!(dana.revoke(principal(&world, "agent")).await.0, 200);
            assert!(world.open(&world.token("agent", None).await, "db").await.is_err());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_is_on_both_topics() {
    let world = world!(policy: POLICY,);
    let dana = Desk::of(&world, "dana").await;
    let (_, revoked) = dana.revoke(principal(&world, "agent")).await;
    assert_eq!(dana.lift(&revoked).await.0, 200);
    let orders = |event: &&Event| matches!(&event.body, Body::Revocation(_));
    let audit: Vec<_> = world.events().await.into_iter().filter(|it| orders(&it)).collect();
    let control: Vec<_> =
        world.events_of(Topic::Control).await.into_iter().filter(|it| orders(&it)).collect();
    assert_eq!(audit, control);
    assert!(matches!(&audit[0].body, Body::Revocation(Revocation::Revoked(_))));
    assert!(matches!(&audit[1].body, Body::Revocation(Revocation::Lifted { .. })));
    assert!(audit.iter().all(|it| it.context.principal.as_ref().unwrap().subject == "dana"));
}

/// What is asked for a long time is answered by what holds in the end.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_news_while_they_are_revoked_is_told_none() {
    let world = world!(policy: POLICY,);
    let sam = Desk::of(&world, "sam").await;
    let seen = sam.get("/v1/approvals").await.1["seen"].as_u64().unwrap();
    let waiting =
        tokio::spawn(async move { sam.get(&format!("/v1/approvals?after={seen}&wait=30")).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let dana = Desk::of(&world, "dana").await;
    assert_eq!(dana.revoke(principal(&world, "sam")).await.0, 200);
    let (status, answer) = waiting.await.unwrap();
    assert_eq!((status, answer["code"].as_str()), (401, Some("invalid_token")));
}
