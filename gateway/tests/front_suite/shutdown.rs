//! The end of the fronts, in order.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::hardening_tcp::http1_tunnel;
use crate::raw;
use crate::support::{Ended, Gateway, PATIENCE, within};

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
