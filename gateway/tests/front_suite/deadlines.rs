//! The deadlines of the QUIC front. Each test turns red when its deadline is deleted.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use quinn::VarInt;

use crate::raw::{self, EXCESSIVE_LOAD, Http3, REQUEST_CANCELLED, Relay};
use crate::support::{Ended, GOOD_TOKEN, Gateway, until, within};

/// Far below the default of any timeout that could hide a missing one.
const SOON: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread")]
async fn handshake_has_a_deadline() {
    let gateway = Gateway::with(|limits| limits.handshake_deadline = SOON).await;
    let relay = Relay::to(gateway.front.quic_addr).await;
    relay.first_only.store(true, Ordering::SeqCst);
    let stalled = raw::endpoint()
        .connect_with(raw::client_config(&gateway), relay.addr, "localhost")
        .unwrap();
    let stalled = tokio::spawn(stalled);
    until(|| gateway.front.connections() == 1).await;
    let started = tokio::time::Instant::now();
    until(|| gateway.front.connections() == 0).await;
    assert!(started.elapsed() < Duration::from_secs(8), "ended by another timeout");
    stalled.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connection_is_closed() {
    let gateway = Gateway::with(|limits| limits.first_request_deadline = SOON).await;
    let (code, reason) = raw::closed(&raw::quic(&gateway).await).await;
    assert_eq!(code, EXCESSIVE_LOAD);
    assert!(reason.contains("no request"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_that_authenticates_nothing_is_closed() {
    let gateway = Gateway::with(|limits| limits.authentication_deadline = SOON).await;
    let mut client = Http3::connect(&gateway).await;
    assert_eq!(client.get("/healthz").await.1, b"ok");
    let (code, reason) = raw::closed(&client.conn).await;
    assert_eq!(code, EXCESSIVE_LOAD);
    assert!(reason.contains("valid token"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn authentic_api_call_counts() {
    let gateway = Gateway::with(|limits| {
        limits.authentication_deadline = SOON;
        limits.unused_timeout = 2 * SOON;
    })
    .await;
    let mut client = Http3::connect(&gateway).await;
    let whoami = Request::get("https://localhost/v1/whoami")
        .header("authorization", format!("Bearer {GOOD_TOKEN}"))
        .body(())
        .unwrap();
    assert_eq!(client.send(whoami).await.0.status(), 200);
    // It is not the authentication deadline that closes it.
    let (_, reason) = raw::closed(&client.conn).await;
    assert!(reason.contains("nothing was open"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_header_is_reset_in_time() {
    let gateway = Gateway::with(|limits| limits.headers_deadline = SOON).await;
    let mut client = Http3::connect(&gateway).await;
    let mut tunnel = client.echo().await;
    let (mut send, mut recv) = client.conn.open_bi().await.unwrap();
    send.write_all(&[0x01, 0x20, 0x00]).await.unwrap();
    let reset = within(recv.received_reset()).await.unwrap();
    assert_eq!(reset.map(VarInt::into_inner), Some(REQUEST_CANCELLED));
    raw::ping(&mut tunnel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vanished_client_ends_its_tunnel() {
    let mut gateway = Gateway::with(|limits| {
        limits.idle_timeout = 2 * SOON;
        limits.keep_alive = SOON / 3;
    })
    .await;
    let relay = Relay::to(gateway.front.quic_addr).await;
    let mut client = Http3::on(raw::quic_to(&gateway, relay.addr).await.unwrap()).await;
    let _tunnel = client.echo().await;
    relay.dead.store(true, Ordering::SeqCst);
    let started = tokio::time::Instant::now();
    assert_eq!(gateway.next_end().await, Ended::Error);
    assert!(started.elapsed() < Duration::from_secs(8), "ended by another timeout");
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_tunnel_is_kept_alive() {
    let gateway = Gateway::with(|limits| {
        limits.idle_timeout = 4 * SOON;
        limits.keep_alive = SOON / 3;
    })
    .await;
    let mut client = Http3::connect(&gateway).await;
    let mut tunnel = client.echo().await;
    let before = client.conn.stats().frame_rx.ping;
    until(|| client.conn.stats().frame_rx.ping > before + 15).await;
    raw::ping(&mut tunnel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unused_connection_is_closed_in_order() {
    let gateway = Gateway::with(|limits| limits.unused_timeout = SOON).await;
    let mut client = Http3::connect(&gateway).await;
    let mut tunnel = client.echo().await;
    tunnel.finish().await.unwrap();
    assert!(raw::body(&mut tunnel).await.is_empty());
    let (code, reason) = raw::closed(&client.conn).await;
    assert_eq!(code, 0x100);
    assert!(reason.contains("nothing was open"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn body_that_trickles_is_given_up() {
    let gateway = Gateway::with(|limits| limits.body_deadline = SOON).await;
    let mut client = Http3::connect(&gateway).await;
    let request =
        Request::builder().method(Method::POST).uri("https://localhost/v1/echo").body(()).unwrap();
    let mut stream = client.start(request).await;
    stream.send_data(Bytes::from_static(b"one byte, then nothing")).await.unwrap();
    let response = within(stream.recv_response()).await.unwrap();
    assert!(response.status().is_client_error(), "{}", response.status());
}
