//! The QUIC front against clients that mean harm. Each test turns red when its guard is deleted.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use quinn::VarInt;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use tallyport_gateway::tls;

use crate::raw::{self, EXCESSIVE_LOAD, Http3, Relay};
use crate::support::{Ended, GOOD_TOKEN, Gateway, until, within};

/// Far below the default of any timeout that could hide a missing one.
const SOON: Duration = Duration::from_millis(300);

// HEADERS, length 2^30, as a client that never ends its header begins it (RFC 9114 section 7.2.2).
const ENDLESS_HEADERS: [u8; 9] = [0x01, 0xc0, 0, 0, 0, 0x40, 0, 0, 0];
const FLOOD_BYTES: usize = 32 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn endless_headers_are_stopped_before_they_cost_memory() {
    let gateway = Gateway::start().await;
    let conn = raw::quic(&gateway).await;
    let (mut send, mut recv) = conn.open_bi().await.unwrap();
    send.write_all(&ENDLESS_HEADERS).await.unwrap();
    // quinn does not wake a writer that is stopped while it has no credit at all: the stop is waited for beside it.
    let stopped = send.stopped();
    let flood = async {
        let block = vec![0x41; 64 << 10];
        let mut sent = 0;
        while sent < FLOOD_BYTES {
            match send.write(&block).await {
                Ok(count) => sent += count,
                Err(_) => std::future::pending().await,
            }
        }
        sent
    };
    let code = tokio::select! {
        code = within(stopped) => code.unwrap(),
        sent = flood => panic!("{sent} bytes of one header were taken"),
    };
    assert_eq!(code.map(VarInt::into_inner), Some(EXCESSIVE_LOAD));
    let reset = within(recv.received_reset()).await.unwrap();
    assert_eq!(reset.map(VarInt::into_inner), Some(EXCESSIVE_LOAD));
    // One stream was at fault, not the connection.
    assert!(conn.close_reason().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_settings_end_the_connection() {
    let gateway = Gateway::start().await;
    let conn = raw::quic(&gateway).await;
    let mut control = conn.open_uni().await.unwrap();
    control.write_all(&[0x00, 0x04, 0xc0, 0, 0, 0, 0x40, 0, 0, 0]).await.unwrap();
    let (code, reason) = raw::closed(&conn).await;
    assert_eq!(code, EXCESSIVE_LOAD);
    assert!(reason.contains("the limit is"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn early_data_is_never_taken() {
    let gateway = Gateway::start().await;
    assert!(!takes_early_data(&gateway, gateway.front.quic_addr).await);

    // The same client, and a server that differs in this one setting: so the client would use it.
    let mut open = gateway.identity.quic_config().unwrap();
    open.max_early_data_size = u32::MAX;
    let crypto = Arc::new(QuicServerConfig::try_from(open).unwrap());
    let config = quinn::ServerConfig::with_crypto(crypto);
    let careless = quinn::Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = careless.local_addr().unwrap();
    tokio::spawn(async move {
        while let Some(incoming) = careless.accept().await {
            tokio::spawn(async move {
                let conn = incoming.await.unwrap();
                // Its tickets travel with this.
                let mut hello = conn.open_uni().await.unwrap();
                hello.write_all(&[0x00, 0x04, 0x00]).await.unwrap();
                conn.closed().await;
            });
        }
    });
    assert!(takes_early_data(&gateway, addr).await);
}

async fn takes_early_data(gateway: &Gateway, addr: std::net::SocketAddr) -> bool {
    let mut tls = tls::client_config(Some(&gateway.ca_path()), None, tls::ALPN_H3).unwrap();
    tls.enable_early_data = true;
    let crypto = QuicClientConfig::try_from(tls).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let endpoint = raw::endpoint();
    let connect = || endpoint.connect_with(config.clone(), addr, "localhost").unwrap();
    let first = within(connect()).await.unwrap();
    // The control stream comes after the tickets.
    let mut control = within(first.accept_uni()).await.unwrap();
    let mut byte = [0];
    within(control.read_exact(&mut byte)).await.unwrap();
    connect().into_0rtt().is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_prove_their_address_under_load() {
    for (threshold, expected) in [(0, true), (100, false)] {
        let gateway = Gateway::with(|limits| limits.retry_above_connections = threshold).await;
        let relay = Relay::to(gateway.front.quic_addr).await;
        raw::quic_to(&gateway, relay.addr).await.unwrap();
        assert_eq!(relay.retries.load(Ordering::SeqCst) > 0, expected, "threshold {threshold}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_with_many_connections_must_prove_itself_too() {
    let gateway = Gateway::with(|limits| limits.max_connections_per_ip = 4).await;
    let _first = raw::quic(&gateway).await;
    let relay = Relay::to(gateway.front.quic_addr).await;
    raw::quic_to(&gateway, relay.addr).await.unwrap();
    assert!(relay.retries.load(Ordering::SeqCst) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_attempts_are_bounded() {
    let gateway = Gateway::with(|limits| limits.max_incoming = 0).await;
    let relay = Relay::to(gateway.front.quic_addr).await;
    let config = raw::client_config(&gateway);
    let ignored =
        tokio::spawn(raw::endpoint().connect_with(config, relay.addr, "localhost").unwrap());
    // It asks and asks again, and costs nothing: not even an answer.
    until(|| relay.asked.load(Ordering::SeqCst) >= 4).await;
    assert_eq!(relay.answered.load(Ordering::SeqCst), 0);
    ignored.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded_in_total_and_per_address() {
    for per_ip in [false, true] {
        let gateway = Gateway::with(|limits| {
            let bound = if per_ip {
                &mut limits.max_connections_per_ip
            } else {
                &mut limits.max_connections
            };
            *bound = 2;
        })
        .await;
        let first = raw::quic(&gateway).await;
        let _second = raw::quic(&gateway).await;
        assert_refused(&raw::quic_to(&gateway, gateway.front.quic_addr).await.unwrap_err());
        first.close(VarInt::from_u32(0x100), b"");
        until(|| gateway.front.connections() < 2).await;
        raw::quic(&gateway).await;
    }
}

fn assert_refused(error: &quinn::ConnectionError) {
    let quinn::ConnectionError::ConnectionClosed(close) = error else { panic!("{error}") };
    assert_eq!(close.error_code, quinn::TransportErrorCode::CONNECTION_REFUSED);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_few_until_something_is_authentic() {
    let gateway = Gateway::with(|limits| limits.streams = 40).await;
    let mut client = Http3::connect(&gateway).await;
    let mut held = open_streams(&client.conn).await;
    assert_eq!(held.len(), 16);
    // Places for the tunnel: credit comes back in steps of more than an eighth.
    for (mut send, _) in held.split_off(12) {
        send.reset(VarInt::from_u32(0x10c)).unwrap();
    }
    let _tunnel = client.echo().await;
    within(async {
        while held.len() < 39 {
            held.push(client.conn.open_bi().await.unwrap());
        }
    })
    .await;
    assert!(open_streams(&client.conn).await.is_empty());
}

pub type Bidi = (quinn::SendStream, quinn::RecvStream);

/// As many request streams as the gateway allows now; each has begun a header.
pub async fn open_streams(conn: &quinn::Connection) -> Vec<Bidi> {
    let mut held = Vec::new();
    loop {
        let opening = std::pin::pin!(conn.open_bi());
        let mut opening = opening;
        let opened = poll_fn(|cx| Poll::Ready(opening.as_mut().poll(cx))).await;
        let Poll::Ready(Ok((mut send, recv))) = opened else { return held };
        send.write_all(&[0x01]).await.unwrap();
        held.push((send, recv));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unidirectional_streams_are_few_and_datagrams_are_off() {
    let gateway = Gateway::start().await;
    let conn = raw::quic(&gateway).await;
    let mut held = Vec::new();
    loop {
        let mut opening = std::pin::pin!(conn.open_uni());
        match poll_fn(|cx| Poll::Ready(opening.as_mut().poll(cx))).await {
            Poll::Ready(stream) => held.push(stream.unwrap()),
            Poll::Pending => break,
        }
    }
    assert_eq!(held.len(), 8);
    assert_eq!(conn.max_datagram_size(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_bytes_are_few_until_something_is_authentic() {
    const WINDOW: u64 = 256 << 10;
    let gateway = Gateway::with(|limits| {
        limits.receive_window_before_authentication = WINDOW as u32;
        limits.stream_receive_window = WINDOW as u32;
    })
    .await;
    let mut client = Http3::connect(&gateway).await;
    let sent = sent_unread(&mut client, WINDOW).await;
    assert!(sent > WINDOW && sent < WINDOW * 3 / 2, "{sent} bytes were sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_bytes_are_bounded_when_all_is_authentic() {
    const WINDOW: u64 = 256 << 10;
    let gateway = Gateway::with(|limits| {
        limits.receive_window_before_authentication = WINDOW as u32 / 4;
        limits.receive_window = WINDOW as u32;
        limits.stream_receive_window = WINDOW as u32;
    })
    .await;
    let mut client = Http3::connect(&gateway).await;
    let _tunnel = client.echo().await;
    let sent = sent_unread(&mut client, WINDOW).await;
    assert!(sent > WINDOW && sent < WINDOW * 3 / 2, "{sent} bytes were sent");
}

/// How many bytes pass of eight bodies that nobody reads, each twice as long as the window of a stream.
async fn sent_unread(client: &mut Http3, stream_window: u64) -> u64 {
    // All requests first: once the window is full, not even a request's head passes.
    let mut streams = Vec::new();
    for _ in 0..8 {
        let request = Request::post("https://localhost/v1/hang").body(()).unwrap();
        streams.push(client.start(request).await);
    }
    for mut stream in streams {
        tokio::spawn(async move {
            let sent = stream.send_data(Bytes::from(vec![1; 2 * stream_window as usize])).await;
            panic!("more than a stream's window was taken: {sent:?}");
        });
    }
    until_still(|| client.conn.stats().frame_tx.stream).await;
    client.conn.stats().udp_tx.bytes
}

/// Until a counter that has moved stands still for a second: there is no event for that.
async fn until_still(counter: impl Fn() -> u64) {
    let (mut before, mut still) = (0, 0);
    within(async {
        while still < 4 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let now = counter();
            still = if now == before && now > 0 { still + 1 } else { 0 };
            before = now;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn window_grows_once_something_is_authentic() {
    const WINDOW: u32 = 64 << 10;
    let gateway = Gateway::with(|limits| {
        limits.receive_window_before_authentication = WINDOW;
        limits.stream_receive_window = 4 * WINDOW;
    })
    .await;
    let mut client = Http3::connect(&gateway).await;
    let (response, mut stream) = client.tunnel("sink", GOOD_TOKEN).await;
    assert_eq!(response.status(), 200);
    // More than the window of a stranger, into a tunnel that is not read.
    within(stream.send_data(Bytes::from(vec![1; 3 * WINDOW as usize]))).await.unwrap();
    until(|| client.conn.stats().udp_tx.bytes > 3 * u64::from(WINDOW)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_tokens_at_once_gets_no_more_tries() {
    let gateway = Gateway::with(|limits| limits.max_failed_authentications = 3).await;
    let mut client = Http3::connect(&gateway).await;
    // Keeps the connection from being over.
    let _open = client.start(Request::post("https://localhost/v1/hang").body(()).unwrap()).await;
    for status in [401, 401, 401, 429, 429] {
        assert_eq!(client.tunnel("echo", "guess").await.0.status(), status);
    }
    assert_eq!(client.get("/v1/echo").await.0.status(), 429, "nor for another kind of request");
    assert_eq!(gateway.double.asked.load(Ordering::SeqCst), 3);
}

/// RFC 9449 section 9.
#[tokio::test(flavor = "multi_thread")]
async fn to_learn_a_nonce_is_no_guess() {
    let gateway = Gateway::with(|limits| limits.max_failed_authentications = 3).await;
    let mut client = Http3::connect(&gateway).await;
    for _ in 0..5 {
        let (response, _) = client.tunnel("nonce", GOOD_TOKEN).await;
        assert_eq!(response.status(), 401);
        assert_eq!(response.headers()["dpop-nonce"], "the-nonce");
        let challenges = response.headers().get_all("www-authenticate").iter();
        let asks =
            |it: &http::HeaderValue| it.to_str().unwrap().contains("error=\"use_dpop_nonce\"");
        assert_eq!(challenges.filter(|it| asks(it)).count(), 1);
    }
    client.echo().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_tokens_ends_the_connection() {
    let gateway = Gateway::with(|limits| limits.max_failed_authentications = 3).await;
    let mut client = Http3::connect(&gateway).await;
    for _ in 0..3 {
        let (response, _) = client.tunnel("echo", "guess").await;
        assert_eq!(response.status(), 401);
    }
    let (code, reason) = raw::closed(&client.conn).await;
    assert_eq!(code, EXCESSIVE_LOAD);
    assert!(reason.contains("invalid token"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn client_that_reads_no_more_ends_a_writer_without_credit() {
    const WINDOW: u32 = 1 << 20;
    let mut gateway = Gateway::start().await;
    let mut config = raw::client_config(&gateway);
    let mut transport = quinn::TransportConfig::default();
    transport
        .receive_window(VarInt::from_u32(WINDOW))
        .stream_receive_window(VarInt::from_u32(WINDOW));
    config.transport_config(Arc::new(transport));
    let relay = Relay::to(gateway.front.quic_addr).await;
    let conn = raw::endpoint().connect_with(config, relay.addr, "localhost").unwrap();
    let mut client = Http3::on(within(conn).await.unwrap()).await;
    let (response, mut stream) = client.tunnel("answer", GOOD_TOKEN).await;
    assert_eq!(response.status(), 200);
    // The answer fills all windows inside the gateway and does not arrive: no credit will come back.
    relay.mute.store(true, Ordering::SeqCst);
    let before = relay.answered.load(Ordering::SeqCst);
    stream.finish().await.unwrap();
    until(|| relay.answered.load(Ordering::SeqCst) > before + 10).await;
    stream.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);
    assert_eq!(gateway.next_end().await, Ended::Error);
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnel_survives_a_change_of_network() {
    let gateway = Gateway::start().await;
    let endpoint = raw::endpoint();
    let config = raw::client_config(&gateway);
    let addr = gateway.front.quic_addr;
    let conn = within(endpoint.connect_with(config, addr, "localhost").unwrap()).await.unwrap();
    let mut client = Http3::on(conn).await;
    let mut tunnel = client.echo().await;
    endpoint.rebind(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
    raw::ping(&mut tunnel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnels_are_bounded_and_opening_one_has_a_deadline() {
    let gateway = Gateway::with(|limits| {
        limits.max_tunnels = 1;
        limits.open_deadline = SOON;
    })
    .await;
    let mut client = Http3::connect(&gateway).await;
    let (response, mut stream) = client.tunnel("never", GOOD_TOKEN).await;
    assert_eq!(response.status(), 503);
    assert!(String::from_utf8_lossy(&raw::body(&mut stream).await).contains("open_timeout"));
    let _held = client.echo().await;
    let (response, mut stream) = client.tunnel("echo", GOOD_TOKEN).await;
    assert_eq!(response.status(), 503);
    assert!(String::from_utf8_lossy(&raw::body(&mut stream).await).contains("too_many_tunnels"));
}
