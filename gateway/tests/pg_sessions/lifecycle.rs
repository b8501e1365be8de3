//! Opening, cancelling, expiring, ending.

use std::time::{Duration, Instant};

use tallyport_eventlog::faults::{Fault, FaultKind};
use tallyport_schemas::{
    Authentication, Body, Decision, Disposition, Effect, Phase, Session, SessionEnd,
};

use crate::harness::{PERMIT_ALL, SOON, commands, world};
use crate::wire::{Wire, error_field, query, startup, tags};

fn cancel_request(hello: &[crate::wire::Message]) -> Vec<u8> {
    let (_, key) = hello.iter().find(|(tag, _)| *tag == b'K').expect("a key");
    [&16_u32.to_be_bytes()[..], &80_877_102_u32.to_be_bytes(), key].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_library_asks_and_gets_an_answer() {
    let world = world!();
    let client = world.connect().await;
    let row = client
        .query_one("SELECT name, balance::text FROM app.customers WHERE id = $1", &[&1_i32])
        .await
        .unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), ("Ada", "10.5"));
    let database =
        client.query_one("SELECT current_database(), current_user::text", &[]).await.unwrap();
    assert_eq!(database.get::<_, &str>(0), "postgres");
    assert_eq!(world.gateway.sessions().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_requests_are_answered_inside_the_tunnel() {
    let world = world!();
    let mut wire = Wire::new(world.tunnel().await);
    for code in [80_877_103_u32, 80_877_104] {
        wire.send(&[8_u32.to_be_bytes(), code.to_be_bytes()].concat()).await;
        assert_eq!(wire.read_byte().await, b'N');
    }
    wire.send(&startup(&[("user", "u"), ("database", "other")])).await;
    let hello = wire.until(b'Z', 1).await;
    assert!(tags(&hello).starts_with('R') && tags(&hello).ends_with("KZ"));
    wire.send(&query("SELECT current_database()")).await;
    let answer = wire.until(b'Z', 1).await;
    assert!(answer.iter().any(|(tag, body)| *tag == b'D' && body.ends_with(b"other")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_expires_in_the_middle_of_a_statement() {
    let world = world!();
    let token = world.token("agent", Some(3)).await;
    let (mut wire, _) = Wire::start(world.tunnel_with(&token).await, &[("user", "u")]).await;
    let began = Instant::now();
    wire.send(&query("SELECT pg_sleep(60), 'expiring-statement'")).await;
    let rest = wire.rest().await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(tags(&rest), "E");
    assert_eq!(error_field(&rest, b'C'), "57P01");
    assert!(error_field(&rest, b'M').contains("token expired"));
    let events = world
        .wait_for("an expiry", |events| {
            events.iter().any(|event| matches!(event.body, Body::Session(Session::Expired { .. })))
        })
        .await;
    assert!(commands(&events).iter().any(|command| command.phase == Phase::Cancel));
    // The target stopped too.
    let direct = world.direct().await;
    let deadline = Instant::now() + SOON;
    let running = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%expiring-statement%' AND state = 'active' AND pid <> pg_backend_pid()";
    while !direct.query(running, &[]).await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "the target still runs the statement");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_same_principal_cancels() {
    let world = world!();
    let (mut wire, hello) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    let request = cancel_request(&hello);
    wire.send(&query("SELECT pg_sleep(60)")).await;
    world
        .wait_for("the command", |events| {
            commands(events).iter().any(|command| command.phase == Phase::Query)
        })
        .await;

    let stranger = world.token("other", None).await;
    let mut other = Wire::new(world.tunnel_with(&stranger).await);
    other.send(&request).await;
    assert!(other.rest().await.is_empty());
    world
        .wait_for("a refused cancellation", |events| {
            commands(events).iter().any(|command| {
                command.phase == Phase::Cancel && command.disposition == Disposition::Refused
            })
        })
        .await;
    assert!(wire.is_silent().await, "a stranger cancelled");

    let mut own = Wire::new(world.tunnel().await);
    // The statement may have reached the target only now: cancelling is asked for until it shows.
    own.send(&request).await;
    assert!(own.rest().await.is_empty());
    let answer = wire.until(b'Z', 1).await;
    assert_eq!(error_field(&answer, b'C'), "57014");
    let events = world.events().await;
    let forwarded = commands(&events).into_iter().any(|command| {
        command.phase == Phase::Cancel && command.disposition == Disposition::Forwarded
    });
    assert!(forwarded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_an_unknown_target_and_a_denial_are_events() {
    let policy =
        r#"@id("agents") permit (principal in Tallyport::Group::"agents", action, resource);"#;
    let world = world!(policy,);
    let status = |refused: Result<_, tallyport_gateway::Refusal>| {
        refused.err().map(|refusal: tallyport_gateway::Refusal| refusal.status)
    };
    assert_eq!(status(world.open("not a token", "db").await), Some(401));
    let token = world.token("agent", None).await;
    assert_eq!(status(world.open(&token, "nowhere").await), Some(403));
    let stranger = world.token("other", None).await;
    assert_eq!(status(world.open(&stranger, "db").await), Some(403));
    // What they may not reach, and what there is not, look alike.
    let told = |refused: Result<_, tallyport_gateway::Refusal>| {
        refused.err().map(|refusal: tallyport_gateway::Refusal| (refusal.code, refusal.message))
    };
    let hidden = told(world.open(&stranger, "db").await);
    assert!(hidden.is_some());
    assert_eq!(hidden, told(world.open(&stranger, "nowhere").await));

    let events = world.events().await;
    let failed =
        |body: &Body| matches!(body, Body::Authentication(Authentication { failure: Some(_), .. }));
    assert_eq!(events.iter().filter(|event| failed(&event.body)).count(), 1);
    let denied =
        |body: &Body| matches!(body, Body::Decision(Decision { effect: Effect::Deny, .. }));
    assert_eq!(events.iter().filter(|event| denied(&event.body)).count(), 4);
    let refused = |body: &Body| {
        matches!(body, Body::Session(Session::Closed { end: SessionEnd::Refused, .. }))
    };
    assert_eq!(events.iter().filter(|event| refused(&event.body)).count(), 4);
    for event in &events {
        let text = String::from_utf8(tallyport_schemas::ocsf::encode(event)).unwrap();
        assert!(!text.contains(&token) && !text.contains("not a token"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_ends_a_session() {
    let world = world!();
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    let session = world.gateway.sessions()[0].session_id;
    assert!(world.gateway.end_session(session, "ops@example.com", "incident 7"));
    let rest = wire.rest().await;
    assert_eq!(tags(&rest), "E");
    let revoked = |events: &[tallyport_schemas::Event]| {
        events.iter().any(|event| matches!(&event.body, Body::Session(Session::Revoked { by, .. }) if by == "ops@example.com"))
    };
    world.wait_for("a revocation", revoked).await;
    assert!(!world.gateway.end_session(session, "ops@example.com", "again"));
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_sessions_as_events_and_opens_nothing_more() {
    let world = world!();
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    let token = world.token("agent", None).await;
    world.gateway.shutdown(Duration::from_millis(50)).await;
    assert_eq!(tags(&wire.rest().await), "E");
    let refusal = world.open(&token, "db").await.err().expect("closed");
    assert_eq!(refusal.status, 503);
    let events = world.events().await;
    let shut = |body: &Body| {
        matches!(body, Body::Session(Session::Closed { end: SessionEnd::Shutdown, .. }))
    };
    assert_eq!(events.iter().filter(|event| shut(&event.body)).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_leaves_nothing_running() {
    let world = world!();
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("SELECT pg_sleep(60), 'vanishing-client'")).await;
    let running = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%vanishing-client%' AND state = 'active' AND pid <> pg_backend_pid()";
    let direct = world.direct().await;
    let deadline = Instant::now() + SOON;
    while direct.query(running, &[]).await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "the statement never ran");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(wire);
    let deadline = Instant::now() + SOON;
    while !direct.query(running, &[]).await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "the target still runs the statement");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    world
        .wait_for("a lost session", |events| {
            events.iter().any(|event| matches!(&event.body, Body::Session(Session::Lost { cause, .. }) if cause == "client_gone"))
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_limit_is_an_error_not_a_shorter_answer() {
    let policy = r#"@id("limited") @row_limit("3") permit (principal, action, resource);"#;
    let world = world!(policy,);
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("SELECT generate_series(1, 3)")).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "TDDDCZ");
    wire.send(&query("SELECT generate_series(1, 100000000)")).await;
    let answer = wire.until(b'Z', 1).await;
    assert_eq!(tags(&answer), "TDDDEZ");
    assert_eq!(error_field(&answer, b'C'), "54000");
    wire.send(&query("SELECT 1")).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "TDCZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_agent_stops_the_target_not_the_memory() {
    let world = world!();
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("SELECT repeat('x', 1000), 'slow-agent' FROM generate_series(1, 400000)"))
        .await;
    // Without a reader the target must come to a stop: what was recorded stops growing far below 400 MB.
    let mut before = u64::MAX;
    let deadline = Instant::now() + SOON;
    loop {
        let sent: u64 = crate::harness::responses(&world.events().await)
            .into_iter()
            .map(|response| match response {
                tallyport_schemas::Response::Chunk { wire_bytes, .. } => *wire_bytes,
                _ => 0,
            })
            .sum();
        if sent == before && sent > 0 {
            assert!(sent < 4 * 1024 * 1024, "{sent} bytes were read ahead of the agent");
            break;
        }
        before = sent;
        assert!(Instant::now() < deadline, "it never comes to a stop");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_arrives_while_nothing_is_asked() {
    let world = world!();
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("LISTEN news")).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "CZ");
    world.direct().await.batch_execute("NOTIFY news, 'extra'").await.unwrap();
    let (tag, body) = wire.next().await.expect("a message");
    assert_eq!(tag, b'A');
    assert!(body.ends_with(b"news\0extra\0"));
    let events = world.events().await;
    let stray = crate::harness::responses(&events).into_iter().any(|response| {
        matches!(response, tallyport_schemas::Response::Unsolicited { kinds, .. } if kinds == &["notification"])
    });
    assert!(stray, "it is on record before it arrives");
}

/// The end of a session and a change of policy are tried to be put on record for longer than a stop may take: a minute the
/// one, and without an end the other. The gateway gives each of them twenty seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_takes_nothing_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.cedar");
    std::fs::write(&file, PERMIT_ALL).unwrap();
    let world = world!(policy_file: Some(file.clone()), max_wait: 2 * SOON,);
    let _client = world.connect().await;
    world.faults.set(Fault::always(FaultKind::Hang, false));
    std::fs::write(&file, format!("{PERMIT_ALL}\n// again")).unwrap();
    // It is looked for twice a second.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let within = Duration::from_secs(60);
    let stopped = tokio::time::timeout(within, world.gateway.shutdown(Duration::ZERO)).await;
    assert!(stopped.is_ok(), "it waits for the log");
}
