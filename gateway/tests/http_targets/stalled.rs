//! Agents that ask for much and take nothing of it, and such as begin what they do not end.

use std::time::Duration;

use http_body_util::Full;
use hyper::Request;
use tallyport_gateway::config::GatewayLimits;
use tallyport_schemas::{Body, Response, ResponseStatus, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::{SOON, World, summaries};

const DEADLINE: Duration = Duration::from_millis(700);
/// What may be read of a service ahead of an agent that takes nothing: pieces that wait, and one on its way.
const READ_AHEAD: u64 = 2 << 20;
const MANY: usize = 24;

fn limits() -> GatewayLimits {
    GatewayLimits { stalled_reader_timeout: DEADLINE, ..GatewayLimits::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_take_nothing_are_ended_and_others_are_served() {
    let world = World::limited(limits()).await;
    let mut mute = Vec::new();
    for _ in 0..MANY {
        let mut io = world.tunnel("agent").await;
        io.write_all(b"GET /flood HTTP/1.1\r\nhost: crm\r\n\r\n").await.unwrap();
        mute.push(io);
    }
    let cut = world.wait_for("ends of what nobody takes", |events| summaries(events).len() == MANY);
    let serve = async {
        let mut honest = world.client().await;
        while world.summaries().await.iter().filter(|it| it.status != ResponseStatus::Ok).count()
            < MANY
        {
            assert_eq!(honest.get("/customers/7").await.0, 200);
        }
        honest.get("/customers/7").await.0
    };
    drop(cut);
    assert_eq!(tokio::time::timeout(SOON, serve).await.unwrap(), 200);

    let events = world.events().await;
    let ended = summaries(&events);
    let cut: Vec<_> = ended.iter().filter(|it| it.status != ResponseStatus::Ok).collect();
    assert_eq!(cut.len(), MANY);
    assert!(cut.iter().all(|it| it.status == ResponseStatus::Interrupted), "{cut:?}");
    let recorded = events.iter().map(|event| match &event.body {
        Body::Response(response) => match &**response {
            Response::Chunk { wire_bytes, .. } => *wire_bytes,
            _ => 0,
        },
        _ => 0,
    });
    let ahead: u64 = recorded.sum();
    assert!(ahead < MANY as u64 * READ_AHEAD, "{ahead} bytes were read ahead of the agents");
    // Each of them hears nothing more, and its session is over, on record.
    let is_lost = |body: &Body| matches!(body, Body::Session(Session::Lost { cause, .. }) if cause == "reader_stalled");
    world
        .wait_for("ends of their sessions", |events| {
            events.iter().filter(|event| is_lost(&event.body)).count() == MANY
        })
        .await;
    for mut io in mute {
        let mut taken = Vec::new();
        let over = tokio::time::timeout(SOON, io.read_to_end(&mut taken)).await;
        assert!(over.is_ok(), "the connection is over");
        assert!(!taken.ends_with(b"0\r\n\r\n"), "what was cut does not look whole");
    }
}

/// Heads that never end, bodies that never come: each is over in time, and holds nobody up.
#[tokio::test(flavor = "multi_thread")]
async fn agents_that_do_not_end_what_they_say_are_ended() {
    let startup_timeout = 3 * DEADLINE;
    let world = World::limited(GatewayLimits { startup_timeout, ..GatewayLimits::default() }).await;
    let mut slow = Vec::new();
    for said in ["", "GET /customers/7 HT", "GET /customers/7 HTTP/1.1\r\nhost: crm\r\n"] {
        let mut io = world.tunnel("agent").await;
        io.write_all(said.as_bytes()).await.unwrap();
        slow.push(io);
    }
    let mut honest = world.client().await;
    assert_eq!(honest.get("/customers/7").await.0, 200);
    for mut io in slow {
        let mut told = Vec::new();
        let over = tokio::time::timeout(SOON, io.read_to_end(&mut told)).await;
        assert!(over.is_ok(), "the head did not come, and its connection is over");
    }
    // Nothing of it was a request.
    assert_eq!(world.upstream.sent().len(), 1);
    assert_eq!(world.commands().await.len(), 1);
}

/// An agent that leaves in the middle of an answer ends what it asked for.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_leaves_ends_what_it_asked_for() {
    let world = World::limited(limits()).await;
    let mut client = world.client().await;
    let request = Request::get("/flood").body(Full::default()).unwrap();
    let response = client.send(request).await;
    assert_eq!(response.status(), 200);
    drop(response);
    drop(client);
    world.wait_for("the end of it", |events| summaries(events).len() == 1).await;
    let ended = world.summaries().await.remove(0);
    assert_eq!(ended.status, ResponseStatus::Interrupted);
}
