//! Clients below the connector, for what no honest one sends.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use quinn::crypto::rustls::QuicClientConfig;
use rustls_pki_types::ServerName;
use tallyport_gateway::tls;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::stage::{Stage, within};

pub type Tls = TlsStream<TcpStream>;
pub type H3Stream = h3::client::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

pub fn quic_config(stage: &Stage) -> quinn::ClientConfig {
    let tls = tls::client_config(Some(&stage.ca.ca_path()), None, tls::ALPN_H3).unwrap();
    quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
}

pub fn quic_endpoint() -> quinn::Endpoint {
    quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// A QUIC connection that speaks no HTTP/3 yet.
pub async fn quic(stage: &Stage) -> quinn::Connection {
    let addr = stage.front.quic_addr;
    let connecting = quic_endpoint().connect_with(quic_config(stage), addr, "localhost").unwrap();
    within(connecting).await.unwrap()
}

/// A tunnel over HTTP/3 whose stream is in the caller's hands.
pub struct H3Tunnel {
    pub conn: quinn::Connection,
    pub stream: H3Stream,
    /// The last handle of h3 ends the connection.
    _requests: h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
}

pub async fn h3_tunnel(stage: &Stage, config: quinn::ClientConfig) -> H3Tunnel {
    let addr = stage.front.quic_addr;
    let connecting = quic_endpoint().connect_with(config, addr, "localhost").unwrap();
    let conn = within(connecting).await.unwrap();
    let built = h3::client::new(h3_quinn::Connection::new(conn.clone()));
    let (mut driver, mut requests) = within(built).await.unwrap();
    tokio::spawn(async move { driver.wait_idle().await });
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri("db")
        .header("authorization", format!("Bearer {}", stage.token()))
        .body(())
        .unwrap();
    let mut stream = within(requests.send_request(request)).await.unwrap();
    assert_eq!(within(stream.recv_response()).await.unwrap().status(), 200);
    H3Tunnel { conn, stream, _requests: requests }
}

pub async fn tls(stage: &Stage, alpn: &[u8]) -> Tls {
    tls_on(stage, alpn, TcpStream::connect(stage.front.tcp_addr).await.unwrap()).await
}

pub async fn tls_on(stage: &Stage, alpn: &[u8], stream: TcpStream) -> Tls {
    let config = tls::client_config(Some(&stage.ca.ca_path()), None, alpn).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap()
}

/// A tunnel over HTTP/1.1, past the head of its answer.
pub async fn h1_tunnel(stage: &Stage, mut stream: Tls) -> Tls {
    let connect = format!(
        "CONNECT db:1 HTTP/1.1\r\nhost: db:1\r\nproxy-authorization: Bearer {}\r\n\r\n",
        stage.token()
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
    stream
}

/// What the gateway still says before it ends the connection, in order or not.
pub async fn rest(stream: &mut Tls) -> String {
    let mut text = Vec::new();
    let _end = within(stream.read_to_end(&mut text)).await;
    String::from_utf8_lossy(&text).into_owned()
}
