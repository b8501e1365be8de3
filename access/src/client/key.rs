//! A client's own private key, by which it proves to its issuer that it is itself: `private_key_jwt` of OpenID Connect Core section 9,
//! RFC 7523. No secret leaves the client; what is sent is good for a minute, once, at that issuer.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::client::TokenError;

/// How long an assertion is taken.
const LIFE_SECONDS: i64 = 60;

/// A client's private key.
pub struct ClientKey {
    key: EncodingKey,
    /// What it can sign by, what is preferred first.
    algorithms: &'static [Algorithm],
    id: Option<String>,
    audience: Option<String>,
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKey").field("id", &self.id).finish_non_exhaustive()
    }
}

type Parse = fn(&[u8]) -> jsonwebtoken::errors::Result<EncodingKey>;

/// The kinds of keys, each with what it signs by.
const KINDS: [(Parse, &[Algorithm]); 4] = [
    (EncodingKey::from_ec_pem, &[Algorithm::ES256]),
    (EncodingKey::from_ec_pem, &[Algorithm::ES384]),
    (EncodingKey::from_ed_pem, &[Algorithm::EdDSA]),
    (EncodingKey::from_rsa_pem, &[Algorithm::RS256, Algorithm::PS256]),
];

impl ClientKey {
    /// Reads it from a file in PEM.
    ///
    /// # Errors
    /// [`TokenError::Settings`] with the file's name.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let named = |reason: String| {
            TokenError::Settings(format!("client key file `{}`: {reason}", path.display()))
        };
        let pem =
            std::fs::read(path).map(Zeroizing::new).map_err(|error| named(error.to_string()))?;
        Self::from_pem(&pem).map_err(|error| match error {
            TokenError::Settings(reason) => named(reason),
            other => other,
        })
    }

    /// Reads it from PEM: PKCS#8 of P-256, P-384, Ed25519 or RSA, or PKCS#1.
    ///
    /// # Errors
    /// [`TokenError::Settings`] where it is none of these; nothing of it is in the error.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TokenError> {
        for (parse, algorithms) in KINDS {
            let Ok(key) = parse(pem) else { continue };
            let it = Self { key, algorithms, id: None, audience: None };
            // A curve is told from another by what the key signs.
            if algorithms.iter().all(|algorithm| it.sign(*algorithm, &json!({})).is_ok()) {
                return Ok(it);
            }
        }
        Err(TokenError::Settings(
            "the client's key is no private key in PEM (PKCS#8 of P-256, P-384, Ed25519 or RSA); make one with `openssl genpkey -algorithm EC \
             -pkeyopt ec_paramgen_curve:P-256`, turn another form into it with `openssl pkcs8 -topk8 -nocrypt`"
                .to_owned(),
        ))
    }

    /// The name that the issuer knows it by: `kid` of the key that is registered there.
    #[must_use]
    pub fn named(self, id: Option<String>) -> Self {
        Self { id, ..self }
    }

    /// Whom its assertions are for, where the issuer wants to see something else than its own name: some want their token endpoint.
    #[must_use]
    pub fn for_audience(self, audience: Option<String>) -> Self {
        Self { audience, ..self }
    }

    /// An assertion that this client asks (RFC 7523 section 3), by an algorithm that the issuer takes.
    pub(super) fn assert(
        &self,
        client_id: &str,
        issuer: &str,
        taken: &[String],
    ) -> Result<String, TokenError> {
        // Who does not say takes RS256 at least, and mostly others.
        let takes = |it: &&Algorithm| taken.is_empty() || taken.contains(&format!("{it:?}"));
        let Some(algorithm) = self.algorithms.iter().find(takes) else {
            return Err(TokenError::Settings(format!(
                "the issuer takes no signature of this kind of key ({:?}); it takes {}",
                self.algorithms,
                taken.join(", ")
            )));
        };
        let now = Timestamp::now().as_second();
        let claims = json!({
            "iss": client_id, "sub": client_id, "aud": self.audience.as_deref().unwrap_or(issuer),
            "jti": tallyport_schemas::EventId::new().to_string(), "iat": now, "exp": now + LIFE_SECONDS,
        });
        self.sign(*algorithm, &claims)
    }

    fn sign(&self, algorithm: Algorithm, claims: &Value) -> Result<String, TokenError> {
        let header = Header { kid: self.id.clone(), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, claims, &self.key)
            .map_err(|_| TokenError::Settings("the client's key does not sign".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    use super::*;

    const ISSUER: &str = "https://idp.example.com";

    fn part(assertion: &str, number: usize) -> Value {
        let part = assertion.split('.').nth(number).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn every_kind_of_key_signs_by_what_the_issuer_takes() {
        let rsa: Pkcs8V1Der<'_> = KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
        let rsa = STANDARD.encode(rsa.as_ref());
        let rsa = format!("-----BEGIN PRIVATE KEY-----\n{rsa}\n-----END PRIVATE KEY-----\n");
        let of = |algorithm| rcgen::KeyPair::generate_for(algorithm).unwrap().serialize_pem();
        for (pem, taken, signs) in [
            (of(&rcgen::PKCS_ECDSA_P256_SHA256), &[][..], "ES256"),
            (of(&rcgen::PKCS_ECDSA_P384_SHA384), &[][..], "ES384"),
            (of(&rcgen::PKCS_ED25519), &["RS256", "EdDSA"][..], "EdDSA"),
            (rsa.clone(), &[][..], "RS256"),
            (rsa, &["ES256", "PS256"][..], "PS256"),
        ] {
            let key = ClientKey::from_pem(pem.as_bytes()).unwrap().named(Some("k-1".to_owned()));
            let taken: Vec<String> = taken.iter().map(|it| (*it).to_owned()).collect();
            let it = key.assert("my-agent", ISSUER, &taken).unwrap();
            let header = part(&it, 0);
            assert_eq!((&header["alg"], &header["kid"]), (&json!(signs), &json!("k-1")));
            let told = key.assert("my-agent", ISSUER, &["HS256".to_owned()]).unwrap_err();
            assert!(told.to_string().contains("it takes HS256"), "{told}");
        }
    }

    #[test]
    fn an_assertion_is_for_one_issuer_and_one_use() {
        let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let key = ClientKey::from_pem(pem.as_bytes()).unwrap();
        let claims = |key: &ClientKey| part(&key.assert("my-agent", ISSUER, &[]).unwrap(), 1);
        let (one, other) = (claims(&key), claims(&key));
        assert_eq!((&one["iss"], &one["sub"]), (&json!("my-agent"), &json!("my-agent")));
        assert_eq!(one["aud"], ISSUER);
        assert_ne!(one["jti"], other["jti"]);
        assert_eq!(one["exp"].as_i64().unwrap() - one["iat"].as_i64().unwrap(), LIFE_SECONDS);
        let endpoint = "https://idp.example.com/token";
        assert_eq!(claims(&key.for_audience(Some(endpoint.to_owned())))["aud"], endpoint);
    }

    #[test]
    fn what_is_no_key_is_told_without_being_repeated() {
        for pem in
            ["", "hunter2", "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n"]
        {
            let told = ClientKey::from_pem(pem.as_bytes()).unwrap_err().to_string();
            assert!(told.contains("openssl genpkey") && !told.contains("hunter2"), "{told}");
        }
    }
}
