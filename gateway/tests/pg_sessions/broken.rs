//! What is no message of the protocol ends the session as PostgreSQL ends it: at once, and on record.

use std::time::Instant;

use tallyport_schemas::{Body, Session};
use tokio::io::DuplexStream;

use crate::harness::{SOON, World, world};
use crate::wire::{Message, Wire, error_field, frame, parse, query, sync, tags};

/// Ends of sessions on record because their client broke the protocol.
async fn protocol_errors(world: &World) -> usize {
    let broken = |body: &Body| matches!(body, Body::Session(Session::Lost { cause, .. }) if cause == "protocol_error");
    world.events().await.iter().filter(|event| broken(&event.body)).count()
}

/// A session that answered, so that nothing is on its way.
async fn start(world: &World) -> Wire<DuplexStream> {
    let (mut wire, _) = Wire::start(world.tunnel().await, &[("user", "u")]).await;
    wire.send(&query("SELECT 1")).await;
    assert_eq!(tags(&wire.until(b'Z', 1).await), "TDCZ");
    wire
}

/// Sends `bytes`, with no flush point behind them; gives the farewell's message. The end is on record before it comes.
async fn ends(world: &World, wire: &mut Wire<DuplexStream>, bytes: &[u8], code: &str) -> String {
    let before = protocol_errors(world).await;
    wire.send(bytes).await;
    let farewell = wire.next().await.expect("a farewell");
    assert_eq!(protocol_errors(world).await, before + 1);
    assert_fatal(&[farewell], code, wire).await
}

async fn assert_fatal(farewell: &[Message], code: &str, wire: &mut Wire<DuplexStream>) -> String {
    assert_eq!(tags(farewell), "E");
    assert_eq!(error_field(farewell, b'S'), "FATAL");
    assert_eq!(error_field(farewell, b'C'), code);
    assert!(wire.next().await.is_none(), "the session goes on");
    error_field(farewell, b'M')
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_kind_of_message_ends_the_session_at_once() {
    let world = world!();
    let mut other = start(&world).await;
    for (kind, bytes) in [
        (b'z', frame(b'z', b"whatever")),
        // Its first byte says it all, as PostgreSQL sees it: what follows need not come.
        (b'z', b"z".to_vec()),
        (b'z', b"z\xff\xff\xff\xff".to_vec()),
        // A password, long after the start-up.
        (b'p', frame(b'p', b"secret\0")),
        // A kind that only servers send.
        (b'T', frame(b'T', b"\0\0")),
        (b'z', [parse("", "SELECT 'broken-0'"), frame(b'z', b"")].concat()),
    ] {
        let message = ends(&world, &mut start(&world).await, &bytes, "08P01").await;
        assert_eq!(message, format!("tallyport: invalid frontend message type {kind}"));
    }
    assert!(!world.statements().await.contains("broken-0"));
    other.send(&query("SELECT 2")).await;
    assert_eq!(tags(&other.until(b'Z', 1).await), "TDCZ");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_a_running_statement_and_a_copy_too() {
    let world = world!();
    let direct = world.direct().await;
    let mut wire = start(&world).await;
    let mut copy = start(&world).await;
    copy.send(&query("COPY app.things FROM STDIN")).await;
    assert_eq!(tags(&copy.until(b'G', 1).await), "G");
    let half = [frame(b'd', b"4711\tbroken-1\n"), frame(b'z', b"")].concat();
    ends(&world, &mut copy, &half, "08P01").await;

    wire.send(&query("SELECT pg_sleep(60), 'broken-2'")).await;
    let running = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%broken-2%' AND state = 'active' AND pid <> pg_backend_pid()";
    let deadline = Instant::now() + SOON;
    while direct.query(running, &[]).await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "the statement never ran");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    ends(&world, &mut wire, &frame(b'z', b""), "08P01").await;
    while !direct.query(running, &[]).await.unwrap().is_empty() {
        assert!(Instant::now() < deadline, "the target still runs the statement");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let copied = direct.query("SELECT 1 FROM app.things WHERE id = 4711", &[]).await.unwrap();
    assert!(copied.is_empty(), "half a COPY was kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_length_ends_the_session() {
    let world = world!();
    let header = |tag: u8, length: i32| [&[tag][..], &length.to_be_bytes()].concat();
    for (bytes, code, why) in [
        // Lengths count themselves: four is the least. Nothing more is waited for.
        (header(b'Q', 3), "08P01", "four is the least"),
        (header(b'S', -1), "08P01", "four is the least"),
        (header(b'Q', i32::MAX), "54000", "the limit is 16777216"),
        // The length is that of another message.
        (frame(b'Q', b"SELECT 'broken-3'"), "08P01", "a Query message is malformed"),
        (frame(b'Q', b"SELECT 'broken-3'\0;\0"), "08P01", "a Query message is malformed"),
        (
            [frame(b'P', b"\0SELECT 'broken-3'\0\0"), sync()].concat(),
            "08P01",
            "a Parse message is malformed",
        ),
        (frame(b'S', b"x"), "08P01", "a Sync or Flush message is malformed"),
        (frame(b'H', b"x"), "08P01", "a Sync or Flush message is malformed"),
    ] {
        let message = ends(&world, &mut start(&world).await, &bytes, code).await;
        assert!(message.contains(why), "{message}");
    }
    assert!(!world.statements().await.contains("broken-3"));
}
