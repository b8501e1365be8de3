//! Attacks on tokens of SPIFFE workloads. Each test names the section of the standard that it is about; `JWT` is JWT-SVID,
//! `BUNDLE` is Trust Domain and Bundle.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

mod support;

use serde_json::{Value, json};
use support::jwt::{AUDIENCE, Key, changed, now};
use support::svid::{Authority, BILLING, DOMAIN, Trusting, WORKLOADS, bundle};
use tallyport_schemas::AuthMethod;

fn domain() -> String {
    format!("spiffe://{DOMAIN}")
}

fn token_stage() -> (Key, Trusting) {
    let (authority, key) = (Authority::new(&domain()), Key::p256("k1"));
    let trusting = Trusting::new(&bundle(&[&authority], &[&key]).to_string(), WORKLOADS);
    (key, trusting)
}

fn claims(changes: Value) -> Value {
    changed(json!({ "sub": BILLING, "aud": [AUDIENCE], "iat": now(), "exp": now() + 300 }), changes)
}

#[tokio::test]
async fn a_workload_is_known_by_its_token() {
    let (key, trusting) = token_stage();
    for header in [json!({}), json!({"typ": "JWT"}), json!({"typ": "JOSE"})] {
        let mut whole = json!({ "alg": key.alg(), "kid": key.id });
        whole.as_object_mut().unwrap().extend(header.as_object().unwrap().clone());
        let token = key.token(&whole, &claims(json!({})));
        let identity = trusting.authenticator.verify(&token).await.unwrap();
        assert_eq!(
            (identity.method, identity.principal.subject.as_str()),
            (AuthMethod::JwtSvid, BILLING)
        );
        assert_eq!((identity.binding, identity.key_id.as_deref()), (None, Some("k1")));
        assert_eq!(identity.principal.groups, ["prod:agents", "prod:readers"]);
    }
}

#[tokio::test]
async fn jwt_2_to_5_only_a_token_of_the_domain_for_us_is_taken() {
    let (key, trusting) = token_stage();
    let header = json!({ "alg": key.alg(), "kid": key.id });
    for (what, changes, code) in [
        ("3.1: no subject", json!({"sub": null}), "missing_claim"),
        ("3.1: a subject that is no id", json!({"sub": "billing"}), "missing_claim"),
        ("3.1: the domain itself", json!({"sub": domain()}), "svid"),
        ("3.1: of capitals", json!({"sub": "spiffe://PROD.example.com/x"}), "svid"),
        (
            "of a domain that is not trusted",
            json!({"sub": "spiffe://staging.example.com/x"}),
            "unknown_trust_domain",
        ),
        ("of no rule", json!({"sub": "spiffe://prod.example.com/x"}), "unknown_workload"),
        ("3.2: no audience", json!({"aud": null}), "missing_claim"),
        ("3.2: another audience", json!({"aud": ["somebody"]}), "wrong_audience"),
        ("3.2: none in a list", json!({"aud": []}), "wrong_audience"),
        ("3.3: no end", json!({"exp": null}), "missing_claim"),
        ("3.3: over", json!({"exp": now() - 60, "iat": now() - 120}), "expired"),
        ("lives too long", json!({"exp": now() + 7200}), "lives_too_long"),
        ("from the future", json!({"iat": now() + 600, "exp": now() + 900}), "not_yet_valid"),
        ("bound to a key that nobody made", json!({"cnf": {"jkt": "x"}}), "sender_constrained"),
        ("an ID token", json!({"nonce": "x"}), "wrong_token_type"),
        ("good, with an issuer that nobody looks at", json!({"iss": "https://oidc.example"}), "ok"),
    ] {
        let token = key.token(&header, &claims(changes));
        assert_eq!(trusting.token(&token).await, code, "{what}");
    }
    for (what, header, code) in [
        ("2.1: none", json!({"alg": "none", "kid": "k1"}), "unsupported_algorithm"),
        (
            "2.1: HMAC with the public key",
            json!({"alg": "HS256", "kid": "k1"}),
            "unsupported_algorithm",
        ),
        (
            "2.1: EdDSA is not among them",
            json!({"alg": "EdDSA", "kid": "k1"}),
            "unsupported_algorithm",
        ),
        ("2.2: another key", json!({"alg": "ES256", "kid": "k2"}), "unknown_key"),
        (
            "2.3: another type",
            json!({"alg": "ES256", "kid": "k1", "typ": "at+jwt"}),
            "wrong_token_type",
        ),
        ("its own key", json!({"alg": "ES256", "kid": "k1", "jwk": key.jwk()}), "forbidden_header"),
        (
            "critical extensions",
            json!({"alg": "ES256", "kid": "k1", "crit": ["x"]}),
            "forbidden_header",
        ),
    ] {
        let token = key.token(&header, &claims(json!({})));
        assert_eq!(trusting.token(&token).await, code, "{what}");
    }
    let stranger = Key::p256("k1");
    let token = stranger.token(&header, &claims(json!({})));
    assert_eq!(
        trusting.token(&token).await,
        "bad_signature",
        "of somebody else, under the same id"
    );
}

/// BUNDLE 4.2: a key for certificates signs no tokens, one for web sign-in neither, and the other way round.
#[tokio::test]
async fn bundle_4_2_a_key_is_for_what_it_says() {
    let (authority, key, other) = (Authority::new(&domain()), Key::p256("k1"), Key::p256("k2"));
    let mut document = bundle(&[&authority], &[&key]);
    let mut web = other.jwk();
    web["use"] = json!("sig");
    document["keys"].as_array_mut().unwrap().push(web);
    let trusting = Trusting::new(&document.to_string(), WORKLOADS);
    let header = json!({ "alg": other.alg(), "kid": other.id });
    assert_eq!(trusting.token(&other.token(&header, &claims(json!({})))).await, "unknown_key");
    // With PEM certificates alone no token is taken.
    let (authority, _) = (Authority::new(&domain()), ());
    let only_x509 = Trusting::new(&bundle(&[&authority], &[]).to_string(), WORKLOADS);
    let header = json!({ "alg": key.alg(), "kid": key.id });
    assert_eq!(
        only_x509.token(&key.token(&header, &claims(json!({})))).await,
        "unknown_trust_domain"
    );
}
