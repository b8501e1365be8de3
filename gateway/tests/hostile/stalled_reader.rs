//! An agent that asks for much and reads nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use quinn::VarInt;
use tallyport_gateway::config::GatewayLimits;
use tallyport_gateway::connect::Transport;
use tallyport_gateway::tls;
use tallyport_schemas::{Body, Event, Response, Session};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

use crate::client;
use crate::harness::{Options, responses};
use crate::stage::{DEADLINE, GROWTH, INTERVAL, Memory, Stage, stage, within};
use crate::wire::{query, startup};

/// 400 MB.
const MUCH: &str = "SELECT repeat('x', 1000), 'stalled-reader' FROM generate_series(1, 400000)";
/// What may be read of the target ahead of an agent that takes nothing: windows, buffers, a batch.
const READ_AHEAD: u64 = 32 << 20;

fn limits() -> GatewayLimits {
    GatewayLimits {
        stalled_reader_timeout: DEADLINE,
        strangers_interval: INTERVAL,
        ..GatewayLimits::default()
    }
}

fn asking() -> Vec<u8> {
    [startup(&[("user", "u")]), query(MUCH)].concat()
}

/// Ends of sessions whose reader stalled, on record.
fn stalled(events: &[Event]) -> usize {
    let stalled = |event: &&Event| matches!(&event.body, Body::Session(Session::Lost { cause, .. }) if cause == "reader_stalled");
    events.iter().filter(stalled).count()
}

/// A client's windows as small as one likes.
fn small_windows(stage: &Stage) -> quinn::ClientConfig {
    let mut config = client::quic_config(stage);
    let mut transport = quinn::TransportConfig::default();
    let window = VarInt::from_u32(256 << 10);
    transport.receive_window(window).stream_receive_window(window);
    config.transport_config(Arc::new(transport));
    config
}

async fn until_target_rests(stage: &Stage) {
    let direct = stage.world.direct().await;
    let running = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%stalled-reader%' AND state = 'active' AND pid <> pg_backend_pid()";
    within(async {
        while !direct.query(running, &[]).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_reads_nothing_is_ended_on_every_protocol() {
    let stage = stage!(Options { limits: limits(), ..Options::default() }, |_limits| {});
    let memory = Memory::now();
    stage
        .while_served(async {
            // HTTP/3.
            let mut h3 = client::h3_tunnel(&stage, small_windows(&stage)).await;
            within(h3.stream.send_data(Bytes::from(asking()))).await.unwrap();
            // HTTP/2: the client's library reads the socket, and grants no more than its window.
            let mut h2 = stage.connector(Transport::Tcp).open("db").await.unwrap();
            h2.write_all(&asking()).await.unwrap();
            h2.flush().await.unwrap();
            // HTTP/1.1: nobody reads the socket.
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_recv_buffer_size(16 << 10).unwrap();
            let tcp = socket.connect(stage.front.tcp_addr).await.unwrap();
            let h1 = client::tls_on(&stage, tls::ALPN_H1, tcp).await;
            let mut h1 = client::h1_tunnel(&stage, h1).await;
            h1.write_all(&asking()).await.unwrap();
            h1.flush().await.unwrap();

            let events = stage.world.wait_for("stalled readers", |events| stalled(events) == 3);
            let events = events.await;
            let recorded: u64 = responses(&events)
                .into_iter()
                .map(|response| match response {
                    Response::Chunk { wire_bytes, .. } => *wire_bytes,
                    _ => 0,
                })
                .sum();
            assert!(recorded < 3 * READ_AHEAD, "{recorded} bytes were read ahead of the agents");
            until_target_rests(&stage).await;
        })
        .await;
    memory.assert_growth_below(GROWTH + 3 * READ_AHEAD);
    assert!(stage.lost("reader_stalled").await.contains("took nothing"));
}

/// Who is slow but goes on reading is served for as long as it takes.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_reads_slowly_is_served() {
    let stage = stage!(Options { limits: limits(), ..Options::default() }, |_limits| {});
    let mut h3 = client::h3_tunnel(&stage, small_windows(&stage)).await;
    within(h3.stream.send_data(Bytes::from(asking()))).await.unwrap();
    let began = std::time::Instant::now();
    let mut read = 0;
    while began.elapsed() < 3 * DEADLINE {
        let data = within(h3.stream.recv_data()).await.unwrap().expect("it goes on");
        read += data.remaining();
        // A pause well within the bound, for every few packets.
        if read > 128 << 10 {
            read = 0;
            tokio::time::sleep(DEADLINE / 4).await;
        }
    }
    assert_eq!(stalled(&stage.world.events().await), 0);
    h3.conn.close(VarInt::from_u32(0x100), b"");
    stage.lost("client_gone").await;
}
