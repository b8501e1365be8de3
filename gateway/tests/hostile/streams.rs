//! Streams by the thousand: opened and left, opened and reset.

use std::time::Duration;

use http::Request;
use quinn::VarInt;
use tallyport_gateway::tls;

use crate::client;
use crate::harness::Options;
use crate::stage::{DEADLINE, GROWTH, Memory, Stage, stage, times, within};

/// Connections that attack at a time.
const ATTACKERS: usize = 20;
/// Streams that each of them would open.
const STREAMS: usize = 2_000;
/// As the documentation has it: request streams at a time of a stranger (docs/reference/front.md).
const STREAMS_OF_A_STRANGER: usize = 16;

/// Opens streams, begins a header on each, and leaves them; gives how many it got.
async fn open_and_leave(stage: &Stage) -> usize {
    let conn = client::quic(stage).await;
    let mut held = Vec::new();
    while held.len() < STREAMS {
        // Without credit for more, the next one waits until the gateway ends the connection.
        let Ok((mut send, recv)) = within(conn.open_bi()).await else { break };
        // A header's first byte; the gateway may have ended the connection meanwhile.
        let _begun = send.write_all(&[0x01]).await;
        held.push((send, recv));
    }
    within(conn.closed()).await;
    held.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn quic_streams_that_are_opened_and_left_are_few_and_end() {
    let stage = stage!(Options::default(), |limits| {
        limits.headers_deadline = 2 * DEADLINE;
        limits.first_request_deadline = DEADLINE;
    });
    let memory = Memory::now();
    stage
        .while_served(async {
            let attackers = (0..ATTACKERS).map(|_| open_and_leave(&stage));
            for opened in futures::future::join_all(attackers).await {
                assert!(opened <= STREAMS_OF_A_STRANGER, "{opened} streams were open at a time");
            }
        })
        .await;
    memory.assert_growth_below(GROWTH);
    let ended: u64 = stage.turned_away("no_request").await.iter().map(times).sum();
    assert!(ended > 0);
}

/// Opens streams and resets each at once, as long as it is let.
async fn open_and_reset(stage: &Stage) {
    let conn = client::quic(stage).await;
    for _ in 0..STREAMS {
        let Ok((mut send, mut recv)) = within(conn.open_bi()).await else { return };
        if send.write_all(&[0x01]).await.is_err() {
            return;
        }
        // Over already where the gateway was faster.
        let _over = (send.reset(VarInt::from_u32(0x10c)), recv.stop(VarInt::from_u32(0x10c)));
    }
    within(conn.closed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn quic_streams_that_are_reset_again_and_again_cost_their_own_connection_only() {
    let stage = stage!(Options::default(), |limits| {
        limits.first_request_deadline = 2 * DEADLINE;
    });
    let memory = Memory::now();
    stage
        .while_served(async {
            let attackers = (0..ATTACKERS).map(|_| open_and_reset(&stage));
            futures::future::join_all(attackers).await;
        })
        .await;
    memory.assert_growth_below(GROWTH);
    stage.turned_away("no_request").await;
    let reset: u64 = stage.turned_away("reset_before_request").await.iter().map(times).sum();
    assert!(reset > 0);
    // Thousands of streams, a handful of events.
    assert!(stage.failures().await.len() < 60);
}

/// HTTP/2 rapid reset (CVE-2023-44487): requests, each taken back before it is answered.
async fn rapid_reset(stage: &Stage) -> h2::Error {
    let stream = client::tls(stage, tls::ALPN_H2).await;
    let (requests, connection) = within(h2::client::handshake(stream)).await.unwrap();
    let end = tokio::spawn(connection);
    let mut requests = within(requests.ready()).await.unwrap();
    for _ in 0..STREAMS {
        let request = Request::get("https://localhost/healthz").body(()).unwrap();
        let Ok((_response, mut send)) = requests.send_request(request, false) else { break };
        send.send_reset(h2::Reason::CANCEL);
        drop(send);
        match within(requests.clone().ready()).await {
            Ok(ready) => requests = ready,
            Err(_) => break,
        }
        tokio::task::yield_now().await;
    }
    drop(requests);
    within(end).await.unwrap().err().unwrap_or_else(|| h2::Reason::NO_ERROR.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_rapid_reset_ends_the_connection() {
    let stage = stage!(Options::default(), |limits| {
        limits.first_request_deadline = Duration::from_secs(300);
        limits.authentication_deadline = Duration::from_secs(300);
    });
    let memory = Memory::now();
    stage
        .while_served(async {
            let attackers = (0..ATTACKERS).map(|_| rapid_reset(&stage));
            for error in futures::future::join_all(attackers).await {
                // Its GOAWAY may be lost under what the flood still had to write.
                let told = error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
                assert!(told || error.is_io(), "{error}");
            }
        })
        .await;
    memory.assert_growth_below(GROWTH);
    let floods: u64 = stage.turned_away("stream_flood").await.iter().map(times).sum();
    assert!(floods > 0);
}
