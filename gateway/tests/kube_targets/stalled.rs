//! Streams that one side fills and the other does not take. The cluster's side is a double: no API server does this on demand.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use tallyport_schemas::{Body, Event, Response, ResponseStatus, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::hostile::{EXEC, UPGRADE, switched};
use crate::world::World;

const PROTOCOL: &str = "sec-websocket-protocol: v4.channel.k8s.io\r\n";
/// What the sockets of this machine hold, and what waits in between.
const READ_AHEAD: u64 = 24 << 20;
const PIECE: usize = 32 << 10;

/// A cluster that says all the time, or hears nothing.
async fn cluster(says: bool) -> Option<World> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let accepts = |key: &str| derive_accept_key(key.as_bytes());
        while let Ok((io, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Some(io) = switched(io, accepts, PROTOCOL).await else { return };
                let mut io = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
                let piece = [&[1][..], &[b'x'; PIECE]].concat();
                while says && io.send(Message::binary(piece.clone())).await.is_ok() {}
                tokio::time::sleep(Duration::from_secs(60)).await;
            });
        }
    });
    World::saying(&format!("url = 'http://127.0.0.1:{port}'")).await
}

async fn exec(world: &World, more: &str) -> TcpStream {
    let mut io = TcpStream::connect(("127.0.0.1", world.port("agent").await)).await.unwrap();
    let request = format!("GET {EXEC}{more} HTTP/1.1\r\nhost: prod\r\n{UPGRADE}{PROTOCOL}\r\n");
    io.write_all(request.as_bytes()).await.unwrap();
    io
}

fn recorded(events: &[Event]) -> u64 {
    let bytes = |event: &Event| match &event.body {
        Body::Response(response) => match &**response {
            Response::Chunk { wire_bytes, .. } => *wire_bytes,
            _ => 0,
        },
        Body::Command(command) => command.wire_bytes,
        _ => 0,
    };
    events.iter().map(bytes).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_takes_nothing_of_a_stream_is_ended() {
    let Some(world) = cluster(true).await else { return };
    let _mute = exec(&world, "").await;
    let ended = world.ended("exec shop/web-0 -c app -- [\"id\"]").await;
    assert_eq!(ended.status, ResponseStatus::Interrupted);
    let is_lost = |event: &Event| matches!(&event.body, Body::Session(Session::Lost { cause, .. }) if cause == "reader_stalled");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !world.events().await.iter().any(is_lost) {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", world.events().await.last());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ahead = recorded(&world.events().await);
    assert!(ahead < READ_AHEAD, "{ahead} bytes were read ahead of the agent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_hears_nothing_is_not_filled() {
    let Some(world) = cluster(false).await else { return };
    let mut io = exec(&world, "&stdin=true").await;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        io.read_exact(&mut byte).await.unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    let (mut to, _from) = WebSocketStream::from_raw_socket(io, Role::Client, None).await.split();
    let piece = [&[0][..], &[b'x'; PIECE]].concat();
    // 128 MiB, if anybody took them.
    let flood = async {
        for _ in 0..4096 {
            to.send(Message::binary(piece.clone())).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(3), flood).await.is_err(), "it is held");
    let ahead = recorded(&world.events().await);
    assert!(0 < ahead && ahead < READ_AHEAD, "{ahead} bytes are on record");
    drop((to, _from));
    let ended = world.ended("exec shop/web-0 -c app -i -- [\"id\"]").await;
    assert_eq!(ended.status, ResponseStatus::Interrupted, "whoever leaves is not held");
}
