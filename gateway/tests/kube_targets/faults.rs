//! Nothing that is typed reaches a container, and nothing that it prints the agent, without a record; whichever way the log fails.

use std::path::PathBuf;
use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use tallyport_eventlog::faults::{Fault, FaultKind};
use tallyport_schemas::{Body, Event, Session};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::world::{SOON, World};

const KINDS: [FaultKind; 3] = [FaultKind::Refuse, FaultKind::Unknown, FaultKind::Hang];

/// A shell in a container that runs this, with what is typed as its input.
async fn running(world: &World, script: &str) -> WebSocketStream<TcpStream> {
    let port = world.port("agent").await;
    let script: String = url::form_urlencoded::byte_serialize(script.as_bytes()).collect();
    let url = format!(
        "ws://127.0.0.1:{port}/api/v1/namespaces/shop/pods/web-0/exec?container=app&stdin=true&stdout=true&command=sh&command=-c&command={script}"
    );
    let mut request = url.into_client_request().unwrap();
    let protocol = "v5.channel.k8s.io".parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    let io = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    tokio_tungstenite::client_async(request, io).await.unwrap().0
}

/// What comes on the standard output until this does; none where the stream ends before.
async fn printed(streams: &mut WebSocketStream<TcpStream>, until: &str) -> Option<String> {
    let mut all = String::new();
    while let Some(Ok(message)) = timeout(SOON, streams.next()).await.unwrap() {
        if let Message::Binary(bytes) = message
            && let Some((1, bytes)) = bytes.split_first()
        {
            all.push_str(std::str::from_utf8(bytes).unwrap());
            if all.contains(until) {
                return Some(all);
            }
        }
    }
    assert!(!all.contains(until), "{all}");
    None
}

/// A file in the container's directory.
fn file(world: &World, name: &str) -> PathBuf {
    PathBuf::from(world.cluster.text("containers")).join("shop/web-0/app").join(name)
}

fn is_lost(event: &Event) -> bool {
    matches!(&event.body, Body::Session(Session::Lost { cause, .. }) if cause == "log_unavailable")
}

async fn wait_for_lost(world: &World, count: usize) {
    let wait = async {
        while world.events().await.iter().filter(|it| is_lost(it)).count() < count {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, wait).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_typed_arrives_without_its_record() {
    let Some(world) = World::start().await else { return };
    let mut ended = 0;
    for kind in KINDS {
        for persisted in [true, false] {
            let case = format!("{kind:?}, persisted {persisted}");
            let name = format!("typed-{ended}");
            let mut streams = running(&world, &format!("tee {name}")).await;
            streams.send(Message::binary(b"\0first\n".to_vec())).await.unwrap();
            assert!(printed(&mut streams, "first").await.is_some(), "{case}");
            world.faults.set(Fault::once(kind, persisted));
            streams.send(Message::binary(b"\0second\n".to_vec())).await.unwrap();
            assert_eq!(printed(&mut streams, "second").await, None, "{case}");
            world.faults.release_hung();
            ended += 1;
            wait_for_lost(&world, ended).await;
            let heard = std::fs::read_to_string(file(&world, &name)).unwrap();
            assert_eq!(heard, "first\n", "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_printed_passes_without_its_record() {
    let Some(world) = World::start().await else { return };
    let mut ended = 0;
    for kind in KINDS {
        for persisted in [true, false] {
            let case = format!("{kind:?}, persisted {persisted}");
            let name = format!("printed-{ended}");
            let script = format!(
                "echo first; while [ ! -e {name} ]; do sleep 0.05; done; echo second; sleep 5; echo third"
            );
            let mut streams = running(&world, &script).await;
            assert!(printed(&mut streams, "first").await.is_some(), "{case}");
            world.faults.set(Fault::once(kind, persisted));
            std::fs::write(file(&world, &name), "").unwrap();
            assert_eq!(printed(&mut streams, "second").await, None, "{case}");
            world.faults.release_hung();
            ended += 1;
            wait_for_lost(&world, ended).await;
        }
    }
}
