//! Proofs of possession (RFC 9449): as anybody may send them (`R`), and header and claims that were signed by the agent (`S`) or by
//! somebody else (`T`), with a line feed between them.

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tallyport_access::fuzz::Proofs;
use tallyport_access::{Asked, AuthFailure};

use super::token::quiet;

/// Headers, claims and their values.
pub const WORDS: &[&[u8]] = &[
    b"\"typ\":\"dpop+jwt\"",
    b"\"typ\":\"application/DPoP+jwt\"",
    b"\"alg\":\"none\"",
    b"\"alg\":\"ES256\"",
    b"\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}",
    b"\"d\":\"AA\"",
    b"\"use\":\"sig\"",
    b"\"crit\":[\"exp\"]",
    b"\"kid\":\"k1\"",
    b"\"htm\":\"CONNECT\"",
    b"\"htu\":\"https://gateway.example/sample\"",
    b"https://eu.gateways.example:8443",
    b"https:\\\\\\\\gateway.example\\\\sample",
    b"user@",
    b"/../sample",
    b"%2e%2e/",
    b"?a#b",
    b"\"jti\":\"\"",
    b"\"iat\":1767225600",
    b"1e308",
    b"\\u0000",
    b".",
    b"e30",
];

const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.AAAA";
const ASKED: Asked<'_> = Asked { method: "CONNECT", path: "/sample" };
const NONCE_KEY: [u8; 32] = [9; 32];
/// 2026-01-01T00:00:00Z.
const NOW: i64 = 1_767_225_600;
const SKEW_SECONDS: i64 = 300;
/// Header parameters that a proof may not have: those of tokens, but for its key.
const FORBIDDEN: [&str; 7] = ["jku", "x5u", "x5c", "crit", "b64", "zip", "enc"];

static AGENT: LazyLock<Ed25519KeyPair> = LazyLock::new(|| pair(&[3; 32]));
static THIEF: LazyLock<Ed25519KeyPair> = LazyLock::new(|| pair(&[4; 32]));
static GENUINE: LazyLock<String> = LazyLock::new(|| {
    signed(&AGENT, header(&AGENT).to_string().as_bytes(), claims().to_string().as_bytes())
});

fn pair(seed: &[u8; 32]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed).expect("a seed is a key")
}

fn public(pair: &Ed25519KeyPair) -> String {
    URL_SAFE_NO_PAD.encode(pair.public_key().as_ref())
}

/// RFC 7638, written out.
fn thumbprint(pair: &Ed25519KeyPair) -> String {
    let text = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, public(pair));
    URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

fn signed(pair: &Ed25519KeyPair, header: &[u8], claims: &[u8]) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(text.as_bytes()).as_ref());
    format!("{text}.{signature}")
}

fn gateway(host: &str, key: &[u8; 32]) -> Proofs {
    Proofs::new(&[host.to_owned(), "*.gateways.example".to_owned()], key)
}

fn ours() -> Proofs {
    gateway("Gateway.example", &NONCE_KEY)
}

fn header(pair: &Ed25519KeyPair) -> Value {
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": public(pair) });
    json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk })
}

fn claims() -> Value {
    json!({
        "jti": "p-1", "htm": "CONNECT", "htu": "https://gateway.example/sample", "iat": NOW,
        "ath": URL_SAFE_NO_PAD.encode(Sha256::digest(TOKEN)), "nonce": ours().nonce(),
    })
}

/// A proof as it is, or header and claims to be signed.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let to_sign = |mode: char, header: &Value, claims: &Value| {
        format!("{mode}{header}\n{claims}").into_bytes()
    };
    let but = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        to_sign('S', &header(&AGENT), &claims)
    };
    let ec = json!({ "kty": "EC", "crv": "P-256", "x": "A".repeat(43), "y": "A".repeat(43) });
    let rsa = json!({ "kty": "RSA", "n": "u".repeat(342), "e": "AQAB" });
    vec![
        format!("R{}", *GENUINE).into_bytes(),
        to_sign('S', &header(&AGENT), &claims()),
        to_sign('T', &header(&AGENT), &claims()),
        to_sign('T', &header(&THIEF), &claims()),
        but("htu", json!("https://eu.gateways.example:8443/a/../sample?query#fragment")),
        but("htu", json!("https://gateway.example/sample/")),
        but("htu", json!("https://eugateways.example/sample")),
        but("htu", json!("https://a.b.gateways.example/sample")),
        but("iat", json!(NOW - SKEW_SECONDS)),
        but("iat", json!(NOW + SKEW_SECONDS + 1)),
        but("jti", json!("j".repeat(256))),
        but("nonce", json!(null)),
        to_sign('S', &json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": ec }), &claims()),
        to_sign('S', &json!({ "typ": "dpop+jwt", "alg": "PS256", "jwk": rsa }), &claims()),
    ]
}

/// What is taken was signed by the key that the token is bound to, for this request at this gateway, now, once; what is refused
/// is not repeated.
pub fn run(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    if matches!(mode, b'S' | b'T') {
        let mut parts = rest.splitn(2, |byte| *byte == b'\n');
        let (header, claims) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let pair = if *mode == b'S' { &AGENT } else { &THIEF };
        let proof = signed(pair, header, claims);
        if taken(&proof) {
            assert_eq!(*mode, b'S', "somebody else's signature is taken");
            says(header, claims);
            for_nothing_else(&proof);
        }
        return;
    }
    let Ok(proof) = std::str::from_utf8(rest) else { return };
    if taken(proof) {
        let text = |proof: &str| proof.rsplit_once('.').map(|parts| parts.0.to_owned());
        assert_eq!(text(proof), text(&GENUINE), "nobody signed it");
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a time")
}

/// Whether it is taken; then it is used up.
fn taken(proof: &str) -> bool {
    let gateway = ours();
    let thumbprint = thumbprint(&AGENT);
    let check = || gateway.check(proof, (&thumbprint, TOKEN), ASKED, at(NOW));
    let quietly = |failure: AuthFailure| {
        assert!(failure.is_about_proof());
        quiet(&format!("{failure} {failure:?}"), proof);
    };
    match check() {
        Ok(()) => {
            quietly(check().expect_err("it is taken twice"));
            true
        }
        Err(failure) => {
            quietly(failure);
            assert!(check().is_err(), "what is refused once is taken later");
            false
        }
    }
}

/// What it says, as another reader reads it.
fn says(header: &[u8], claims: &[u8]) {
    let header: Value = serde_json::from_slice(header).expect("a header is JSON");
    let claims: Value = serde_json::from_slice(claims).expect("claims are JSON");
    let kind = header["typ"].as_str().expect("a text").to_ascii_lowercase();
    assert_eq!(kind.strip_prefix("application/").unwrap_or(&kind), "dpop+jwt");
    assert_eq!(header["alg"], "EdDSA");
    let key = &header["jwk"];
    assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519")));
    assert_eq!(key["x"], public(&AGENT), "another key");
    assert!(key.get("d").is_none(), "a private key has no place in it");
    for forbidden in FORBIDDEN {
        assert!(header.get(forbidden).is_none(), "{forbidden} chooses or changes something");
    }
    assert_eq!(claims["htm"], "CONNECT");
    assert_eq!(claims["ath"], URL_SAFE_NO_PAD.encode(Sha256::digest(TOKEN)));
    assert_eq!(claims["nonce"], ours().nonce());
    let issued = claims["iat"].as_i64().expect("a time");
    assert!((NOW - SKEW_SECONDS..=NOW + SKEW_SECONDS).contains(&issued), "not made now");
    let id = claims["jti"].as_str().expect("a text");
    assert!((1..=256).contains(&id.len()), "it is remembered by nothing");
    let uri = claims["htu"].as_str().expect("a text");
    // A stricter reader, where it reads it at all: without what a URL may be written as, too.
    let Ok(uri) = uri.parse::<http::Uri>() else { return };
    assert_eq!(uri.scheme_str(), Some("https"));
    let host = uri.host().unwrap_or_default().to_ascii_lowercase();
    let is_label = |label: &str| !label.contains('.');
    let is_ours = host == "gateway.example"
        || host.strip_suffix(".gateways.example").is_some_and(is_label)
        || host.contains('%');
    assert!(is_ours, "{host} is another host");
    let plain = !uri.path().contains("/.") && !uri.path().contains('%');
    assert!(!plain || uri.path() == "/sample", "{} is another path", uri.path());
}

/// The same proof elsewhere, for something else, or later.
fn for_nothing_else(proof: &str) {
    let (agent, thief) = (thumbprint(&AGENT), thumbprint(&THIEF));
    let refused = |gateway: Proofs, bound: (&str, &str), asked: Asked<'_>, now: i64| {
        assert!(gateway.check(proof, bound, asked, at(now)).is_err(), "{asked:?} {now}");
    };
    let bound = (agent.as_str(), TOKEN);
    refused(ours(), bound, Asked { method: "GET", ..ASKED }, NOW);
    refused(ours(), bound, Asked { path: "/other", ..ASKED }, NOW);
    refused(ours(), (&thief, TOKEN), ASKED, NOW);
    refused(ours(), (&agent, "another"), ASKED, NOW);
    refused(ours(), bound, ASKED, NOW + 2 * SKEW_SECONDS + 1);
    refused(ours(), bound, ASKED, NOW - 2 * SKEW_SECONDS - 1);
    refused(gateway("Gateway.example", &[8; 32]), bound, ASKED, NOW);
    refused(Proofs::new(&["elsewhere.example".to_owned()], &NONCE_KEY), bound, ASKED, NOW);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_taken() {
        assert!(taken(&GENUINE));
        for_nothing_else(&GENUINE);
    }
}
