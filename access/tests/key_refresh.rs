//! How often an issuer is asked for its keys, and what is taken from it, against a real local issuer.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::issuer::{LocalIssuer, Reply};
use support::jwt::{Key, outcome};
use tallyport_access::Authenticator;

fn token(key: &Key, issuer: &LocalIssuer) -> String {
    key.good_but(json!({ "iss": issuer.url }))
}

/// Repeats until the token has this outcome; a fixed wait would guess.
async fn until(authenticator: &Authenticator, token: &str, expected: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = outcome(authenticator, token).await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "still {found}, expected {expected}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn unknown_keys_cannot_make_us_load_the_issuer() {
    let known = Key::p256("known");
    let issuer = LocalIssuer::start(&[&known]).await;
    let mut config = issuer.config();
    config.keys.min_refresh_seconds = 3600;
    config.keys.max_age_seconds = 7200;
    let authenticator = Authenticator::new(vec![config]).unwrap();
    assert_eq!(outcome(&authenticator, &token(&known, &issuer)).await, "ok");
    assert_eq!(issuer.key_hits(), 1);
    for n in 0..200 {
        let stranger = Key::p256(&format!("stranger-{n}"));
        assert_eq!(outcome(&authenticator, &token(&stranger, &issuer)).await, "unknown_key");
    }
    assert_eq!((issuer.discovery_hits(), issuer.key_hits()), (1, 1), "the interval was ignored");
    assert_eq!(outcome(&authenticator, &token(&known, &issuer)).await, "ok");
}

#[tokio::test]
async fn many_tokens_at_once_ask_the_issuer_once() {
    let key = Key::p256("k");
    let issuer = LocalIssuer::start(&[&key]).await;
    let authenticator = Authenticator::new(vec![issuer.config()]).unwrap();
    let token = token(&key, &issuer);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (authenticator, token) = (authenticator.clone(), token.clone());
        tasks.spawn(async move { outcome(&authenticator, &token).await });
    }
    while let Some(found) = tasks.join_next().await {
        assert_eq!(found.unwrap(), "ok");
    }
    assert_eq!(issuer.key_hits(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_and_a_withdrawn_one_is_dropped() {
    let (old, new) = (Key::p256("old"), Key::p256("new"));
    let issuer = LocalIssuer::start(&[&old]).await;
    let mut config = issuer.config();
    config.keys.min_refresh_seconds = 1;
    let authenticator = Authenticator::new(vec![config]).unwrap();
    assert_eq!(outcome(&authenticator, &token(&old, &issuer)).await, "ok");
    issuer.publish(&[&new]);
    until(&authenticator, &token(&new, &issuer), "ok").await;
    until(&authenticator, &token(&old, &issuer), "unknown_key").await;
}

#[tokio::test]
async fn keys_serve_through_an_outage_and_then_fail_closed() {
    let key = Key::p256("k");
    let issuer = LocalIssuer::start(&[&key]).await;
    let mut config = issuer.config();
    config.keys.min_refresh_seconds = 1;
    config.keys.max_age_seconds = 1;
    config.keys.keep_seconds = 4;
    let authenticator = Authenticator::new(vec![config]).unwrap();
    let token = token(&key, &issuer);
    assert_eq!(outcome(&authenticator, &token).await, "ok");
    let hits = issuer.key_hits();
    issuer.answer_keys(Reply::Status(503));
    // Old enough to be fetched anew, in vain: the token is taken all the while.
    let deadline = Instant::now() + Duration::from_secs(20);
    while issuer.key_hits() == hits {
        assert_eq!(outcome(&authenticator, &token).await, "ok");
        assert!(Instant::now() < deadline, "old keys were never fetched anew");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    until(&authenticator, &token, "issuer_unavailable").await;
    assert!(authenticator.verify(&token).await.unwrap_err().is_transient());
    issuer.publish(&[&key]);
    until(&authenticator, &token, "ok").await;
}

#[tokio::test]
async fn an_issuer_that_misbehaves_gives_no_keys() {
    let key = Key::p256("k");
    let jwks = json!({ "keys": [key.jwk()] }).to_string();
    let elsewhere = LocalIssuer::start(&[&key]).await;
    let bad_keys = [
        Reply::Status(500),
        Reply::Redirect(format!("{}/jwks", elsewhere.url)),
        Reply::Flood(jwks),
        Reply::Json("{}".into()),
        Reply::Json("{\"keys\":[]}".into()),
        Reply::Json("not json".into()),
        Reply::Hang,
    ];
    for reply in bad_keys {
        let issuer = LocalIssuer::start(&[&key]).await;
        issuer.answer_keys(reply);
        let mut config = issuer.config();
        config.keys.timeout_seconds = 1;
        let authenticator = Authenticator::new(vec![config]).unwrap();
        let began = Instant::now();
        assert_eq!(outcome(&authenticator, &token(&key, &issuer)).await, "issuer_unavailable");
        assert!(began.elapsed() < Duration::from_secs(10), "the wait is bounded");
    }
    assert_eq!(elsewhere.key_hits(), 0, "a redirect was followed");
}

#[tokio::test]
async fn a_discovery_document_that_points_elsewhere_is_not_followed() {
    let key = Key::p256("k");
    let jwks = json!({ "keys": [key.jwk()] }).to_string();
    let elsewhere = LocalIssuer::start(&[&key]).await;
    let bad_discovery = |issuer: &LocalIssuer| {
        let url = &issuer.url;
        [
            json!({ "issuer": "https://evil.example", "jwks_uri": format!("{url}/jwks") }),
            json!({ "issuer": format!("{url}/"), "jwks_uri": format!("{url}/jwks") }),
            json!({ "issuer": url, "jwks_uri": "http://192.0.2.1/jwks" }),
            json!({ "issuer": url, "jwks_uri": "file:///etc/passwd" }),
            json!({ "issuer": url, "jwks_uri": format!("data:application/json,{jwks}") }),
            json!({ "issuer": url }),
        ]
    };
    let count = bad_discovery(&elsewhere).len();
    for n in 0..count {
        let issuer = LocalIssuer::start(&[&key]).await;
        let document = bad_discovery(&issuer)[n].to_string();
        issuer.answer_discovery(Reply::Json(document.clone()));
        let authenticator = Authenticator::new(vec![issuer.config()]).unwrap();
        let found = outcome(&authenticator, &token(&key, &issuer)).await;
        assert_eq!(found, "issuer_unavailable", "{document}");
        assert_eq!(issuer.key_hits(), 0);
    }
}

#[tokio::test]
async fn an_issuer_that_is_down_does_not_keep_a_service_from_starting() {
    let key = Key::p256("k");
    let issuer = LocalIssuer::start(&[&key]).await;
    let config = issuer.config();
    let token = token(&key, &issuer);
    drop(issuer);
    let authenticator = Authenticator::new(vec![config]).unwrap();
    let failure = authenticator.verify(&token).await.unwrap_err();
    assert_eq!(failure.code(), "issuer_unavailable");
    assert!(failure.is_transient());
}

#[tokio::test]
async fn a_configured_key_url_needs_no_discovery() {
    let key = Key::p256("k");
    let issuer = LocalIssuer::start(&[&key]).await;
    let mut config = issuer.config();
    config.jwks_uri = Some(format!("{}/jwks", issuer.url));
    let authenticator = Authenticator::new(vec![config]).unwrap();
    assert_eq!(outcome(&authenticator, &token(&key, &issuer)).await, "ok");
    assert_eq!((issuer.discovery_hits(), issuer.key_hits()), (0, 1));
}
