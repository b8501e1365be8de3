//! An issuer's published keys, as somebody else may publish them.

use serde_json::json;
use tallyport_access::fuzz::Trust;

use super::token::{config, genuine, now, public_key, published};

/// Members of keys.
pub const WORDS: &[&[u8]] = &[
    b"\"kty\":\"RSA\"",
    b"\"kty\":\"EC\"",
    b"\"kty\":\"oct\"",
    b"\"crv\":\"P-256\"",
    b"\"crv\":\"Ed25519\"",
    b"\"use\":\"enc\"",
    b"\"key_ops\":[\"verify\"]",
    b"\"alg\":\"RS256\"",
    b"\"kid\":\"k1\"",
    b"\"n\":\"AQAB\"",
    b"\"e\":\"AQAB\"",
    b"\"x\":\"AA\"",
    b"\"d\":\"AA\"",
    b"{\"keys\":[",
    b"]}",
    b"AAAA",
];

/// Key sets of all kinds.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let of = |key: serde_json::Value| json!({ "keys": [key] }).to_string().into_bytes();
    vec![
        published().into_bytes(),
        of(json!({ "kty": "RSA", "n": "u".repeat(342), "e": "AQAB", "kid": "r", "use": "sig" })),
        of(json!({ "kty": "EC", "crv": "P-256", "x": "A".repeat(43), "y": "A".repeat(43) })),
        of(json!({ "kty": "EC", "crv": "P-384", "x": "A".repeat(64), "y": "A".repeat(64) })),
        of(json!({ "kty": "oct", "k": "AAAA" })),
    ]
}

/// A token is taken only where the set shows the key that signed it.
pub fn run(data: &[u8]) {
    let Some(trust) = Trust::new(&config(), data) else { return };
    if trust.verify(genuine(), now()).is_ok() {
        let set: serde_json::Value = serde_json::from_slice(data).expect("a set is JSON");
        let keys = set["keys"].as_array().expect("of keys");
        let ours = serde_json::Value::from(public_key());
        assert!(keys.iter().any(|key| key["x"] == ours), "somebody else's key verified it");
    }
}
