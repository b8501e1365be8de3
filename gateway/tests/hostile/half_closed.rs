//! Tunnels of which one side is over: the session ends, whatever the other side still says.

use tallyport_gateway::connect::Transport;
use tallyport_gateway::tls;
use tallyport_schemas::{Body, Event, Session, SessionEnd};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::client;
use crate::harness::Options;
use crate::stage::{GROWTH, Memory, PATIENCE, Stage, stage, within};
use crate::wire::{Wire, query, tags};

/// What a client would send to a target that is gone.
const FLOOD_BYTES: usize = 64 << 20;

/// Starts a session on bytes that are in the caller's hands, and gives the pid of its backend.
async fn start<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> (Wire<S>, i32) {
    let (mut wire, _) = Wire::start(stream, &[("user", "u")]).await;
    wire.send(&query("SELECT pg_backend_pid()")).await;
    let answer = wire.until(b'Z', 1).await;
    assert_eq!(tags(&answer), "TDCZ");
    let (_, row) = answer.iter().find(|(tag, _)| *tag == b'D').unwrap();
    // One column: two bytes of count, four of length.
    let pid = String::from_utf8_lossy(&row[6..]).parse().unwrap();
    (wire, pid)
}

async fn is_running(stage: &Stage, pid: i32) -> bool {
    let direct = stage.world.direct().await;
    let found = direct.query("SELECT 1 FROM pg_stat_activity WHERE pid = $1", &[&pid]).await;
    !found.unwrap().is_empty()
}

async fn until_gone(stage: &Stage, pid: i32) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while is_running(stage, pid).await {
        assert!(std::time::Instant::now() < deadline, "the target still runs the statement");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// A client that ends its sending side and reads on is one that has gone: PostgreSQL's protocol has no half-open session.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_ends_its_side_ends_the_session_on_both_fronts() {
    let stage = stage!(Options::default(), |_limits| {});
    let lost = |events: &[Event]| {
        let gone = |event: &&Event| matches!(&event.body, Body::Session(Session::Lost { cause, .. }) if cause == "client_gone");
        events.iter().filter(gone).count()
    };
    stage
        .while_served(async {
            for (n, transport) in [Transport::Quic, Transport::Tcp].into_iter().enumerate() {
                let mut tunnel = stage.connector(transport).open("db").await.unwrap();
                let (mut wire, pid) = start(&mut tunnel).await;
                wire.send(&query("SELECT pg_sleep(600)")).await;
                within(tunnel.shutdown()).await.unwrap();
                // What is left to read comes to an end, in order or not.
                let _end = within(tunnel.read_to_end(&mut Vec::new())).await;
                stage.world.wait_for("lost sessions", |events| lost(events) == n + 1).await;
                until_gone(&stage, pid).await;
            }
            // HTTP/1.1: the end of TLS is the end of the tunnel.
            let stream = client::tls(&stage, tls::ALPN_H1).await;
            let mut stream = client::h1_tunnel(&stage, stream).await;
            let (_, pid) = start(&mut stream).await;
            within(stream.shutdown()).await.unwrap();
            let _end = within(stream.read_to_end(&mut Vec::new())).await;
            stage.world.wait_for("lost sessions", |events| lost(events) == 3).await;
            until_gone(&stage, pid).await;
        })
        .await;
}

/// Sends on until it is not taken any more; gives how much was.
async fn send_on<S: AsyncWrite + Unpin>(stream: &mut S) -> usize {
    let block = query(&format!("SELECT '{}'", "x".repeat(60_000)));
    let mut sent = 0;
    within(async {
        while sent < FLOOD_BYTES {
            if stream.write_all(&block).await.is_err() || stream.flush().await.is_err() {
                return;
            }
            sent += block.len();
        }
    })
    .await;
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_on_to_a_target_that_is_gone_is_cut_off() {
    let stage = stage!(Options::default(), |_limits| {});
    let memory = Memory::now();
    let closed = |events: &[Event]| {
        let by_target = |event: &&Event| {
            matches!(&event.body, Body::Session(Session::Closed { end: SessionEnd::Target, .. }))
        };
        events.iter().filter(by_target).count()
    };
    stage
        .while_served(async {
            for (n, transport) in [Transport::Quic, Transport::Tcp].into_iter().enumerate() {
                let mut tunnel = stage.connector(transport).open("db").await.unwrap();
                let (_, pid) = start(&mut tunnel).await;
                let direct = stage.world.direct().await;
                direct.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
                let sent = send_on(&mut tunnel).await;
                assert!(sent < FLOOD_BYTES, "{transport:?}: all of it was taken");
                stage.world.wait_for("closed sessions", |events| closed(events) == n + 1).await;
            }
        })
        .await;
    memory.assert_growth_below(GROWTH);
}
