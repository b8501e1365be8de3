//! A SAML response, as anybody may send it. What is kept was signed by pysaml2 and xmlsec1.

use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::Value;
use tallyport_access::SecretToken;
use tallyport_access::saml::{IdpConfig, SamlConfig, SamlExchange};

/// Names, and what parsers of XML were led astray by.
pub const WORDS: &[&[u8]] = &[
    b"<ns1:Assertion ",
    b"</ns1:Assertion>",
    b"<ns2:Signature>",
    b"</ns2:Signature>",
    b"<ns2:Object>",
    b"xmlns:ns1=\"urn:x\"",
    b"xmlns=\"",
    b" ID=\"",
    b"URI=\"\"",
    b"<!--x-->",
    b"<![CDATA[",
    b"]]>",
    b"<?x y?>",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
    b"&#x0;",
    b"&#13;",
    b"&amp;",
    b"id-of-mallory",
];

const RESPONSE: &[u8] = include_bytes!("../../fixtures/saml-response.xml");

/// The good one, and its assertion alone, whose signature needs the names that are declared around it.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(RESPONSE);
    let alone =
        text.split_once("<ns1:Assertion").and_then(|(_, rest)| rest.split_once("</ns1:Assertion>"));
    let alone = alone.map(|(inner, _)| format!("<ns1:Assertion{inner}</ns1:Assertion>"));
    std::iter::once(RESPONSE.to_vec()).chain(alone.map(String::into_bytes)).collect()
}

/// Whatever is taken says what was signed, and nothing else.
pub fn run(data: &[u8]) {
    // One that remembers nothing: a replay would hide what was made of it.
    let encoded = URL_SAFE_NO_PAD.encode(data);
    let Ok(exchanged) = exchange().exchange(&encoded, now()) else { return };
    let part = exchanged.token.expose().split('.').nth(1).expect("three parts").to_owned();
    let claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON");
    let entity = entity_id();
    assert_eq!(claims["sub"], format!("{entity}#id-of-ada"));
    assert_eq!(claims["groups"], serde_json::json!(["staff"]));
}

fn now() -> Timestamp {
    "2026-11-27T20:53:00Z".parse().expect("a time")
}

fn entity_id() -> &'static str {
    "http://127.0.0.1:18777/metadata"
}

fn exchange() -> SamlExchange {
    static KEY: OnceLock<SecretToken> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let text = STANDARD.encode(key.as_ref());
        SecretToken::new(format!(
            "-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"
        ))
    });
    let text = format!(
        "entity_id = '{}'\ncertificate_files = ['{}']\naudience = 'https://gateway.example.com/saml'\n\
         recipient = 'https://gateway.example.com/saml/token'\n[attributes]\ngroups = 'groups'\n",
        entity_id(),
        crate::here().join("fixtures/saml-idp.pem").display()
    );
    let idp: IdpConfig = toml::from_str(&text).expect("a provider");
    let config = SamlConfig {
        issuer: "https://gateway.example.com".to_owned(),
        token_key: key.clone(),
        token_seconds: 600,
        idps: vec![idp],
    };
    SamlExchange::new(&config).expect("it is in order")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_taken() {
        let encoded = URL_SAFE_NO_PAD.encode(RESPONSE);
        assert!(exchange().exchange(&encoded, now()).is_ok());
    }
}
