//! curl as an independent client of the TCP front: its HTTP/2 and its HTTP/1.1, its CONNECT and its API calls.

use std::process::Stdio;

use tokio::net::TcpListener;
use tokio::process::Command;

use crate::support::{GOOD_TOKEN, Gateway, within};

/// curl's exit code and what it printed, errors included; `None` when there is no curl here.
async fn curl(gateway: &Gateway, test: &str, args: &[&str]) -> Option<(i32, String)> {
    let ca = gateway.ca_path();
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--max-time", "15", "--noproxy", ""])
        .arg("--cacert")
        .arg(&ca)
        .arg("--proxy-cacert")
        .arg(&ca)
        .args(args)
        .stdin(Stdio::null())
        .output();
    match within(output).await {
        Ok(output) => {
            let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.push_str(&String::from_utf8_lossy(&output.stderr));
            Some((output.status.code().unwrap_or(-1), text))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("NOT RUN: {test}: curl is not installed");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_calls_the_api_over_both_versions() {
    let gateway = Gateway::start().await;
    let url = format!("https://localhost:{}/v1/whoami", gateway.front.tcp_addr.port());
    let token = format!("Authorization: Bearer {GOOD_TOKEN}");
    for (version, status_line) in [("--http2", "HTTP/2 200"), ("--http1.1", "HTTP/1.1 200")] {
        let resolve = ["--ipv4", version, "--header", &token, &url];
        let test = "curl_calls_the_api_over_both_versions";
        let Some((code, text)) = curl(&gateway, test, &resolve).await else { return };
        assert_eq!(code, 0, "{text}");
        assert!(text.starts_with(status_line), "{text}");
        assert!(text.to_lowercase().contains("alt-svc: h3="), "{text}");
        assert!(text.ends_with("127.0.0.1"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_opens_a_tunnel_as_through_a_proxy() {
    let mut gateway = Gateway::start().await;
    let proxy = format!("https://localhost:{}", gateway.front.tcp_addr.port());
    let token = format!("Proxy-Authorization: Bearer {GOOD_TOKEN}");
    let args = ["--ipv4", "--proxytunnel", "--proxy", &proxy, "--proxy-header", &token];
    // What the echo target answers to a request is the request itself.
    let call = [&args[..], &["--http0.9", "--max-time", "2", "http://echo:80/hello"]].concat();
    let test = "curl_opens_a_tunnel_as_through_a_proxy";
    let Some((_, text)) = curl(&gateway, test, &call).await else { return };
    assert!(text.contains("HTTP/1.1 200"), "{text}");
    assert!(text.contains("GET /hello HTTP/1.1"), "{text}");
    gateway.next_end().await;

    let denied = [&args[..], &["http://denied:80/"]].concat();
    let Some((code, text)) = curl(&gateway, test, &denied).await else { return };
    assert_ne!(code, 0);
    assert!(text.contains("HTTP/1.1 403") && text.contains("CONNECT tunnel failed"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_are_the_same_for_both_fronts() {
    let gateway = Gateway::start().await;
    assert_eq!(gateway.front.quic_addr, gateway.front.tcp_addr);
    assert!(TcpListener::bind(gateway.front.tcp_addr).await.is_err());
}
