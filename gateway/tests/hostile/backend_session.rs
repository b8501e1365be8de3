//! Targets that misbehave in the middle of a session: it ends, with a clear error and on record; others go on.

use tallyport_gateway::connect::{Transport, Tunnel};
use tallyport_schemas::{Body, Event, Session};

use crate::evil::{Proxy, Trick, header, notice};
use crate::harness::{Options, postgres};
use crate::stage::{GROWTH, Memory, Stage, stage, within};
use crate::wire::{Wire, error_field, frame, query, tags};

/// Ends of sessions on the target `evil` that are on record, as cause and message.
fn lost(events: &[Event]) -> Vec<(String, String)> {
    let of_evil =
        |event: &&Event| event.context.target.as_ref().is_some_and(|target| target.name == "evil");
    let lost = |event: &Event| match &event.body {
        Body::Session(Session::Lost { cause, message, .. }) => {
            Some((cause.clone(), message.clone()))
        }
        _ => None,
    };
    events.iter().filter(of_evil).filter_map(lost).collect()
}

async fn start(stage: &Stage) -> Wire<Tunnel> {
    let tunnel = stage.connector(Transport::Quic).open("evil").await.unwrap();
    Wire::start(tunnel, &[("user", "u")]).await.0
}

/// A session that asks for a trick, and is ended; gives the farewell's SQLSTATE and the event's message.
async fn ended(stage: &Stage, marker: &str) -> (String, String) {
    let mut wire = start(stage).await;
    let before = lost(&stage.world.events().await).len();
    wire.send(&query(&format!("SELECT '{marker}'"))).await;
    let rest = within(wire.rest()).await;
    assert_eq!(tags(&rest), "E", "{marker}");
    assert_eq!(error_field(&rest, b'S'), "FATAL", "{marker}");
    let recorded = lost(&stage.world.events().await);
    assert_eq!(recorded.len(), before + 1, "{marker}");
    let (cause, message) = recorded.last().unwrap();
    assert_eq!(cause, "target_protocol_error", "{marker}: {message}");
    (error_field(&rest, b'C'), message.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_answers_with_garbage_ends_its_session_only() {
    let Some(service) = tokio::task::spawn_blocking(postgres).await.unwrap() else {
        eprintln!("NOT RUN: {}: PostgreSQL cannot be installed", module_path!());
        return;
    };
    let tricks: Vec<Trick> = vec![
        Trick::once("trick-negative", header(b'T', -1)),
        Trick::once("trick-zeros", vec![0; 4096]),
        // 2 GiB that must be read whole.
        Trick::once("trick-two-gigabytes", header(b'T', i32::MAX)),
        Trick::once("trick-unknown", frame(b'%', b"what")),
        Trick::once("trick-unasked", frame(b'2', b"")),
        Trick::once("trick-http", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
    ];
    let markers: Vec<_> = tricks.iter().map(|trick| trick.marker).collect();
    let proxy = Proxy::start(service.port("port"), tricks).await;
    let options = Options { others: vec![proxy.target("evil")], ..Options::default() };
    let stage = stage!(options, |_limits| {});
    let memory = Memory::now();
    stage
        .while_served(async {
            for marker in markers {
                let (sqlstate, message) = ended(&stage, marker).await;
                let expected = if marker == "trick-two-gigabytes" || marker == "trick-http" {
                    "54000"
                } else {
                    "08P01"
                };
                assert_eq!(sqlstate, expected, "{marker}: {message}");
            }
        })
        .await;
    memory.assert_growth_below(GROWTH);
}

/// A row of 2 GiB, and notices without end: they pass in pieces, and cost time, not memory. Who asked may leave.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_floods_costs_no_memory() {
    const READ_BYTES: usize = 56 << 20;
    const GROWTH: u64 = 48 << 20;
    let Some(service) = tokio::task::spawn_blocking(postgres).await.unwrap() else {
        eprintln!("NOT RUN: {}: PostgreSQL cannot be installed", module_path!());
        return;
    };
    // One column of text, and a row whose one value is as long as a message can be.
    let field = [&b"x\0"[..], &[0; 6], &25_i32.to_be_bytes(), &[0xff, 0xff], &[0; 6]].concat();
    let description = frame(b'T', &[&[0, 1][..], &field].concat());
    let value = i32::MAX - 4 - 2 - 4;
    let row = [header(b'D', i32::MAX), vec![0, 1], value.to_be_bytes().to_vec()].concat();
    let tricks = vec![
        Trick {
            marker: "trick-endless-row",
            says: [description, row].concat(),
            repeats: vec![b'x'; 64 << 10],
        },
        Trick { marker: "trick-notices", says: Vec::new(), repeats: notice(1_000).repeat(64) },
    ];
    let markers: Vec<_> = tricks.iter().map(|trick| trick.marker).collect();
    let proxy = Proxy::start(service.port("port"), tricks).await;
    let options = Options { others: vec![proxy.target("evil")], ..Options::default() };
    let stage = stage!(options, |_limits| {});
    let memory = Memory::now();
    stage
        .while_served(async {
            for marker in markers {
                let mut wire = start(&stage).await;
                wire.send(&query(&format!("SELECT '{marker}'"))).await;
                let mut left = READ_BYTES;
                let mut buffer = vec![0; 64 << 10];
                while left > 0 {
                    let read = within(wire.read_some(&mut buffer)).await;
                    assert!(read > 0, "{marker}: the stream ended");
                    left = left.saturating_sub(read);
                }
                let before = lost(&stage.world.events().await).len();
                drop(wire);
                let gone = |events: &[Event]| {
                    let lost = lost(events);
                    lost.len() == before + 1 && lost.iter().all(|(cause, _)| cause == "client_gone")
                };
                stage.world.wait_for(marker, gone).await;
            }
        })
        .await;
    memory.assert_growth_below(GROWTH);
}
