//! aioquic as an independent HTTP/3 client: one script, one case per test.

use std::process::Stdio;
use std::sync::OnceLock;

use dev_services::{DevService, StartError};
use tokio::process::Command;

use crate::support::{Ended, GOOD_TOKEN, Gateway, within};

/// The python that has aioquic; `None` when it cannot be installed.
fn python() -> Option<&'static str> {
    static PYTHON: OnceLock<Option<String>> = OnceLock::new();
    PYTHON
        .get_or_init(|| match DevService::start("aioquic", &[]) {
            Ok(service) => Some(service.text("python").to_owned()),
            Err(StartError::NotInstallable { .. }) => None,
            Err(error) => panic!("{error}"),
        })
        .as_deref()
}

/// Runs one case of the script; `false` when it could not be run.
async fn case(gateway: &Gateway, name: &str) -> bool {
    let Ok(Some(python)) = tokio::task::spawn_blocking(python).await else {
        eprintln!("NOT RUN: aioquic {name}: aioquic could not be installed");
        return false;
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/aioquic/client.py");
    let output = Command::new(python)
        .arg(script)
        .arg(name)
        .arg("--port")
        .arg(gateway.front.quic_addr.port().to_string())
        .arg("--ca")
        .arg(gateway.ca_path())
        .args(["--token", GOOD_TOKEN])
        .stdin(Stdio::null())
        .output();
    let output = within(output).await.unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "case {name}: {text}");
    true
}

macro_rules! cases {
    ($($name:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let gateway = Gateway::start().await;
                case(&gateway, stringify!($name)).await;
            }
        )+
    };
}

cases! {
    api_answers,
    two_tunnels_on_one_connection,
    refusals_are_json,
    connect_without_token_is_unauthorized,
    extended_connect_is_not_served,
    unknown_pseudo_header_is_malformed,
    connect_without_authority_is_malformed,
    header_over_the_limit_is_refused,
    header_frame_over_the_limit_is_stopped,
    data_before_headers_ends_the_connection,
    second_connect_before_the_first_is_answered,
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnel_echoes_both_ways() {
    let mut gateway = Gateway::start().await;
    if case(&gateway, "tunnel_echoes_both_ways").await {
        assert_eq!(gateway.next_end().await, Ended::Eof);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn client_that_resets_ends_its_tunnel() {
    let mut gateway = Gateway::start().await;
    if case(&gateway, "client_that_resets_ends_its_tunnel").await {
        assert_eq!(gateway.next_end().await, Ended::Error);
    }
}
