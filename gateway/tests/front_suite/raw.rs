//! Clients below the connector: QUIC alone, HTTP/3 through h3-quinn (not our own adapter), and a relay that can misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::{Buf as _, Bytes};
use http::{Method, Request, Response};
use quinn::crypto::rustls::QuicClientConfig;
use tallyport_gateway::tls::{self, DevCa};
use tokio::net::UdpSocket;

use crate::support::{GOOD_TOKEN, Gateway, within};

/// h3's code for a peer that asks too much (RFC 9114 section 8.1).
pub const EXCESSIVE_LOAD: u64 = 0x107;
pub const REQUEST_CANCELLED: u64 = 0x10c;

pub fn client_config(gateway: &Gateway) -> quinn::ClientConfig {
    client_config_of(&gateway.ca)
}

pub fn client_config_of(ca: &DevCa) -> quinn::ClientConfig {
    let tls = tls::client_config(Some(&ca.ca_path()), None, tls::ALPN_H3).unwrap();
    quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
}

pub fn endpoint() -> quinn::Endpoint {
    quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap()
}

pub async fn quic_to(
    gateway: &Gateway,
    addr: SocketAddr,
) -> Result<quinn::Connection, quinn::ConnectionError> {
    let connecting = endpoint().connect_with(client_config(gateway), addr, "localhost").unwrap();
    within(connecting).await
}

pub async fn quic(gateway: &Gateway) -> quinn::Connection {
    quic_to(gateway, gateway.front.quic_addr).await.unwrap()
}

/// How the gateway closed the connection: code and reason.
pub async fn closed(conn: &quinn::Connection) -> (u64, String) {
    match within(conn.closed()).await {
        quinn::ConnectionError::ApplicationClosed(close) => {
            (close.error_code.into_inner(), String::from_utf8_lossy(&close.reason).into_owned())
        }
        other => panic!("closed otherwise: {other}"),
    }
}

pub type Stream = h3::client::RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

/// An HTTP/3 client on one connection.
pub struct Http3 {
    pub conn: quinn::Connection,
    requests: h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
}

impl Http3 {
    pub async fn connect(gateway: &Gateway) -> Self {
        Self::on(quic(gateway).await).await
    }

    pub async fn on(conn: quinn::Connection) -> Self {
        let (mut driver, requests) =
            within(h3::client::new(h3_quinn::Connection::new(conn.clone()))).await.unwrap();
        tokio::spawn(async move { driver.wait_idle().await });
        Self { conn, requests }
    }

    pub async fn start(&mut self, request: Request<()>) -> Stream {
        within(self.requests.send_request(request)).await.unwrap()
    }

    /// Whether the gateway takes no request of this connection any more.
    pub async fn is_refused(&mut self) -> bool {
        let request = Request::get("https://localhost/healthz").body(()).unwrap();
        let Ok(mut stream) = within(self.requests.send_request(request)).await else { return true };
        within(stream.recv_response()).await.is_err()
    }

    pub async fn send(&mut self, request: Request<()>) -> (Response<()>, Stream) {
        let mut stream = self.start(request).await;
        let response = within(stream.recv_response()).await.unwrap();
        (response, stream)
    }

    pub async fn tunnel(&mut self, target: &str, token: &str) -> (Response<()>, Stream) {
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri(target)
            .header("authorization", format!("Bearer {token}"))
            .body(())
            .unwrap();
        self.send(request).await
    }

    /// Opens an echo tunnel and sees that it echoes.
    pub async fn echo(&mut self) -> Stream {
        let (response, mut stream) = self.tunnel("echo", GOOD_TOKEN).await;
        assert_eq!(response.status(), 200);
        ping(&mut stream).await;
        stream
    }

    pub async fn get(&mut self, path: &str) -> (Response<()>, Vec<u8>) {
        let uri = format!("https://localhost{path}");
        let (response, mut stream) = self.send(Request::get(uri).body(()).unwrap()).await;
        let body = body(&mut stream).await;
        (response, body)
    }
}

pub async fn ping(stream: &mut Stream) {
    within(stream.send_data(Bytes::from_static(b"ping"))).await.unwrap();
    let mut echoed = Vec::new();
    while echoed.len() < 4 {
        let mut data = within(stream.recv_data()).await.unwrap().unwrap();
        echoed.extend(data.copy_to_bytes(data.remaining()));
    }
    assert_eq!(echoed, b"ping");
}

pub async fn body(stream: &mut Stream) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(mut data) = within(stream.recv_data()).await.unwrap() {
        whole.extend(data.copy_to_bytes(data.remaining()));
    }
    whole
}

/// Carries the packets of one client, and sees or drops them.
pub struct Relay {
    pub addr: SocketAddr,
    /// Nothing passes any more, in either direction.
    pub dead: Arc<AtomicBool>,
    /// Nothing of the gateway passes any more.
    pub mute: Arc<AtomicBool>,
    /// Nothing of the client passes after its first packet.
    pub first_only: Arc<AtomicBool>,
    pub retries: Arc<AtomicUsize>,
    /// Packets of the client and of the gateway.
    pub asked: Arc<AtomicUsize>,
    pub answered: Arc<AtomicUsize>,
}

impl Relay {
    pub async fn to(server: SocketAddr) -> Self {
        let outside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let inside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        inside.connect(server).await.unwrap();
        let relay = Self {
            addr: outside.local_addr().unwrap(),
            dead: Arc::default(),
            mute: Arc::default(),
            first_only: Arc::default(),
            retries: Arc::default(),
            asked: Arc::default(),
            answered: Arc::default(),
        };
        let (dead, first_only) = (relay.dead.clone(), relay.first_only.clone());
        let (retries, mute) = (relay.retries.clone(), relay.mute.clone());
        let (asked, answered) = (relay.asked.clone(), relay.answered.clone());
        tokio::spawn(async move {
            let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
            let mut client = None;
            loop {
                tokio::select! {
                    Ok((count, from)) = outside.recv_from(&mut up) => {
                        asked.fetch_add(1, Ordering::SeqCst);
                        let first = client.replace(from).is_none();
                        let drop = dead.load(Ordering::SeqCst)
                            || (!first && first_only.load(Ordering::SeqCst));
                        if !drop {
                            let _ = inside.send(&up[..count]).await;
                        }
                    }
                    Ok(count) = inside.recv(&mut down) => {
                        answered.fetch_add(1, Ordering::SeqCst);
                        if is_retry(&down[..count]) {
                            retries.fetch_add(1, Ordering::SeqCst);
                        }
                        let drop = dead.load(Ordering::SeqCst) || mute.load(Ordering::SeqCst);
                        if let (Some(client), false) = (client, drop) {
                            let _ = outside.send_to(&down[..count], client).await;
                        }
                    }
                }
            }
        });
        relay
    }
}

/// A Retry packet of QUIC version 1 (RFC 9000 section 17.2.5).
fn is_retry(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first & 0xf0 == 0xf0)
        && packet.get(1..5) == Some(&[0, 0, 0, 1])
}
