//! Nothing reaches the service, and nothing of what it says the agent, without a record; whichever way the log fails.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use tallyport_eventlog::faults::{Fault, FaultKind};
use tallyport_schemas::{Body, ResponseStatus, Session};

use crate::world::{Client, World, summaries};

const KINDS: [FaultKind; 3] = [FaultKind::Refuse, FaultKind::Unknown, FaultKind::Hang];

/// Lets so many appends pass before `fault`.
fn after(world: &World, passes: usize, fault: Fault) {
    for _ in 0..passes {
        world.faults.set(Fault::once(FaultKind::Delay(Duration::ZERO), true));
    }
    world.faults.set(fault);
}

/// A client whose session is open, with nothing of it still to be put on record.
async fn client(world: &World) -> Client {
    world.faults.release_hung();
    world.faults.clear();
    world
        .wait_for("the ends of those before", |events| {
            let of = |event: &tallyport_schemas::Event| match &event.body {
                Body::Session(Session::Opened { .. }) => 1,
                Body::Session(Session::Granted { .. }) => 0,
                Body::Session(_) => -1,
                _ => 0,
            };
            events.iter().map(of).sum::<i32>() <= 0
        })
        .await;
    let mut client = world.client().await;
    assert_eq!(client.get("/notes/a").await.0, 200, "it recovers without a restart");
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_reaches_the_service_without_its_record() {
    let world = World::start().await;
    for kind in KINDS {
        for persisted in [true, false] {
            let case = format!("{kind:?}, persisted {persisted}");
            let mut client = client(&world).await;
            let mut other = client_of_another(&world).await;
            let sent = world.upstream.sent().len();
            after(&world, 0, Fault::once(kind, persisted));
            let (status, told) = client.get("/customers/7").await;
            assert_eq!(status, 503, "{case}: {told}");
            assert!(told.contains("log_unavailable"), "{case}: {told}");
            assert_eq!(world.upstream.sent().len(), sent, "{case}: the service got it");
            world.faults.release_hung();
            assert!(client.is_over().await, "{case}: the session goes on");
            assert_eq!(other.get("/notes/a").await.0, 200, "{case}: another's session ended, too");
        }
    }
    let lost = |it: &tallyport_schemas::Event| matches!(&it.body, Body::Session(Session::Lost { cause, .. }) if cause == "log_unavailable");
    world.wait_for("ends", |events| events.iter().filter(|it| lost(it)).count() >= 6).await;
}

async fn client_of_another(world: &World) -> Client {
    let mut client = Client::on(world.tunnel("second").await).await;
    assert_eq!(client.get("/notes/a").await.0, 200);
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_answer_passes_without_its_record() {
    let world = World::start().await;
    for kind in KINDS {
        for persisted in [true, false] {
            let case = format!("{kind:?}, persisted {persisted}");
            let mut client = client(&world).await;
            let sent = world.upstream.sent().len();
            after(&world, 1, Fault::once(kind, persisted));
            let (status, told) = client.get("/customers/7").await;
            assert_eq!(status, 503, "{case}: {told}");
            assert!(!told.contains("Ada"), "{case}: {told}");
            assert_eq!(world.upstream.sent().len(), sent + 1, "{case}");
            assert!(client.is_over().await, "{case}: the session goes on");
        }
    }
    // In the middle of one: what follows does not come, and the agent knows.
    let mut client = client(&world).await;
    after(&world, 2, Fault::once(FaultKind::Refuse, false));
    let answer = client.send(Request::get("/large").body(Full::default()).unwrap()).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.into_body().collect().await.is_err(), "it was taken for whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_slow_gone_or_does_not_let_in_is_told_as_that() {
    let world = World::saying("timeout_seconds = 1").await;
    let mut client = world.client().await;
    let (status, told) = client.get("/slow").await;
    assert_eq!(status, 504, "{told}");
    assert!(told.contains("whether it did what was asked is not known"), "{told}");
    let (status, told) = client.get("/status/401").await;
    assert_eq!(status, 502, "{told}");
    assert!(told.contains("target_unavailable"), "{told}");
    let (status, told) = client.get("/gone").await;
    assert_eq!(status, 502, "{told}");
    assert!(told.contains("whether it did what was asked is not known"), "{told}");
    for broken in ["/wide", "/many"] {
        let (status, told) = client.get(broken).await;
        assert_eq!(status, 502, "{broken}: {told}");
        assert!(told.contains("whether it did what was asked is not known"), "{broken}: {told}");
    }
    let answer = client.send(Request::get("/cut").body(Full::default()).unwrap()).await;
    assert!(answer.into_body().collect().await.is_err(), "it was taken for whole");
    let events = world.wait_for("their ends", |events| summaries(events).len() == 6).await;
    assert!(summaries(&events).iter().all(|it| it.status == ResponseStatus::Interrupted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_token_and_when_somebody_ends_it() {
    let world = World::start().await;
    let token = world.token("agent", Some(2)).await;
    let tunnel = world.open(&token).await.unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    tokio::spawn(tunnel.run(Box::new(far)));
    let mut client = Client::on(near).await;
    let (status, told) = client.get("/slow").await;
    assert_eq!(status, 503, "{told}");
    assert!(told.contains("session_ended"), "{told}");
    assert!(matches!(world.ended().await, Session::Expired { .. }));
    let events = world.events().await;
    assert_eq!(summaries(&events)[0].status, ResponseStatus::Interrupted);
    // The end of the request is on record before that of the session.
    let order: Vec<bool> = events
        .iter()
        .filter_map(|event| match &event.body {
            Body::Response(_) => Some(false),
            Body::Session(Session::Expired { .. }) => Some(true),
            _ => None,
        })
        .collect();
    assert_eq!(order, [false, true]);

    let world = World::start().await;
    let mut client = world.client().await;
    assert_eq!(client.get("/notes/a").await.0, 200);
    let session = world.gateway.sessions().remove(0);
    assert!(world.gateway.end_session(session.session_id, "dana", "enough"));
    assert!(matches!(world.ended().await, Session::Revoked { by, .. } if by == "dana"));
    assert!(world.gateway.sessions().is_empty());
}
