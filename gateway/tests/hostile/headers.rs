//! Headers that come slowly, and headers that never end, on each protocol of both fronts.

use std::time::Duration;

use bytes::Bytes;
use tallyport_gateway::tls;
use tokio::io::AsyncWriteExt as _;

use crate::client::{self, rest};
use crate::harness::Options;
use crate::stage::{DEADLINE, GROWTH, Memory, Stage, stage, within};

/// Attackers of one kind at a time.
const ATTACKERS: usize = 24;
/// What one of them would send, if it were let: together far beyond the bound on memory.
const FLOOD_BYTES: usize = 24 << 20;
/// How often a slow one sends a byte.
const DRIP: Duration = Duration::from_millis(50);

/// The client's preface, an empty SETTINGS frame, and a HEADERS frame of stream 1 without END_HEADERS
/// (RFC 9113 sections 3.4, 6.2 and 6.5).
const H2_OPENING: &[u8] =
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\0\0\0\0\x01\x82";

/// What opens a CONTINUATION frame of 16,000 bytes.
const H2_CONTINUATION: &[u8] = &[0, 0x3e, 0x80, 0x09, 0, 0, 0, 0, 1];

/// A CONTINUATION frame of stream 1 without END_HEADERS: one literal field that is not indexed, again and again.
fn h2_continuation() -> Vec<u8> {
    let field = [&[0, 1, b'x', 0x7f, 0x81, 0x07][..], &[b'a'; 1024]].concat();
    let body = field.repeat(15);
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&length[1..], &[0x09, 0, 0, 0, 0, 1], &body].concat()
}

/// Sends `opening`, then a byte at a time until the gateway ends the connection.
async fn drip(stage: &Stage, alpn: &[u8], opening: &[u8], byte: u8) {
    let stream = client::tls(stage, alpn).await;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let slowly = async {
        writer.write_all(opening).await.unwrap();
        while writer.write_all(&[byte]).await.is_ok() && writer.flush().await.is_ok() {
            tokio::time::sleep(DRIP).await;
        }
    };
    let ended = async {
        let mut sink = tokio::io::sink();
        tokio::select! {
            () = slowly => {}
            _end = tokio::io::copy(&mut reader, &mut sink) => {}
        }
    };
    within(ended).await;
}

async fn drip_quic(stage: &Stage) {
    let conn = client::quic(stage).await;
    let (mut send, mut recv) = conn.open_bi().await.unwrap();
    let slowly = async {
        // HEADERS of 16,000 bytes (RFC 9114 section 7.2.2).
        send.write_all(&[0x01, 0x7e, 0x80]).await.unwrap();
        while send.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(DRIP).await;
        }
    };
    let ended = async {
        tokio::select! {
            () = slowly => {}
            _reset = recv.received_reset() => {}
        }
    };
    within(ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_headers_are_given_up_on_every_protocol() {
    let stage = stage!(Options::default(), |limits| {
        limits.headers_deadline = DEADLINE;
        // HTTP/2 has no deadline for a single header: who never asked anything meets this one.
        limits.first_request_deadline = 2 * DEADLINE;
    });
    let memory = Memory::now();
    let h2_opening = [H2_OPENING, H2_CONTINUATION].concat();
    stage
        .while_served(async {
            let mut attackers = Vec::new();
            for _ in 0..ATTACKERS {
                let h1 = drip(&stage, tls::ALPN_H1, b"GET / HTTP/1.1\r\nhost: ", b'x');
                let h2 = drip(&stage, tls::ALPN_H2, &h2_opening, 0x82);
                attackers.push(async { tokio::join!(h1, h2, drip_quic(&stage)) });
            }
            futures::future::join_all(attackers).await;
        })
        .await;
    memory.assert_growth_below(GROWTH);
    for (code, front) in
        [("headers_timeout", "Tcp"), ("headers_timeout", "Quic"), ("no_request", "Tcp")]
    {
        stage
            .world
            .wait_for(code, |events| {
                events
                    .iter()
                    .map(|event| format!("{:?}", event.body))
                    .any(|body| body.contains(code) && body.contains(&format!("front: {front}")))
            })
            .await;
    }
    assert!(stage.failures().await.len() < 60);
}

/// Floods a TLS connection with `piece` until it is ended; `true` when it was, before all was sent.
async fn flood(mut stream: client::Tls, opening: &[u8], piece: &[u8]) -> bool {
    let mut sent = 0;
    stream.write_all(opening).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(stream);
    // What it answers is taken, so that it is not this side's fault when nothing moves.
    let answers = async {
        tokio::io::copy(&mut reader, &mut tokio::io::sink()).await.ok();
    };
    let flood = async {
        while sent < FLOOD_BYTES {
            if writer.write_all(piece).await.is_err() {
                return;
            }
            sent += piece.len();
        }
    };
    within(async {
        tokio::select! {
            () = answers => {}
            () = flood => {}
        }
    })
    .await;
    sent < FLOOD_BYTES
}

async fn flood_quic(stage: &Stage) -> bool {
    let conn = client::quic(stage).await;
    let (mut send, _recv) = conn.open_bi().await.unwrap();
    // HEADERS of 2^30 bytes.
    send.write_all(&[0x01, 0xc0, 0, 0, 0, 0x40, 0, 0, 0]).await.unwrap();
    // quinn does not wake a writer that is stopped while it has no credit: the stop is waited for beside it.
    let stopped = send.stopped();
    let flood = async {
        let block = Bytes::from(vec![0x41; 64 << 10]);
        let mut sent = 0;
        while sent < FLOOD_BYTES {
            match send.write(&block).await {
                Ok(count) => sent += count,
                Err(_) => std::future::pending().await,
            }
        }
    };
    tokio::select! {
        _code = within(stopped) => true,
        () = flood => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_headers_are_cut_off_on_every_protocol() {
    // No deadline is what ends them.
    let stage = stage!(Options::default(), |limits| {
        limits.headers_deadline = Duration::from_secs(300);
        limits.first_request_deadline = Duration::from_secs(300);
        limits.authentication_deadline = Duration::from_secs(300);
    });
    let memory = Memory::now();
    stage
        .while_served(async {
            let continuation = h2_continuation();
            let mut attackers = Vec::new();
            for _ in 0..ATTACKERS {
                let line = format!("x: {}\r\n", "1".repeat(1_000));
                let continuation = continuation.clone();
                let stage = &stage;
                attackers.push(async move {
                    let h1 = client::tls(stage, tls::ALPN_H1).await;
                    let h2 = client::tls(stage, tls::ALPN_H2).await;
                    let cut = tokio::join!(
                        flood(h1, b"GET / HTTP/1.1\r\nhost: x\r\n", line.as_bytes()),
                        flood(h2, H2_OPENING, &continuation),
                        flood_quic(stage),
                    );
                    assert_eq!(cut, (true, true, true), "a header was taken whole");
                });
            }
            futures::future::join_all(attackers).await;
        })
        .await;
    memory.assert_growth_below(GROWTH);
    for (code, front) in
        [("headers_too_large", "Tcp"), ("headers_too_large", "Quic"), ("stream_flood", "Tcp")]
    {
        stage
            .world
            .wait_for(code, |events| {
                events
                    .iter()
                    .map(|event| format!("{:?}", event.body))
                    .any(|body| body.contains(code) && body.contains(&format!("front: {front}")))
            })
            .await;
    }
}

/// A header that is too long but ends is answered; nothing of it reaches a token check.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_over_the_bound_is_told_so() {
    let stage = stage!(Options::default(), |_limits| {});
    let mut stream = client::tls(&stage, tls::ALPN_H1).await;
    let token = "a".repeat(40 << 10);
    let request =
        format!("CONNECT db:1 HTTP/1.1\r\nhost: db:1\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let text = rest(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 431"), "{text}");
    stage.turned_away("headers_too_large").await;
}
