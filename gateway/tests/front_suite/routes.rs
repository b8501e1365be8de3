//! The routes of both fronts: tunnels, refusals, the API.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{Method, Request};
use tallyport_gateway::connect::{ConnectError, Connector, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::raw::{self, Http3};
use crate::support::{Ended, GOOD_TOKEN, Gateway, SOURCE_BYTES, within};

#[tokio::test(flavor = "multi_thread")]
async fn tunnel_echoes_and_each_side_ends_by_itself() {
    for tcp_only in [false, true] {
        let mut gateway = Gateway::start().await;
        let connector = gateway.connector(tcp_only);
        let mut tunnel = within(connector.open("echo")).await.unwrap();
        let expected = if tcp_only { Transport::Tcp } else { Transport::Quic };
        assert_eq!(tunnel.transport(), expected);
        tunnel.write_all(b"hello").await.unwrap();
        tunnel.shutdown().await.unwrap();
        let mut echoed = String::new();
        within(tunnel.read_to_string(&mut echoed)).await.unwrap();
        assert_eq!(echoed, "hello");
        assert_eq!(gateway.next_end().await, Ended::Eof);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_closed_client_gets_everything_that_is_still_coming() {
    for tcp_only in [false, true] {
        let mut gateway = Gateway::start().await;
        let mut tunnel = within(gateway.connector(tcp_only).open("source")).await.unwrap();
        tunnel.shutdown().await.unwrap();
        let mut received = Vec::new();
        within(tunnel.read_to_end(&mut received)).await.unwrap();
        assert_eq!(received.len(), SOURCE_BYTES);
        assert_eq!(gateway.next_end().await, Ended::Eof);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_carry_the_services_words() {
    let gateway = Gateway::start().await;
    for tcp_only in [false, true] {
        let connector = gateway.connector(tcp_only);
        for (target, expected, code_expected) in [
            ("denied", 403, "denied_by_policy"),
            ("nowhere", 404, "unknown_target"),
            ("down", 503, "log_unavailable"),
        ] {
            let refused = within(connector.open(target)).await.unwrap_err();
            let ConnectError::Refused { status, code, message } = refused else {
                panic!("{refused}");
            };
            assert_eq!((status, code.as_str()), (expected, code_expected));
            assert!(!message.is_empty());
        }
        let mut config = gateway.config_with("stolen");
        config.tcp_only = tcp_only;
        let refused = within(Connector::new(config).unwrap().open("echo")).await.unwrap_err();
        assert!(matches!(refused, ConnectError::Refused { status: 401, .. }), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unauthorized_is_answered_as_rfc_6750_says() {
    let gateway = Gateway::start().await;
    let mut client = Http3::connect(&gateway).await;
    let (response, mut stream) = client.tunnel("echo", "stolen").await;
    assert_eq!(response.status(), 401);
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    assert_eq!(response.headers()["content-type"], "application/json");
    let words: serde_json::Value = serde_json::from_slice(&raw::body(&mut stream).await).unwrap();
    assert_eq!(words["code"], "invalid_token");

    let bare = Request::builder().method(Method::CONNECT).uri("echo").body(()).unwrap();
    let (response, _) = client.send(bare).await;
    assert_eq!(response.status(), 401);
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert!(!challenge.contains("error"), "{challenge}");
}

#[tokio::test(flavor = "multi_thread")]
async fn target_must_be_a_name_and_port_is_not_looked_at() {
    let gateway = Gateway::start().await;
    let mut client = Http3::connect(&gateway).await;
    let (response, _stream) = client.tunnel("echo:5432", GOOD_TOKEN).await;
    assert_eq!(response.status(), 200);
    let asked = gateway.double.asked.load(Ordering::SeqCst);
    for bad in ["ECHO", "user@echo", "[::1]:5432", "echo:1:1"] {
        let Ok(uri) = bad.parse::<http::Uri>() else { continue };
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri(uri)
            .header("authorization", format!("Bearer {GOOD_TOKEN}"))
            .body(())
            .unwrap();
        let (response, mut stream) = client.send(request).await;
        assert_eq!(response.status(), 400, "{bad}");
        let words: serde_json::Value =
            serde_json::from_slice(&raw::body(&mut stream).await).unwrap();
        assert_eq!(words["code"], "bad_target");
    }
    assert_eq!(gateway.double.asked.load(Ordering::SeqCst), asked, "the service was bothered");
}

#[tokio::test(flavor = "multi_thread")]
async fn api_is_served_over_http3() {
    let gateway = Gateway::start().await;
    let mut client = Http3::connect(&gateway).await;
    let (response, body) = client.get("/healthz").await;
    assert_eq!((response.status().as_u16(), body.as_slice()), (200, &b"ok"[..]));
    let (response, _) = client.get("/v1/nothing").await;
    assert_eq!(response.status(), 404);

    let whoami = Request::get("https://localhost/v1/whoami")
        .header("authorization", format!("Bearer {GOOD_TOKEN}"))
        .body(())
        .unwrap();
    let (response, mut stream) = client.send(whoami).await;
    assert_eq!(response.status(), 200);
    assert_eq!(raw::body(&mut stream).await, b"127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn api_takes_bodies_up_to_the_limit() {
    let gateway = Gateway::with(|limits| limits.max_body_bytes = 100_000).await;
    let mut client = Http3::connect(&gateway).await;
    for (bytes, status) in [(100_000, 200), (100_001, 413)] {
        let conn = client.conn.clone();
        let sent = post(&mut client, bytes).await;
        assert_eq!(sent, status, "{bytes} bytes");
        assert!(conn.close_reason().is_none());
    }
}

async fn post(client: &mut Http3, bytes: usize) -> u16 {
    let request = Request::post("https://localhost/v1/echo").body(()).unwrap();
    let mut stream = client.start(request).await;
    // Small frames: each one is a frame header for h3, which must not make it read ahead without bound.
    for _ in 0..bytes / 10 {
        if stream.send_data(Bytes::from_static(&[1; 10])).await.is_err() {
            break;
        }
    }
    let _ = stream.send_data(Bytes::from(vec![1; bytes % 10])).await;
    let _ = stream.finish().await;
    let response = within(stream.recv_response()).await.unwrap();
    if response.status() == 200 {
        assert_eq!(raw::body(&mut stream).await.len(), bytes);
    }
    response.status().as_u16()
}
