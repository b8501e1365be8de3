//! One request by each of the ways in, exactly as a test wrote it.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tallyport_gateway::tls;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::{SOON, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    H1,
    H2,
    H3,
}

pub const WAYS: [Way; 3] = [Way::H1, Way::H2, Way::H3];

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}: {text}", self.status))
    }

    /// The code of its error.
    pub fn code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap_or_default()
    }
}

/// Sends a request whose URI has the scheme and the authority that it is meant for; on HTTP/1.1 `Host` says the authority,
/// unless there is one already.
pub async fn send(world: &World, way: Way, request: Request<Bytes>) -> Answer {
    let sent = async {
        match way {
            Way::H1 => h1(world, request).await,
            Way::H2 => h2(world, request).await,
            Way::H3 => h3(world, request).await,
        }
    };
    tokio::time::timeout(SOON, sent).await.unwrap_or_else(|_| panic!("no answer over {way:?}"))
}

pub async fn tls(world: &World, alpn: &[u8]) -> TlsStream<TcpStream> {
    let config = tls::client_config(Some(&world.ca.ca_path()), None, alpn).unwrap();
    let stream = TcpStream::connect(world.front.tcp_addr).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

async fn h1(world: &World, request: Request<Bytes>) -> Answer {
    let (mut head, body) = request.into_parts();
    if !head.headers.contains_key("host") {
        let host = head.uri.authority().unwrap().as_str().parse().unwrap();
        head.headers.insert("host", host);
    }
    head.uri = head.uri.path_and_query().unwrap().as_str().parse().unwrap();
    let io = TokioIo::new(tls(world, tls::ALPN_H1).await);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(Request::from_parts(head, Full::new(body))).await.unwrap();
    let answer = collected(answer).await;
    connection.abort();
    answer
}

async fn h2(world: &World, request: Request<Bytes>) -> Answer {
    let io = TokioIo::new(tls(world, tls::ALPN_H2).await);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
    let (mut sender, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request.map(Full::new)).await.unwrap();
    let answer = collected(answer).await;
    connection.abort();
    answer
}

async fn collected(answer: Response<hyper::body::Incoming>) -> Answer {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status.as_u16(), headers: head.headers, body }
}

pub async fn quic(world: &World) -> quinn::Connection {
    let tls = tls::client_config(Some(&world.ca.ca_path()), None, tls::ALPN_H3).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint.connect_with(config, world.front.quic_addr, "localhost").unwrap().await.unwrap()
}

async fn h3(world: &World, request: Request<Bytes>) -> Answer {
    let conn = quic(world).await;
    let (mut driver, mut requests) =
        h3::client::new(h3_quinn::Connection::new(conn)).await.unwrap();
    let driver = tokio::spawn(async move { driver.wait_idle().await });
    let (head, body) = request.into_parts();
    let mut stream = requests.send_request(Request::from_parts(head, ())).await.unwrap();
    // It may be answered before it was sent whole; h3 takes another frame then for a mistake of ours.
    if stream.send_data(body).await.is_ok() {
        let _ended = stream.finish().await;
    }
    let answer = stream.recv_response().await.unwrap();
    let mut body = Vec::new();
    while let Some(mut data) = stream.recv_data().await.unwrap() {
        body.extend(data.copy_to_bytes(data.remaining()));
    }
    driver.abort();
    Answer {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body: body.into(),
    }
}

/// Waits a moment in which something that must not happen would.
pub async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

pub fn is_ok(answer: &Answer) -> bool {
    StatusCode::from_u16(answer.status).is_ok_and(|status| status.is_success())
}
