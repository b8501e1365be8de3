//! What an issuer answers when it is asked: its own document (OpenID Connect Discovery, RFC 8414) and whether a token is active
//! (RFC 7662). The issuer is trusted to say who somebody is, and not to send the gateway elsewhere.

use serde_json::Value;
use tallyport_access::fuzz::{is_active, keys_of};
use tallyport_access::is_safe_url;
use url::Url;

/// What both are made of.
pub const WORDS: &[&[u8]] = &[
    b"\"issuer\":\"https://id.example.com\"",
    b"\"jwks_uri\":\"https://id.example.com/keys\"",
    b"http://127.0.0.1/",
    b"https://localhost/",
    b"https://[::1]/",
    b"https://2130706433/",
    b"https://0x7f.1/",
    b"file:///etc/passwd",
    b"\"active\":true",
    b"\"active\":\"true\"",
    b"\"active\":false",
    b"[true]",
    b"{}",
];

const ISSUER: &str = "https://id.example.com";

/// Reads the bytes as either.
pub fn run(data: &[u8]) {
    let from =
        Url::parse("https://id.example.com/.well-known/openid-configuration").expect("a URL");
    if let Some(keys) = keys_of(data, &from, ISSUER) {
        assert!(is_safe_url(&keys), "{keys}");
        let inward = match keys.host() {
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            Some(url::Host::Domain(name)) => name == "localhost",
            None => true,
        };
        assert!(!inward && keys.scheme() == "https", "{keys} is a service of this machine");
        let whole: Value = serde_json::from_slice(data).expect("JSON");
        assert_eq!(whole["issuer"], ISSUER);
    }
    if let Some(active) = is_active(data) {
        let whole: Value = serde_json::from_slice(data).expect("JSON");
        assert!(whole.is_object());
        assert_eq!(whole["active"], active);
    }
}

/// Good ones, and some that would lead astray.
pub fn seeds() -> Vec<Vec<u8>> {
    let document = |issuer: &str, keys: &str| {
        format!(
            r#"{{"issuer":"{issuer}","jwks_uri":"{keys}","response_types_supported":["code"]}}"#
        )
    };
    let texts = [
        document(ISSUER, "https://id.example.com/keys"),
        document(ISSUER, "https://keys.example.net/id"),
        document(ISSUER, "http://127.0.0.1:8080/admin"),
        document(ISSUER, "https://localhost/keys"),
        document("https://evil.example", "https://id.example.com/keys"),
        r#"{"active":true,"sub":"a","exp":1767225600}"#.to_owned(),
        r#"{"active":false}"#.to_owned(),
        "[true]".to_owned(),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}
