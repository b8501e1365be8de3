//! The end of the fronts, in order.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tallyport_gateway::tls;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::hardening_tcp::{http1_tunnel, tls_with};
use crate::raw;
use crate::support::{Ended, GOOD_TOKEN, Gateway, PATIENCE, within};

#[tokio::test(flavor = "multi_thread")]
async fn open_tunnels_may_end_by_themselves_and_nothing_new_comes_in() {
    for tcp_only in [false, true] {
        let gateway = Gateway::start().await;
        let connector = gateway.connector(tcp_only);
        let mut tunnel = within(connector.open("echo")).await.unwrap();
        tunnel.write_all(b"before").await.unwrap();
        let (front, config) = (gateway.front, raw::client_config_of(&gateway.ca));
        let addr = front.quic_addr;
        let down = tokio::spawn(front.shutdown(PATIENCE));
        // New connections are refused from some moment on; the tunnel goes on.
        within(async {
            let endpoint = raw::endpoint();
            loop {
                let connecting = endpoint.connect_with(config.clone(), addr, "localhost").unwrap();
                match tokio::time::timeout(Duration::from_secs(1), connecting).await {
                    Ok(Ok(conn)) => conn.close(0u32.into(), b""),
                    Ok(Err(_)) | Err(_) => break,
                }
            }
        })
        .await;
        tunnel.write_all(b" and after").await.unwrap();
        tunnel.shutdown().await.unwrap();
        let mut echoed = String::new();
        within(tunnel.read_to_string(&mut echoed)).await.unwrap();
        assert_eq!(echoed, "before and after");
        let drained = within(down).await.unwrap();
        assert_eq!((drained.cut_tunnels, drained.complete), (0, true), "tcp_only {tcp_only}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_is_cut_and_still_records_its_end() {
    for tcp_only in [false, true] {
        let mut gateway = Gateway::start().await;
        let mut tunnel = within(gateway.connector(tcp_only).open("echo")).await.unwrap();
        let drained = within(gateway.front.shutdown(Duration::from_millis(50))).await;
        assert_eq!((drained.cut_tunnels, drained.complete), (1, true), "tcp_only {tcp_only}");
        assert_eq!(within(gateway.ended.recv()).await, Some(Ended::Error));
        let mut rest = Vec::new();
        let read = within(tunnel.read_to_end(&mut rest)).await;
        assert!(read.is_err() && rest.is_empty(), "a cut is no orderly end");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnel_of_http1_is_cut_though_its_connection_is_no_longer_http() {
    let mut gateway = Gateway::start().await;
    let mut tunnel = http1_tunnel(&gateway).await;
    let drained = within(gateway.front.shutdown(Duration::from_millis(50))).await;
    assert_eq!((drained.cut_tunnels, drained.complete), (1, true));
    assert_eq!(within(gateway.ended.recv()).await, Some(Ended::Error));
    assert!(within(tunnel.read(&mut [0; 1])).await.is_err(), "a cut is no orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_ask_before_they_know_is_served_and_then_nothing() {
    let gateway = Gateway::start().await;
    let mut used = raw::Http3::connect(&gateway).await;
    let mut tunnel = used.echo().await;
    // Both have a connection and are about to ask.
    let mut fresh = raw::Http3::connect(&gateway).await;
    let mut http1 = tls_with(&gateway, tls::ALPN_H1).await;
    let (mut front, double) = (gateway.front, gateway.double);
    let retiring = tokio::spawn(async move {
        front.retire(PATIENCE).await;
        front
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(fresh.tunnel("echo", GOOD_TOKEN).await.0.status(), 200);
    http1.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 12];
    within(http1.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let front = within(retiring).await.unwrap();
    let opened = double.opened.load(Ordering::SeqCst);
    for client in [&mut used, &mut fresh] {
        assert!(client.is_refused().await, "a client that knows asks elsewhere");
    }
    assert_eq!(double.opened.load(Ordering::SeqCst), opened);
    raw::ping(&mut tunnel).await;
    drop((tunnel, used, fresh, http1));
    assert!(within(front.shutdown(PATIENCE)).await.complete);
}
