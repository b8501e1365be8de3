//! Tokens of workloads: `header LF claims`.

use std::sync::LazyLock;

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::super::token::quiet;
use super::{AUDIENCE, BILLING, NOW, TRUST, is_workload, now};

const SKEW_SECONDS: i64 = 30;
const MAX_LIFETIME_SECONDS: i64 = 3600;
/// A good one. It was signed once, since signatures of this kind differ each time.
pub(super) const GENUINE: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsxIn0.eyJzdWIiOiJzcGlmZmU6Ly9wcm9kLmV4YW1wbGUuY29tL25z\
    L2FnZW50cy9zYS9iaWxsaW5nIiwiYXVkIjoidGFsbHlwb3J0IiwiaWF0IjoxNzY3MjI1NjAwLCJleHAiOjE3NjcyMjU5MDB9.pb_\
    mtYnyY-NxMbgYN4DYw9dYwNEhjgOXDpGvQcpyWmTxgOBKiKOAyD2yOWOsDtueSUIcsO-DsR55heSdV9JJaA";

static DOMAIN_KEY: LazyLock<EcdsaKeyPair> = LazyLock::new(|| pair(7));
static ANOTHER: LazyLock<EcdsaKeyPair> = LazyLock::new(|| pair(8));

fn pair(seed: u8) -> EcdsaKeyPair {
    let scalar = [seed; 32];
    let private = PrivateKey::from_private_key(&ECDH_P256, &scalar).expect("a scalar");
    let public = private.compute_public_key().expect("a point");
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    EcdsaKeyPair::from_private_key_and_public_key(algorithm, &scalar, public.as_ref())
        .expect("a key")
}

/// The domain's key, as its bundle has it.
pub(super) fn public() -> Value {
    let (x, y) = DOMAIN_KEY.public_key().as_ref()[1..].split_at(32);
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({ "use": "jwt-svid", "kty": "EC", "crv": "P-256", "kid": "k1", "x": text(x), "y": text(y) })
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let header = r#"{"alg":"ES256","typ":"JWT","kid":"k1"}"#;
    let but = |header: &str, name: &str, value: Value| {
        let mut claims = good_claims();
        claims[name] = value;
        format!("{header}\n{claims}").into_bytes()
    };
    vec![
        but(header, "sub", json!(BILLING)),
        but(header, "sub", json!("spiffe://prod.example.com/ns/ops/sa/backup")),
        but(header, "sub", json!("spiffe://prod.example.com/ns/ops/sa/other")),
        but(header, "sub", json!("spiffe://prod.example.com/ns/agents-old/x")),
        but(header, "aud", json!([AUDIENCE, "other"])),
        but(header, "exp", json!(NOW + MAX_LIFETIME_SECONDS)),
        but(header, "cnf", json!({ "jkt": "a" })),
        but(r#"{"alg":"ES256","kid":"k1","typ":"JOSE"}"#, "iat", json!(NOW - 60)),
        but(r#"{"alg":"RS256","kid":"k1"}"#, "iss", json!("https://id.example.com")),
    ]
}

fn good_claims() -> Value {
    json!({ "sub": BILLING, "aud": AUDIENCE, "iat": NOW, "exp": NOW + 300 })
}

fn signed(pair: &EcdsaKeyPair, data: &[u8]) -> (String, Vec<u8>, Vec<u8>) {
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (header, claims) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = pair.sign(&SystemRandom::new(), text.as_bytes()).expect("a signature");
    let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature));
    (token, header.to_vec(), claims.to_vec())
}

pub(super) fn as_it_is(token: &str) {
    match TRUST.verify_token(token, now()) {
        Ok(_) => {
            let text = |token: &str| token.rsplit_once('.').map(|parts| parts.0.to_owned());
            assert_eq!(text(token), text(GENUINE), "nobody signed it");
        }
        Err(failure) => quiet(&format!("{failure} {failure:?}"), token),
    }
}

pub(super) fn signed_by_another(data: &[u8]) {
    let (token, ..) = signed(&ANOTHER, data);
    assert!(TRUST.verify_token(&token, now()).is_err(), "somebody else signed it");
}

pub(super) fn signed_by_domain(data: &[u8]) {
    let (token, header, claims) = signed(&DOMAIN_KEY, data);
    let identity = match TRUST.verify_token(&token, now()) {
        Ok(identity) => identity,
        Err(failure) => return quiet(&format!("{failure} {failure:?}"), &token),
    };
    is_workload(&identity);
    let header: Value = serde_json::from_slice(&header).expect("a header is JSON");
    let claims: Value = serde_json::from_slice(&claims).expect("claims are JSON");
    assert_eq!(header["alg"], "ES256");
    for forbidden in ["jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"] {
        assert!(header.get(forbidden).is_none(), "{forbidden} chooses or changes something");
    }
    assert_eq!(claims["sub"], identity.principal.subject);
    let ours = |items: &Vec<Value>| items.iter().any(|item| item == AUDIENCE);
    assert!(claims["aud"] == AUDIENCE || claims["aud"].as_array().is_some_and(ours));
    assert!(claims.get("cnf").is_none() && claims.get("nonce").is_none());
    let ends = claims["exp"].as_f64().expect("a time");
    assert!(ends + SKEW_SECONDS as f64 > NOW as f64, "it has expired");
    let issued = claims.get("iat").and_then(Value::as_f64).unwrap_or(NOW as f64);
    assert!(issued < (NOW + SKEW_SECONDS + 1) as f64, "it is of the future");
    assert!(ends - issued < (MAX_LIFETIME_SECONDS + 1) as f64, "it lives too long");
    assert!(TRUST.verify_token(&token, identity.expires_at).is_err(), "it has ended");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_genuine_one_is_taken() {
        let seed = seeds().into_iter().next().expect("a good one");
        let taken = TRUST.verify_token(GENUINE, now());
        assert!(taken.is_ok(), "{taken:?}; another: {}", signed(&DOMAIN_KEY, &seed).0);
    }
}
