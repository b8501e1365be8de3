//! Clients of the API alone: those that stay may ask for more, and of those that leave while it is silent what serves them is
//! dropped, on both fronts.

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::Request;
use quinn::VarInt;
use tallyport_gateway::front::Authenticated;
use tallyport_gateway::tls;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::hardening::open_streams;
use crate::hardening_tcp::tls_with;
use crate::raw::Http3;
use crate::support::{GOOD_TOKEN, Gateway, until, within};

static BEGUN: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
static DROPPED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

/// Notes under a mark that something began, and that it was dropped.
struct Marked(String);

impl Marked {
    fn new(mark: String) -> Self {
        BEGUN.lock().unwrap().insert(mark.clone());
        Self(mark)
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        DROPPED.lock().unwrap().insert(self.0.clone());
    }
}

async fn has(marks: &Mutex<HashSet<String>>, mark: &str) {
    until(|| marks.lock().unwrap().contains(mark)).await;
}

/// A handler that never answers, and one whose answer never goes on after its first byte.
pub fn routes() -> axum::Router {
    async fn silent(Path(mark): Path<String>) {
        let _marked = Marked::new(mark);
        std::future::pending::<()>().await;
    }
    async fn mute(Path(mark): Path<String>) -> Response {
        let marked = Marked::new(mark);
        let never = futures::stream::unfold((marked, false), |(marked, began)| async move {
            if began {
                std::future::pending::<()>().await;
            }
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b":")), (marked, true)))
        });
        let mut response = Body::from_stream(never).into_response();
        response.extensions_mut().insert(Authenticated);
        response
    }
    axum::Router::new().route("/v1/silent/{mark}", get(silent)).route("/v1/mute/{mark}", get(mute))
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http3_who_left_is_noticed_while_nothing_is_written() {
    let gateway = Gateway::start().await;
    let mut client = Http3::connect(&gateway).await;
    for (route, mark) in [("silent", "h3-silent"), ("mute", "h3-mute")] {
        let request =
            Request::get(format!("https://localhost/v1/{route}/{mark}")).body(()).unwrap();
        let mut stream = client.start(request).await;
        // It may be answered before it was sent whole; the gateway reads no more of it then (RFC 9114, section 4.1).
        let _ended = within(stream.finish()).await;
        has(&BEGUN, mark).await;
        if route == "mute" {
            within(stream.recv_response()).await.unwrap();
            within(stream.recv_data()).await.unwrap().unwrap();
        }
        assert!(!DROPPED.lock().unwrap().contains(mark));
        // It is not read to its end: QUIC says so to the gateway.
        drop(stream);
        has(&DROPPED, mark).await;
    }
    // The connection is none the worse for it.
    assert_eq!(client.get("/healthz").await.1, b"ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http3_a_lost_connection_ends_what_it_asked() {
    let gateway = Gateway::start().await;
    let mut client = Http3::connect(&gateway).await;
    for (route, mark) in [("silent", "lost-silent"), ("mute", "lost-mute")] {
        let request =
            Request::get(format!("https://localhost/v1/{route}/{mark}")).body(()).unwrap();
        let mut stream = client.start(request).await;
        // It may be answered before it was sent whole; the gateway reads no more of it then (RFC 9114, section 4.1).
        let _ended = within(stream.finish()).await;
        has(&BEGUN, mark).await;
        // Kept: only the connection goes.
        std::mem::forget(stream);
    }
    client.conn.close(0_u32.into(), b"");
    has(&DROPPED, "lost-silent").await;
    has(&DROPPED, "lost-mute").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_too() {
    let gateway = Gateway::start().await;
    for (route, mark) in [("silent", "tcp-silent"), ("mute", "tcp-mute")] {
        let mut stream = tls_with(&gateway, tls::ALPN_H1).await;
        let request = format!("GET /v1/{route}/{mark} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        has(&BEGUN, mark).await;
        if route == "mute" {
            within(stream.read_u8()).await.unwrap();
        }
        drop(stream);
        has(&DROPPED, mark).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authentic_api_call_raises_them_as_a_tunnel_does() {
    let gateway = Gateway::with(|limits| limits.streams = 40).await;
    let mut client = Http3::connect(&gateway).await;
    let whoami = |token: &str| {
        let request = Request::get("https://localhost/v1/whoami");
        request.header("authorization", format!("Bearer {token}")).body(()).unwrap()
    };
    let mut stranger = Http3::connect(&gateway).await;
    assert_eq!(stranger.send(whoami("stolen")).await.0.status(), 401);
    assert!(open_streams(&stranger.conn).await.len() <= 16, "who is not authentic gets no more");
    let mut held = open_streams(&client.conn).await;
    assert_eq!(held.len(), 16);
    for (mut send, _) in held.split_off(12) {
        send.reset(VarInt::from_u32(0x10c)).unwrap();
    }
    assert_eq!(client.send(whoami(GOOD_TOKEN)).await.0.status(), 200);
    within(async {
        while held.len() < 39 {
            held.push(client.conn.open_bi().await.unwrap());
        }
    })
    .await;
}
