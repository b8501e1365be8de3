//! Attacks on proofs of possession (DPoP). Each test names the section of RFC 9449 that it is about.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test says by failing what does not hold"
)]

mod support;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::jwt::{Key, b64, changed, now, trusting};
use tallyport_access::{Asked, Authenticator, Presented, ProofVerifier};
use tallyport_schemas::TokenBinding;

const URI: &str = "https://gateway.example/sample";
const ASKED: Asked<'_> = Asked { method: "CONNECT", path: "/sample" };

/// An issuer, a gateway, and an agent with a key of its own.
struct Stage {
    issuer: Key,
    agent: Key,
    authenticator: Authenticator,
    gateway: ProofVerifier,
}

impl Stage {
    fn new() -> Self {
        Self::of(Key::p256("agent"))
    }

    fn of(agent: Key) -> Self {
        let issuer = Key::p256("issuer");
        let authenticator = trusting(&[&issuer], |_| {});
        let names =
            ["gateway.example".to_owned(), "*.gateways.example".to_owned(), "192.0.2.1".to_owned()];
        Self { issuer, agent, authenticator, gateway: ProofVerifier::new(&names).unwrap() }
    }

    /// A token that is bound to the agent's key.
    fn token(&self) -> String {
        self.issuer.good_but(json!({ "cnf": { "jkt": thumbprint(&self.agent) } }))
    }

    fn nonce(&self) -> String {
        self.gateway.nonce()
    }

    fn claims(&self, token: &str) -> Value {
        json!({
            "jti": b64(format!("{}", rand_id())), "htm": "CONNECT", "htu": URI, "iat": now(),
            "ath": b64(Sha256::digest(token.as_bytes())), "nonce": self.nonce(),
        })
    }

    /// A good proof but for these claims; `null` removes one.
    fn proof_but(&self, token: &str, changes: Value) -> String {
        let claims = changed(self.claims(token), changes);
        self.agent.token(&header(&self.agent), &claims)
    }

    async fn outcome(&self, token: &str, proof: Option<&str>) -> &'static str {
        let presented =
            Presented { token, proof, asked: ASKED, verifier: &self.gateway, certificate: None };
        match self.authenticator.verify_presented(&presented).await {
            Ok(identity) => {
                let bound = (identity.binding == Some(TokenBinding::Dpop)) == proof.is_some();
                assert!(bound, "what was proved is said");
                "ok"
            }
            Err(failure) => failure.code(),
        }
    }
}

fn rand_id() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn bare_jwk(key: &Key) -> Value {
    changed(key.jwk(), json!({ "kid": null, "use": null }))
}

fn header(key: &Key) -> Value {
    json!({ "typ": "dpop+jwt", "alg": key.alg(), "jwk": bare_jwk(key) })
}

/// RFC 7638, written out.
fn thumbprint(key: &Key) -> String {
    let jwk = bare_jwk(key);
    let mut names: Vec<&String> = jwk.as_object().unwrap().keys().collect();
    names.sort();
    let members: Vec<String> =
        names.iter().map(|name| format!("\"{name}\":{}", jwk[*name])).collect();
    b64(Sha256::digest(format!("{{{}}}", members.join(","))))
}

#[tokio::test]
async fn a_good_proof_is_taken_with_every_kind_of_key() {
    for agent in [Key::p256("a"), Key::p384("a"), Key::ed("a"), Key::rsa("a")] {
        let stage = Stage::of(agent);
        let token = stage.token();
        let proof = stage.proof_but(&token, json!({}));
        assert_eq!(stage.outcome(&token, Some(&proof)).await, "ok", "{}", stage.agent.alg());
    }
    let stage = Stage::new();
    let token = stage.token();
    for uri in [
        "https://GATEWAY.example/sample",
        "https://gateway.example:8443/sample",
        "https://eu.gateways.example/sample",
        "https://192.0.2.1/sample?query#fragment",
    ] {
        let proof = stage.proof_but(&token, json!({ "htu": uri }));
        assert_eq!(stage.outcome(&token, Some(&proof)).await, "ok", "{uri}");
    }
}

#[tokio::test]
async fn section_7_1_a_bound_token_is_no_bearer_token_and_a_bearer_token_is_not_bound() {
    let stage = Stage::new();
    let (bound, bearer) = (stage.token(), stage.issuer.good_but(json!({})));
    assert_eq!(stage.outcome(&bound, None).await, "sender_constrained");
    let proof = stage.proof_but(&bearer, json!({}));
    assert_eq!(stage.outcome(&bearer, Some(&proof)).await, "not_bound");
    assert_eq!(stage.outcome(&bearer, None).await, "ok");
}

/// RFC 7800 section 3: a confirmation that cannot be checked confirms nothing.
#[tokio::test]
async fn section_6_a_confirmation_of_another_kind_is_refused() {
    let stage = Stage::new();
    let key = thumbprint(&stage.agent);
    for confirmation in [
        json!({}),
        json!("jkt"),
        json!([]),
        json!({ "jkt": 1 }),
        json!({ "jkt": key, "x5t#S256": "abc" }),
        json!({ "jwk": bare_jwk(&stage.agent) }),
        json!({ "x5t": "abc" }),
        json!({ "kid": "agent" }),
    ] {
        let token = stage.issuer.good_but(json!({ "cnf": confirmation }));
        let proof = stage.proof_but(&token, json!({}));
        for proof in [None, Some(proof.as_str())] {
            assert_eq!(stage.outcome(&token, proof).await, "sender_constrained", "{token}");
        }
    }
}

#[tokio::test]
async fn section_4_3_every_point_of_the_check_holds() {
    let stage = Stage::new();
    let token = stage.token();
    let other =
        stage.issuer.good_but(json!({ "jti": "t-2", "cnf": { "jkt": thumbprint(&stage.agent) } }));
    let cases = [
        json!({ "htm": "GET" }),
        json!({ "htm": "connect" }),
        json!({ "htm": null }),
        json!({ "htu": "https://gateway.example/other" }),
        json!({ "htu": "https://gateway.example/sample/" }),
        json!({ "htu": "http://gateway.example/sample" }),
        json!({ "htu": "https://gateway.example.evil.example/sample" }),
        json!({ "htu": "https://a.b.gateways.example/sample" }),
        json!({ "htu": "https://gateways.example/sample" }),
        json!({ "htu": "https://evil.example/sample" }),
        json!({ "htu": "/sample" }),
        json!({ "htu": null }),
        json!({ "ath": null }),
        json!({ "ath": b64(Sha256::digest(other.as_bytes())) }),
        json!({ "iat": null }),
        json!({ "iat": "now" }),
        json!({ "iat": now() - 400 }),
        json!({ "iat": now() + 400 }),
        json!({ "jti": null }),
        json!({ "jti": "" }),
        json!({ "jti": 7 }),
        json!({ "jti": "j".repeat(257) }),
    ];
    for changes in cases {
        let proof = stage.proof_but(&token, changes.clone());
        assert_eq!(stage.outcome(&token, Some(&proof)).await, "dpop_proof", "{changes}");
    }
}

#[tokio::test]
async fn section_4_2_what_is_no_proof_is_not_taken() {
    let stage = Stage::new();
    let token = stage.token();
    let claims = stage.claims(&token);
    let headers = [
        json!({ "typ": "JWT" }),
        json!({ "typ": "at+jwt" }),
        json!({ "typ": null }),
        json!({ "alg": "none" }),
        json!({ "alg": "HS256" }),
        json!({ "alg": "ES384" }),
        json!({ "jwk": null }),
        json!({ "jwk": { "kty": "oct", "k": "AAAA" } }),
        json!({ "crit": ["exp"] }),
        json!({ "jku": "https://evil.example/jwks" }),
        json!({ "x5c": ["MIIB"] }),
    ];
    for changes in headers {
        let mut header = header(&stage.agent);
        header = changed(header, changes.clone());
        let proof = stage.agent.token(&header, &claims);
        assert_eq!(stage.outcome(&token, Some(&proof)).await, "dpop_proof", "{changes}");
    }
    // Section 4.3, point 7: a private key has no place in it.
    let mut private = header(&stage.agent);
    private["jwk"]["d"] = json!("AAAA");
    let proof = stage.agent.token(&private, &claims);
    assert_eq!(stage.outcome(&token, Some(&proof)).await, "dpop_proof");
    let good = stage.proof_but(&token, json!({}));
    let long = format!("{good}{}", "A".repeat(9_000));
    let two = format!("{good}, {good}");
    for proof in ["", "x", "a.b", "a.b.c.d", &good[..good.len() - 4], &token, &long, &two] {
        assert_eq!(stage.outcome(&token, Some(proof)).await, "dpop_proof", "{proof}");
    }
    assert_eq!(stage.outcome(&token, Some(&good)).await, "ok", "nothing of it was used up");
}

#[tokio::test]
async fn section_2_a_token_that_was_stolen_is_of_no_use_without_the_key() {
    let stage = Stage::new();
    let token = stage.token();
    let thief = Key::p256("agent");
    // With a key of their own.
    let proof = thief.token(&header(&thief), &stage.claims(&token));
    assert_eq!(stage.outcome(&token, Some(&proof)).await, "dpop_proof");
    // With the agent's, but their own signature.
    let proof = thief.token(&header(&stage.agent), &stage.claims(&token));
    assert_eq!(stage.outcome(&token, Some(&proof)).await, "dpop_proof");
}

#[tokio::test]
async fn section_11_1_a_proof_is_for_one_use() {
    let stage = Stage::new();
    let token = stage.token();
    let proof = stage.proof_but(&token, json!({ "jti": "once" }));
    assert_eq!(stage.outcome(&token, Some(&proof)).await, "ok");
    assert_eq!(stage.outcome(&token, Some(&proof)).await, "dpop_proof");
    // Nor another one of the same name.
    let again = stage.proof_but(&token, json!({ "jti": "once", "iat": now() - 1 }));
    assert_eq!(stage.outcome(&token, Some(&again)).await, "dpop_proof");
}

#[tokio::test]
async fn section_8_and_9_a_nonce_is_this_gateways_and_fresh() {
    let stage = Stage::new();
    let token = stage.token();
    let other = ProofVerifier::new(&["gateway.example".to_owned()]).unwrap();
    let flipped = {
        let mut nonce = stage.nonce().into_bytes();
        let last = nonce.len() - 2;
        nonce[last] = if nonce[last] == b'A' { b'B' } else { b'A' };
        String::from_utf8(nonce).unwrap()
    };
    for nonce in [json!(null), json!(""), json!("x"), json!(flipped), json!(other.nonce())] {
        let proof = stage.proof_but(&token, json!({ "nonce": nonce }));
        assert_eq!(stage.outcome(&token, Some(&proof)).await, "dpop_nonce", "{nonce}");
    }
}

/// What binds a token says nothing of the token itself.
#[tokio::test]
async fn a_proof_makes_no_bad_token_good() {
    let stage = Stage::new();
    let bound = json!({ "jkt": thumbprint(&stage.agent) });
    for (changes, code) in [
        (json!({ "cnf": bound, "exp": now() - 60 }), "expired"),
        (json!({ "cnf": bound, "aud": "other" }), "wrong_audience"),
        (json!({ "cnf": bound, "iss": "https://evil.example" }), "unknown_issuer"),
    ] {
        let token = stage.issuer.good_but(changes);
        let proof = stage.proof_but(&token, json!({}));
        assert_eq!(stage.outcome(&token, Some(&proof)).await, code);
    }
}
