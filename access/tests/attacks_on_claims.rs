//! Attacks on claims, and tokens of another kind. Each test names the specification it is about.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

mod support;

use serde_json::{Value, json};
use support::jwt::{AUDIENCE, ISSUER, Key, claims_but, now, outcome, trusting};
use tallyport_access::{Authenticator, IssuerConfig};

fn plain(keys: &[&Key]) -> Authenticator {
    trusting(keys, |_| {})
}

fn header_but(key: &Key, changes: Value) -> Value {
    let mut header = key.header();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            header.as_object_mut().unwrap().remove(name);
        } else {
            header[name] = value.clone();
        }
    }
    header
}

/// RFC 7519 section 4.1.1, RFC 8725 section 3.8.
#[tokio::test]
async fn issuers_are_compared_exactly() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    for iss in [
        "https://id.example.com/",
        "https://ID.example.com",
        "http://id.example.com",
        "https://id.example.com.evil.example",
        "https://evil.example",
        "",
    ] {
        let token = key.good_but(json!({ "iss": iss }));
        assert_eq!(outcome(&authenticator, &token).await, "unknown_issuer", "{iss}");
    }
    assert_eq!(
        outcome(&authenticator, &key.good_but(json!({ "iss": null }))).await,
        "missing_claim"
    );
    let listed = key.good_but(json!({ "iss": [ISSUER] }));
    assert_eq!(outcome(&authenticator, &listed).await, "missing_claim");
}

/// RFC 8725 section 2.9: one issuer's key does not speak for another.
#[tokio::test]
async fn a_key_of_one_issuer_does_not_sign_for_another() {
    let (one, two) = (Key::p256("k"), Key::p256("k"));
    let dir = tempfile::tempdir().unwrap();
    let config = |name: &str, key: &Key| {
        let path = dir.path().join(format!("{}.json", name.len()));
        std::fs::write(&path, json!({ "keys": [key.jwk()] }).to_string()).unwrap();
        let mut config = IssuerConfig::new(name, vec![AUDIENCE.to_owned()]);
        config.jwks_file = Some(path);
        config
    };
    let other = "https://other.example.com";
    let authenticator =
        Authenticator::new(vec![config(ISSUER, &one), config(other, &two)]).unwrap();
    assert_eq!(outcome(&authenticator, &one.good_but(json!({}))).await, "ok");
    assert_eq!(outcome(&authenticator, &two.good_but(json!({ "iss": other }))).await, "ok");
    assert_eq!(
        outcome(&authenticator, &one.good_but(json!({ "iss": other }))).await,
        "bad_signature"
    );
}

/// RFC 7519 section 4.1.3, RFC 8725 section 3.9, RFC 9068 section 4.
#[tokio::test]
async fn the_audience_is_required_and_ours() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    let cases = [
        (json!({ "aud": null }), "missing_claim"),
        (json!({ "aud": "other" }), "wrong_audience"),
        (json!({ "aud": "Tallyport" }), "wrong_audience"),
        (json!({ "aud": "tallyport2" }), "wrong_audience"),
        (json!({ "aud": [] }), "wrong_audience"),
        (json!({ "aud": ["other", "another"] }), "wrong_audience"),
        (json!({ "aud": ["tallyport", 1] }), "wrong_audience"),
        (json!({ "aud": { "tallyport": true } }), "wrong_audience"),
        (json!({ "aud": ["other", "tallyport"] }), "ok"),
    ];
    for (changes, expected) in cases {
        let token = key.good_but(changes.clone());
        assert_eq!(outcome(&authenticator, &token).await, expected, "{changes}");
    }
}

/// RFC 7519 sections 4.1.4 to 4.1.6 and 2 (NumericDate).
#[tokio::test]
async fn times_are_required_bounded_and_numbers() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    let at = |seconds: i64| json!(now() + seconds);
    let cases = [
        (json!({ "exp": null }), "missing_claim"),
        (json!({ "exp": at(-31), "iat": at(-100) }), "expired"),
        (json!({ "exp": at(-5), "iat": at(-100) }), "ok"),
        (json!({ "exp": -1 }), "expired"),
        (json!({ "exp": 0 }), "expired"),
        (json!({ "exp": i64::MIN }), "invalid_claim"),
        (json!({ "exp": i64::MAX }), "invalid_claim"),
        (json!({ "exp": u64::MAX }), "invalid_claim"),
        (json!({ "exp": 1e300 }), "invalid_claim"),
        (json!({ "exp": (now() + 300).to_string() }), "invalid_claim"),
        (json!({ "exp": [] }), "invalid_claim"),
        (json!({ "exp": (now() + 300) as f64 + 0.5 }), "ok"),
        (json!({ "nbf": at(120) }), "not_yet_valid"),
        (json!({ "nbf": at(10) }), "ok"),
        (json!({ "nbf": "soon" }), "invalid_claim"),
        (json!({ "iat": at(3600), "exp": at(7200) }), "not_yet_valid"),
        (json!({ "iat": "now" }), "invalid_claim"),
        (json!({ "exp": at(25 * 3600) }), "lives_too_long"),
        (json!({ "exp": at(25 * 3600), "iat": null }), "lives_too_long"),
        (json!({ "exp": at(30 * 24 * 3600), "iat": at(-3600) }), "lives_too_long"),
        (json!({ "exp": at(1), "iat": at(-25 * 3600) }), "lives_too_long"),
        (json!({ "iat": null }), "ok"),
    ];
    for (changes, expected) in cases {
        let token = key.good_but(changes.clone());
        assert_eq!(outcome(&authenticator, &token).await, expected, "{changes}");
    }
    let huge = format!(r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"a","exp":1e999}}"#);
    let token = key.token_of_bytes(key.header().to_string().as_bytes(), huge.as_bytes());
    assert_eq!(outcome(&authenticator, &token).await, "malformed");
}

/// RFC 8725 sections 2.8 and 3.11, RFC 9068 section 2.1: a token of another kind.
#[tokio::test]
async fn tokens_of_another_kind_are_refused() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    for typ in ["logout+jwt", "secevent+jwt", "dpop+jwt", "application/logout+jwt", "JOSE", ""] {
        let token = key.token(&header_but(&key, json!({ "typ": typ })), &claims_but(json!({})));
        assert_eq!(outcome(&authenticator, &token).await, "wrong_token_type", "{typ}");
    }
    for typ in [json!("AT+JWT"), json!("application/at+jwt"), json!("JWT"), json!(null)] {
        let token = key.token(&header_but(&key, json!({ "typ": typ })), &claims_but(json!({})));
        assert_eq!(outcome(&authenticator, &token).await, "ok", "{typ}");
    }
    for changes in [
        json!({ "nonce": "n" }),
        json!({ "at_hash": "h" }),
        json!({ "c_hash": "h" }),
        json!({ "events": { "http://schemas.openid.net/event/backchannel-logout": {} } }),
    ] {
        let token = key.good_but(changes.clone());
        assert_eq!(outcome(&authenticator, &token).await, "wrong_token_type", "{changes}");
    }
    let strict = trusting(&[&key], |config| config.token_types = vec!["at+jwt".into()]);
    for typ in [json!("JWT"), json!(null)] {
        let token = key.token(&header_but(&key, json!({ "typ": typ })), &claims_but(json!({})));
        assert_eq!(outcome(&strict, &token).await, "wrong_token_type", "{typ}");
    }
}

/// RFC 7800, RFC 9449 section 7.1, RFC 8705 section 3: bound to a key whose proof is not checked.
#[tokio::test]
async fn sender_constrained_tokens_do_not_pass_as_bearer_tokens() {
    let key = Key::p256("k");
    let token = key.good_but(json!({ "cnf": { "jkt": "abc" } }));
    assert_eq!(outcome(&plain(&[&key]), &token).await, "sender_constrained");
}

/// RFC 8693 section 4.1.
#[tokio::test]
async fn chains_of_actors_are_bounded_and_whole() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    let chain = |depth: usize| {
        (0..depth).fold(json!(null), |inner, n| match inner {
            Value::Null => json!({ "sub": format!("a{n}") }),
            inner => json!({ "sub": format!("a{n}"), "act": inner }),
        })
    };
    let who = authenticator.verify(&key.good_but(json!({ "act": chain(8) }))).await.unwrap();
    let subjects: Vec<_> = who.delegation.iter().map(|actor| actor.subject.as_str()).collect();
    assert_eq!(subjects, ["a7", "a6", "a5", "a4", "a3", "a2", "a1", "a0"]);
    let deep = key.good_but(json!({ "act": chain(9) }));
    assert_eq!(outcome(&authenticator, &deep).await, "delegation_too_deep");
    for act in [
        json!("agent"),
        json!({}),
        json!({ "sub": "" }),
        json!({ "sub": 1 }),
        json!([]),
        json!({ "sub": "a", "iss": 1 }),
        json!({ "sub": "a", "act": "b" }),
        json!({ "sub": "a\n" }),
    ] {
        let token = key.good_but(json!({ "act": act }));
        assert_eq!(outcome(&authenticator, &token).await, "invalid_claim", "{act}");
    }
}

/// OpenID Connect Core section 2: `sub`; and claims that are mapped.
#[tokio::test]
async fn subjects_and_mapped_claims_are_bounded_texts() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    let many: Vec<String> = (0..257).map(|n| n.to_string()).collect();
    let cases = [
        (json!({ "sub": null }), "missing_claim"),
        (json!({ "sub": "" }), "invalid_claim"),
        (json!({ "sub": 7 }), "invalid_claim"),
        (json!({ "sub": "x".repeat(256) }), "invalid_claim"),
        (json!({ "sub": "a\r\nb" }), "invalid_claim"),
        (json!({ "groups": many }), "invalid_claim"),
        (json!({ "groups": [1] }), "invalid_claim"),
        (json!({ "groups": [["operators"]] }), "invalid_claim"),
        (json!({ "groups": { "operators": true } }), "invalid_claim"),
        (json!({ "groups": "support-agents operators" }), "ok"),
        (json!({ "kind": "root" }), "invalid_claim"),
        (json!({ "kind": ["human"] }), "invalid_claim"),
        (json!({ "kind": "human" }), "ok"),
        (json!({ "name": "\u{1b}[31mred" }), "invalid_claim"),
        (json!({ "model": ["m"] }), "invalid_claim"),
        (json!({ "jti": "j".repeat(2000) }), "invalid_claim"),
    ];
    for (changes, expected) in cases {
        let token = key.good_but(changes.clone());
        assert_eq!(outcome(&authenticator, &token).await, expected, "{changes:.80}");
    }
    let one = authenticator.verify(&key.good_but(json!({ "groups": "a b" }))).await.unwrap();
    assert_eq!(one.principal.groups, ["a b"], "a text is one group, never split");
}

/// What strangers write into `iss` reaches an event only as a plain URL.
#[tokio::test]
async fn a_claimed_issuer_is_repeated_only_when_it_is_a_plain_url() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    let long = format!("https://evil.example/{}", "x".repeat(300));
    let cases = [
        ("https://evil.example", Some("https://evil.example")),
        ("https://user:secret@evil.example", None),
        ("https://evil.example/?token=secret", None),
        ("https://evil.example/#secret", None),
        ("javascript:alert(1)", None),
        ("4111 1111 1111 1111", None),
        (long.as_str(), None),
    ];
    for (iss, expected) in cases {
        let failure = authenticator.verify(&key.good_but(json!({ "iss": iss }))).await.unwrap_err();
        assert_eq!(failure.claimed_issuer(), expected, "{iss}");
        assert!(!failure.to_string().contains("secret"));
    }
}

/// RFC 8693 section 4.2, RFC 6749 section 3.3. Some issuers write a list.
#[tokio::test]
async fn scopes_are_names_and_never_guessed() {
    let key = Key::p256("k");
    let authenticator = plain(&[&key]);
    for (claims, expected) in [
        (json!({}), &[][..]),
        (json!({ "scope": "b a  a" }), &["a", "b"]),
        (json!({ "scope": "" }), &[]),
        (json!({ "scp": "a b" }), &["a", "b"]),
        (json!({ "scp": ["a b", "c"] }), &["a b", "c"]),
        (json!({ "scope": ["a"], "scp": "b" }), &["a", "b"]),
    ] {
        let identity = authenticator.verify(&key.good_but(claims.clone())).await.unwrap();
        let scopes: Vec<&str> = identity.scopes.iter().map(String::as_str).collect();
        assert_eq!(scopes, expected, "{claims}");
    }
    let many: Vec<String> = (0..257).map(|n| n.to_string()).collect();
    for claims in [
        json!({ "scope": 7 }),
        json!({ "scope": { "a": true } }),
        json!({ "scp": [7] }),
        json!({ "scp": [""] }),
        json!({ "scope": "a\nb" }),
        json!({ "scope": many.join(" ") }),
        json!({ "scp": many }),
    ] {
        assert_eq!(
            outcome(&authenticator, &key.good_but(claims.clone())).await,
            "invalid_claim",
            "{claims:.80}"
        );
    }
}
