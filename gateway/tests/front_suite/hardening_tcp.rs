//! The TCP front against clients that mean harm. Each test turns red when its guard is deleted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use rustls::pki_types::ServerName;
use tallyport_gateway::tls;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{GOOD_TOKEN, Gateway, until, within};

/// Far more than may be pending, few enough to be over soon.
const FLOOD_STREAMS: usize = 5_000;

const SOON: Duration = Duration::from_millis(300);

pub async fn tls_with(gateway: &Gateway, alpn: &[u8]) -> TlsStream<TcpStream> {
    let config = tls::client_config(Some(&gateway.ca_path()), None, alpn).unwrap();
    let stream = TcpStream::connect(gateway.front.tcp_addr).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap()
}

/// What the gateway still says before it ends the connection, in order or not.
async fn rest(stream: &mut TlsStream<TcpStream>) -> String {
    let mut text = Vec::new();
    let _end = within(stream.read_to_end(&mut text)).await;
    String::from_utf8_lossy(&text).into_owned()
}

async fn answered(stream: &mut TlsStream<TcpStream>, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    within(async {
        while !text.ends_with(b"127.0.0.1") {
            let byte = stream.read_u8().await.unwrap();
            text.push(byte);
        }
    })
    .await;
    String::from_utf8_lossy(&text).into_owned()
}

fn whoami() -> String {
    format!("GET /v1/whoami HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {GOOD_TOKEN}\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_handshake_has_a_deadline() {
    let gateway = Gateway::with(|limits| limits.handshake_deadline = SOON).await;
    let mut mute = TcpStream::connect(gateway.front.tcp_addr).await.unwrap();
    assert_eq!(within(mute.read(&mut [0; 1])).await.unwrap_or(0), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connection_is_closed() {
    let gateway = Gateway::with(|limits| {
        limits.first_request_deadline = SOON;
        limits.headers_deadline = Duration::from_secs(300);
    })
    .await;
    for alpn in [tls::ALPN_H1, tls::ALPN_H2] {
        let mut stream = tls_with(&gateway, alpn).await;
        rest(&mut stream).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_that_authenticates_nothing_is_closed() {
    let gateway = Gateway::with(|limits| {
        limits.authentication_deadline = SOON;
        limits.headers_deadline = Duration::from_secs(300);
    })
    .await;
    let mut stream = tls_with(&gateway, tls::ALPN_H1).await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let text = rest(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_http1_header_is_ended_in_time() {
    let gateway = Gateway::with(|limits| limits.headers_deadline = SOON).await;
    let mut stream = tls_with(&gateway, tls::ALPN_H1).await;
    // It is no stranger: no other deadline applies.
    answered(&mut stream, &whoami()).await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: ").await.unwrap();
    rest(&mut stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_header_is_bounded() {
    let gateway = Gateway::start().await;
    for flood in ["x: 1\r\n".repeat(65), format!("x: {}\r\n", "1".repeat(40 << 10))] {
        let mut stream = tls_with(&gateway, tls::ALPN_H1).await;
        let request = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{flood}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let text = rest(&mut stream).await;
        assert!(text.starts_with("HTTP/1.1 431"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_answers_offer_http3() {
    let gateway = Gateway::start().await;
    let mut stream = tls_with(&gateway, tls::ALPN_H1).await;
    let text = answered(&mut stream, &whoami()).await;
    let offer = format!("alt-svc: h3=\":{}\"", gateway.front.quic_addr.port());
    assert!(text.to_lowercase().contains(&offer), "{text}");
}

type Requests = h2::client::SendRequest<Bytes>;

/// An HTTP/2 client, and how its connection ends.
async fn http2(gateway: &Gateway) -> (Requests, tokio::task::JoinHandle<Result<(), h2::Error>>) {
    let stream = tls_with(gateway, tls::ALPN_H2).await;
    let (requests, connection) = within(h2::client::handshake(stream)).await.unwrap();
    (requests, tokio::spawn(connection))
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_streams_and_header_lists_are_bounded() {
    let gateway = Gateway::with(|limits| limits.streams = 7).await;
    let (requests, _end) = http2(&gateway).await;
    let mut requests = within(requests.ready()).await.unwrap();
    let get = |bytes: usize| {
        Request::get("https://localhost/healthz").header("x", "1".repeat(bytes)).body(()).unwrap()
    };
    let (response, _) = requests.send_request(get(20 << 10), true).unwrap();
    assert_eq!(within(response).await.unwrap().status(), 200);
    assert_eq!(requests.current_max_send_streams(), 7);
    let (response, _) = requests.send_request(get(40 << 10), true).unwrap();
    match within(response).await {
        Ok(response) => assert_eq!(response.status(), 431),
        Err(error) => assert!(error.is_reset() || error.is_go_away(), "{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_reset_flood_ends_the_connection() {
    // No deadline ends it.
    let gateway = Gateway::with(|limits| {
        limits.first_request_deadline = Duration::from_secs(300);
        limits.authentication_deadline = Duration::from_secs(300);
    })
    .await;
    let (requests, end) = http2(&gateway).await;
    let mut requests = within(requests.ready()).await.unwrap();
    for _ in 0..FLOOD_STREAMS {
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
    // Its GOAWAY may be lost under what the flood still had to write.
    let error = within(end).await.unwrap().unwrap_err();
    let told = error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
    assert!(told || error.is_io(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_are_told_so() {
    let gateway = Gateway::with(|limits| limits.max_connections_per_ip = 1).await;
    let first = tls_with(&gateway, tls::ALPN_H1).await;
    let mut second = tls_with(&gateway, tls::ALPN_H1).await;
    second.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let text = rest(&mut second).await;
    assert!(text.starts_with("HTTP/1.1 503"), "{text}");
    assert!(text.contains("too_many_connections"), "{text}");
    assert_eq!(gateway.front.connections(), 1);
    drop(first);
    until(|| gateway.front.connections() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_12_is_for_tcp_alone() {
    let gateway = Gateway::start().await;
    let mut roots = rustls::RootCertStore::empty();
    let pem = std::fs::read(gateway.ca_path()).unwrap();
    let der = <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(&pem).unwrap();
    roots.add(der).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(gateway.front.tcp_addr).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap();
    assert_eq!(stream.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    let quic = gateway.identity.quic_config().unwrap();
    assert_eq!(quic.alpn_protocols, [tls::ALPN_H3]);
}

/// A tunnel to `echo` over HTTP/1.1, as a client that takes the gateway for a proxy opens it.
pub async fn http1_tunnel(gateway: &Gateway) -> TlsStream<TcpStream> {
    let mut stream = tls_with(gateway, tls::ALPN_H1).await;
    let connect = format!(
        "CONNECT echo:1 HTTP/1.1\r\nhost: echo:1\r\nproxy-authorization: Bearer {GOOD_TOKEN}\r\n\r\nping"
    );
    stream.write_all(connect.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    within(async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
    })
    .await;
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    // What was sent right behind the request belongs to the tunnel.
    let mut echoed = [0; 4];
    within(stream.read_exact(&mut echoed)).await.unwrap();
    assert_eq!(&echoed, b"ping");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn vanished_http1_client_ends_its_tunnel() {
    let mut gateway = Gateway::start().await;
    // No close_notify: the socket is gone, as after a kill.
    drop(http1_tunnel(&gateway).await);
    gateway.next_end().await;
}
