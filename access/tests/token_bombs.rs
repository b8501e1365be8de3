//! Tokens and key sets that are made to be dear: by size, by number, by depth. Each is refused or passed over in a time
//! and space that do not depend on what a stranger writes. RFC 8725 section 3.5 names the kind.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::issuer::{LocalIssuer, Reply};
use support::jwt::{AUDIENCE, ISSUER, Key, b64, claims_but, outcome, trusting};
use tallyport_access::Authenticator;

/// As `max_token_bytes` is by default (docs/reference/identity.md).
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// The keys of one set that are looked at.
const MAX_KEYS: usize = 64;
/// Far more than a look at any token takes, far less than one that was let do its work.
const SOON: Duration = Duration::from_secs(10);

fn plain(keys: &[&Key]) -> Authenticator {
    trusting(keys, |_| {})
}

/// As many short texts as fit into a token.
fn many(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{n:x}")).collect()
}

async fn refused_soon(authenticator: &Authenticator, token: &str, expected: &str) {
    let began = Instant::now();
    assert_eq!(outcome(authenticator, token).await, expected, "{token:.60}");
    assert!(began.elapsed() < SOON, "{expected} took {:?}", began.elapsed());
}

#[tokio::test]
async fn thousands_of_entries_are_looked_at_within_the_bound_on_bytes() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    let mut audiences = many(1_500);
    refused_soon(&authenticator, &key.good_but(json!({ "aud": audiences })), "wrong_audience")
        .await;
    audiences.push(AUDIENCE.to_owned());
    refused_soon(&authenticator, &key.good_but(json!({ "aud": audiences })), "ok").await;
    refused_soon(&authenticator, &key.good_but(json!({ "groups": many(1_500) })), "invalid_claim")
        .await;
    // More than fits is not even decoded.
    let flood = key.good_but(json!({ "aud": many(5_000) }));
    assert!(flood.len() > MAX_TOKEN_BYTES);
    refused_soon(&authenticator, &flood, "too_large").await;
    refused_soon(&authenticator, &".".repeat(64 << 20), "too_large").await;
}

#[tokio::test]
async fn depth_is_bounded_wherever_it_hides() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    let good = claims_but(json!({})).to_string();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let depth = if open == "[" { 5_000 } else { 1_500 };
        let deep = format!("{}0{}", open.repeat(depth), close.repeat(depth));
        let claims = good.replacen('{', &format!("{{\"deep\":{deep},"), 1);
        let token = key.token_of_bytes(key.header().to_string().as_bytes(), claims.as_bytes());
        assert!(token.len() < MAX_TOKEN_BYTES);
        refused_soon(&authenticator, &token, "malformed").await;
        let header = key.header().to_string().replacen('{', &format!("{{\"deep\":{deep},"), 1);
        let token = key.token_of_bytes(header.as_bytes(), good.as_bytes());
        refused_soon(&authenticator, &token, "malformed").await;
    }
    // A chain of actors as deep as it can be read, and deeper than is taken.
    let chain = (0..100).fold(json!({ "sub": "a" }), |act, _| json!({ "sub": "a", "act": act }));
    refused_soon(&authenticator, &key.good_but(json!({ "act": chain })), "delegation_too_deep")
        .await;
    let wide: serde_json::Map<String, Value> =
        many(900).into_iter().map(|name| (name, json!({}))).collect();
    refused_soon(&authenticator, &key.good_but(json!({ "act": wide })), "invalid_claim").await;
}

#[tokio::test]
async fn a_compressed_token_is_never_unpacked() {
    let key = Key::p256("k");
    let mut header = key.header();
    header["zip"] = json!("DEF");
    // Ten bytes of DEFLATE that would be a great many zeros, in the place of claims.
    let token =
        key.token_of_bytes(header.to_string().as_bytes(), b"\xec\xc1\x01\x01\0\0\0\x80\x90\xfe");
    refused_soon(&plain(&[&key]), &token, "malformed").await;
    let token = key.token(&header, &claims_but(json!({})));
    refused_soon(&plain(&[&key]), &token, "forbidden_header").await;
}

#[tokio::test]
async fn numbers_without_end_are_no_times() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    for number in ["1e400", &"9".repeat(4_000), "-1e308", &format!("0.{}1", "0".repeat(4_000))] {
        let claims = format!(
            "{{\"iss\":\"{ISSUER}\",\"aud\":\"{AUDIENCE}\",\"sub\":\"s\",\"exp\":{number}}}"
        );
        let token = key.token_of_bytes(key.header().to_string().as_bytes(), claims.as_bytes());
        let found = outcome(&authenticator, &token).await;
        assert!(["malformed", "invalid_claim", "expired"].contains(&found), "{number:.9}: {found}");
    }
}

#[tokio::test]
async fn a_set_of_thousands_of_keys_is_read_up_to_a_bound() {
    let (key, other) = (Key::p256("ours"), Key::p256("other"));
    let filler = |n: usize| {
        let mut jwk = other.jwk();
        jwk["kid"] = json!(format!("filler-{n}"));
        jwk
    };
    for (place, expected) in [(0, "ok"), (MAX_KEYS - 1, "ok"), (MAX_KEYS, "unknown_key")] {
        let mut keys: Vec<Value> = (0..4_000).map(filler).collect();
        keys[place] = key.jwk();
        let issuer = LocalIssuer::start(&[&key]).await;
        issuer.answer_keys(Reply::Json(json!({ "keys": keys }).to_string()));
        let authenticator = Authenticator::new(vec![issuer.config()]).unwrap();
        refused_soon(&authenticator, &key.good_but(json!({ "iss": issuer.url })), expected).await;
    }
}

#[tokio::test]
async fn key_sets_that_are_bombs_give_no_keys() {
    let key = Key::p256("k");
    let deep = "[".repeat(500_000);
    let bombs = [
        deep.clone(),
        format!("{{\"keys\":{deep}"),
        format!("{{\"keys\":[{{\"kty\":{deep}"),
        json!({ "keys": vec![json!({}); 100_000] }).to_string(),
        // All under one id: none of them is the one that a token names.
        json!({ "keys": vec![key.jwk(); 50] }).to_string(),
    ];
    for bomb in bombs {
        let issuer = LocalIssuer::start(&[&key]).await;
        issuer.answer_keys(Reply::Json(bomb));
        let authenticator = Authenticator::new(vec![issuer.config()]).unwrap();
        let began = Instant::now();
        let found = outcome(&authenticator, &key.good_but(json!({ "iss": issuer.url }))).await;
        assert!(["issuer_unavailable", "unknown_key"].contains(&found), "{found}");
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    }
}

/// A signature by a key as long as the document allows would cost minutes to check.
#[tokio::test]
async fn keys_of_absurd_size_verify_nothing_and_take_no_time() {
    let key = Key::rsa("k");
    let huge = |bytes: usize| {
        let mut number = vec![0xff; bytes];
        number[bytes - 1] = 0xfd;
        b64(number)
    };
    for (n, e) in
        [(huge(32 * 1024), "AQAB".to_owned()), (huge(256), huge(255)), (huge(1024), huge(1023))]
    {
        let issuer = LocalIssuer::start(&[&key]).await;
        let jwk = json!({ "kty": "RSA", "n": n, "e": e, "kid": "k", "use": "sig" });
        issuer.answer_keys(Reply::Json(json!({ "keys": [jwk] }).to_string()));
        let authenticator = Authenticator::new(vec![issuer.config()]).unwrap();
        let began = Instant::now();
        for _ in 0..20 {
            let token = key.good_but(json!({ "iss": issuer.url }));
            let found = outcome(&authenticator, &token).await;
            assert!(
                ["bad_signature", "issuer_unavailable", "unknown_key"].contains(&found),
                "{found}"
            );
        }
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    }
}

/// Hundreds of tokens at a time, each with a key id of its own: one fetch, and the honest are served meanwhile.
#[tokio::test]
async fn unknown_key_ids_at_once_are_one_question_to_the_issuer() {
    let key = Key::p256("known");
    let issuer = LocalIssuer::start(&[&key]).await;
    let mut config = issuer.config();
    config.keys.min_refresh_seconds = 3_600;
    config.keys.max_age_seconds = 7_200;
    let authenticator = Authenticator::new(vec![config]).unwrap();
    let good = key.good_but(json!({ "iss": issuer.url }));
    assert_eq!(outcome(&authenticator, &good).await, "ok");
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..500 {
        let mut header = key.header();
        header["kid"] = json!(format!("unknown-{n}"));
        let token = key.token(&header, &claims_but(json!({ "iss": issuer.url })));
        let (authenticator, good) = (authenticator.clone(), good.clone());
        tasks.spawn(async move {
            (outcome(&authenticator, &token).await, outcome(&authenticator, &good).await)
        });
    }
    while let Some(found) = tasks.join_next().await {
        assert_eq!(found.unwrap(), ("unknown_key", "ok"));
    }
    assert_eq!((issuer.discovery_hits(), issuer.key_hits()), (1, 1));
}
