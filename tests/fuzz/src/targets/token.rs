//! Bearer tokens: attackers' bytes as a token, and claims that a trusted issuer was made to sign.

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};
use tallyport_access::IssuerConfig;
use tallyport_access::fuzz::Trust;

/// Headers, claims and their values.
pub const WORDS: &[&[u8]] = &[
    b"\"alg\":\"none\"",
    b"\"alg\":\"HS256\"",
    b"\"kid\":\"k1\"",
    b"\"crit\":[\"exp\"]",
    b"\"typ\":\"at+jwt\"",
    b"\"jwk\":{}",
    b"\"nbf\":",
    b"\"iat\":",
    b"\"exp\":",
    b"1767225660",
    b"\"aud\":[\"tallyport\"]",
    b"\"act\":{\"sub\":\"x\"}",
    b"\"groups\":[\"a\"]",
    b"\"cnf\":{}",
    b"\"nonce\":1",
    b"\"sub\":\"x\"",
    b"\\u0000",
    b".",
    b"e30",
    b"1e308",
    b"-0",
];

pub(super) const ISSUER: &str = "https://id.example.com";
const AUDIENCE: &str = "tallyport";
/// 2026-01-01T00:00:00Z.
const NOW: i64 = 1_767_225_600;
const SKEW_SECONDS: i64 = 30;

static PAIR: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed is a key"));
static TRUST: LazyLock<Trust> =
    LazyLock::new(|| Trust::new(&config(), published().as_bytes()).expect("good settings"));
static GENUINE: LazyLock<String> =
    LazyLock::new(|| signed(HEADER.as_bytes(), good_claims().to_string().as_bytes()));

const HEADER: &str = r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1"}"#;

/// The public half of the issuer's key, base64url.
pub(super) fn public_key() -> String {
    URL_SAFE_NO_PAD.encode(PAIR.public_key().as_ref())
}

/// The issuer's key set.
pub(super) fn published() -> String {
    let key =
        json!({ "kty": "OKP", "crv": "Ed25519", "x": public_key(), "kid": "k1", "use": "sig" });
    json!({ "keys": [key] }).to_string()
}

pub(super) fn config() -> IssuerConfig {
    IssuerConfig::new(ISSUER, vec![AUDIENCE.to_owned()])
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(NOW).expect("a time")
}

/// A good token.
pub(super) fn genuine() -> &'static str {
    &GENUINE
}

fn good_claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "support-agent", "client_id": "support-agent",
        "iat": NOW, "exp": NOW + 300, "jti": "t-1", "groups": ["support-agents"],
        "act": { "sub": "orchestrator", "act": { "sub": "scheduler" } },
    })
}

fn signed(header: &[u8], claims: &[u8]) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(PAIR.sign(text.as_bytes()).as_ref());
    format!("{text}.{signature}")
}

/// A token as it is, or header and claims to be signed.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let to_sign = |header: &str, claims: &Value| format!("S{header}\n{claims}").into_bytes();
    let but = |name: &str, value: Value| {
        let mut claims = good_claims();
        claims[name] = value;
        claims
    };
    vec![
        format!("R{}", genuine()).into_bytes(),
        b"Re30.e30.".to_vec(),
        to_sign(HEADER, &good_claims()),
        to_sign(HEADER, &but("aud", json!([AUDIENCE, "other"]))),
        to_sign(HEADER, &but("exp", json!(NOW as f64 + 60.5))),
        to_sign(HEADER, &but("nbf", json!(NOW + 31))),
        to_sign(r#"{"alg":"EdDSA","kid":"k1","typ":"application/at+jwt"}"#, &good_claims()),
        to_sign(r#"{"alg":"none"}"#, &good_claims()),
    ]
}

/// What is taken was signed, is for us, is of now; what is refused is not repeated.
pub fn run(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    if *mode == b'S' {
        let mut parts = rest.splitn(2, |byte| *byte == b'\n');
        let (header, claims) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        return check_signed(header, claims);
    }
    let Ok(token) = std::str::from_utf8(rest) else { return };
    match TRUST.verify(token, now()) {
        Ok(_) => {
            let text = |token: &'static str| token.rsplit_once('.').expect("it has dots").0;
            assert_eq!(token.rsplit_once('.').map(|parts| parts.0), Some(text(genuine())));
        }
        Err(failure) => quiet(&format!("{failure} {failure:?}"), token),
    }
}

fn check_signed(header: &[u8], claims: &[u8]) {
    let token = signed(header, claims);
    let identity = match TRUST.verify(&token, now()) {
        Ok(identity) => identity,
        Err(failure) => return quiet(&format!("{failure} {failure:?}"), &token),
    };
    let header: Value = serde_json::from_slice(header).expect("a header is JSON");
    let claims: Value = serde_json::from_slice(claims).expect("claims are JSON");
    assert_eq!(header["alg"], "EdDSA");
    for forbidden in ["jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"] {
        assert!(header.get(forbidden).is_none(), "{forbidden} chooses or changes something");
    }
    assert_eq!(claims["iss"], ISSUER);
    let aud = &claims["aud"];
    let ours = |items: &Vec<Value>| items.iter().any(|item| item == AUDIENCE);
    assert!(*aud == AUDIENCE || aud.as_array().is_some_and(ours));
    assert!(claims.get("cnf").is_none() && claims.get("nonce").is_none());
    let expires = claims["exp"].as_f64().expect("a time") as i64;
    assert!(expires + SKEW_SECONDS > NOW, "it has expired");
    assert!(identity.expires_at > now());
    assert!(identity.delegation.len() <= 8);
    assert!(!identity.principal.subject.is_empty());
    let shown = format!("{identity:?}");
    assert!(shown.len() < 64 * 1024);
}

/// The claimed issuer is repeated by design, and whoever makes a token can write its header's text into it: so the
/// header is left out here. Claims cannot hold themselves, and a signature cannot be foreseen. What is no base64url may be
/// our own words: the fuzzer finds them in the comparison below and tries them.
pub(super) fn quiet(shown: &str, token: &str) {
    let encoded = |part: &&str| {
        part.len() > 20
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    for part in token.split('.').skip(1).filter(encoded) {
        assert!(!shown.contains(part), "a part of the token is shown: {shown}");
    }
}
