//! Bearer tokens that are bombs, and tokens by the hundred: refused before they cost anything, and on record in a bounded
//! number of events. What a verifier does with each form is in `access/tests`.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use tallyport_gateway::config::GatewayLimits;
use tallyport_gateway::tls;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{self, Tls};
use crate::harness::Options;
use crate::stage::{GROWTH, Memory, Stage, stage, times, within};

/// Connections, each with as many tries as a stranger has (docs/reference/front.md).
const CONNECTIONS: usize = 60;
const TRIES: usize = 8;
/// As the documentation has it (docs/reference/front.md): events of their own of one address, within an interval.
const EVENTS_OF_AN_ADDRESS: usize = 32;
const INTERVAL: Duration = Duration::from_secs(2);

fn token(header: &serde_json::Value, claims: &str) -> String {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", encode(&header.to_string()), encode(claims), encode("not a signature"))
}

/// Tokens that would be dear: by size, depth, width, or by what they make the gateway ask for; with the refusal's code.
fn bombs(stage: &Stage) -> Vec<(String, &'static str)> {
    let issuer = stage.world.issuer.issuer_config().issuer;
    let header = |kid: &str| json!({ "alg": "ES256", "typ": "at+jwt", "kid": kid });
    let claims = |more: serde_json::Value| {
        let mut claims = json!({ "iss": issuer, "sub": "s", "aud": "tallyport", "exp": 1 });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims.to_string()
    };
    let many: Vec<String> = (0..1_500).map(|n| format!("a{n}")).collect();
    let deep = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let mut zipped = header("k");
    zipped["zip"] = json!("DEF");
    vec![
        ("a".repeat(20_000), "too_large"),
        (token(&header("k"), &deep(4_000)), "malformed"),
        (
            token(&json!({ "alg": "ES256", "kid": "k".repeat(300) }), &claims(json!({}))),
            "malformed",
        ),
        (token(&zipped, &claims(json!({}))), "forbidden_header"),
        (token(&header("none"), &claims(json!({ "aud": many }))), "unknown_key"),
        (token(&header("none"), &claims(json!({ "groups": many }))), "unknown_key"),
        (token(&header("other"), &claims(json!({}))), "unknown_key"),
        (token(&json!({ "alg": "none" }), &claims(json!({}))), "unsupported_algorithm"),
    ]
}

/// The status of a CONNECT with `token`.
async fn status(stream: &mut Tls, token: &str) -> u16 {
    let request =
        format!("CONNECT db:1 HTTP/1.1\r\nhost: db:1\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    let _end = within(stream.read_to_end(&mut text)).await;
    let text = String::from_utf8_lossy(&text).into_owned();
    text.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("{text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn token_bombs_are_refused_and_on_record() {
    let stage = stage!(Options::default(), |_limits| {});
    let memory = Memory::now();
    let bombs = bombs(&stage);
    stage
        .while_served(async {
            for (token, code) in &bombs {
                // An HTTP/1.1 connection ends with a CONNECT that is refused.
                let mut stream = client::tls(&stage, tls::ALPN_H1).await;
                assert_eq!(status(&mut stream, token).await, 401, "{code}");
            }
        })
        .await;
    memory.assert_growth_below(GROWTH);
    let events = stage.failures().await;
    for (token, code) in &bombs {
        let found = events.iter().any(|event| {
            let text = format!("{:?}", event.body);
            assert!(!text.contains(token.as_str()), "{code}: a token is on record");
            text.contains(&format!("failure: Some(\"{code}\")"))
        });
        assert!(found, "{code} is not on record");
    }
}

/// Bad tokens over HTTP/2, until the connection has had all its tries.
async fn guess(stage: &Stage, token: &str) -> usize {
    let stream = client::tls(stage, tls::ALPN_H2).await;
    let (requests, connection) = within(h2::client::handshake(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut refused = 0;
    let mut requests = requests;
    for _ in 0..TRIES {
        let Ok(ready) = within(requests.ready()).await else { break };
        requests = ready;
        let request = http::Request::builder()
            .method(http::Method::CONNECT)
            .uri("db:1")
            .header("authorization", format!("Bearer {token}"))
            .body(())
            .unwrap();
        let Ok((response, _)) = requests.send_request(request, true) else { break };
        let Ok(response) = within(response).await else { break };
        assert_eq!(response.status(), 401);
        refused += 1;
    }
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_bad_tokens_does_not_fill_the_log() {
    let limits = GatewayLimits { strangers_interval: INTERVAL, ..GatewayLimits::default() };
    let stage = stage!(Options { limits, ..Options::default() }, |_limits| {});
    let memory = Memory::now();
    let began = Instant::now();
    let refused: usize = stage
        .while_served(async {
            let attackers = (0..CONNECTIONS).map(|_| guess(&stage, "no.good.token"));
            futures::future::join_all(attackers).await.into_iter().sum()
        })
        .await;
    assert!(refused > CONNECTIONS * TRIES / 2, "{refused} tokens were looked at");
    memory.assert_growth_below(GROWTH);
    // Each is on record: by itself, or counted.
    let all = |events: &[tallyport_schemas::Event]| {
        let malformed = |event: &&tallyport_schemas::Event| {
            format!("{:?}", event.body).contains("failure: Some(\"malformed\")")
        };
        events.iter().filter(malformed).map(times).sum::<u64>() >= refused as u64
    };
    stage.world.wait_for("every refusal", all).await;
    let intervals = began.elapsed().as_secs() / INTERVAL.as_secs() + 1;
    let most = intervals as usize * (EVENTS_OF_AN_ADDRESS + 4);
    let found = stage.failures().await.len();
    assert!(found <= most && most < refused, "{found} events of {refused} tokens, {most} at most");
}
