//! Proofs of possession as a client makes them (RFC 9449 section 4): one key for the life of the process, kept in memory
//! alone.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::client::TokenError;

/// The algorithm of the key, as issuers name it.
pub(super) const ALGORITHM: &str = "ES256";
/// Bytes of a coordinate of P-256.
const COORDINATE_BYTES: usize = 32;

/// A key that tokens are bound to.
pub struct ProofKey {
    pair: EcdsaKeyPair,
    jwk: Value,
}

impl std::fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ProofKey(redacted)")
    }
}

impl ProofKey {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self, TokenError> {
        let failed = || TokenError::Settings("no key for proofs could be made".to_owned());
        let pair =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| failed())?;
        // RFC 5480 section 2.2: 4, then both coordinates.
        let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
        let (x, y) = point.split_at_checked(COORDINATE_BYTES).ok_or_else(failed)?;
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        });
        Ok(Self { pair, jwk })
    }

    /// A proof for one request: of an access token where it comes with one, with the server's nonce where it gave one.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn prove(
        &self,
        method: &str,
        uri: &str,
        token: Option<&str>,
        nonce: Option<&str>,
    ) -> Result<String, TokenError> {
        let header = json!({ "typ": "dpop+jwt", "alg": ALGORITHM, "jwk": self.jwk });
        let id = tallyport_schemas::EventId::new().to_string();
        let mut claims = json!({
            "jti": id, "htm": method, "htu": uri, "iat": Timestamp::now().as_second(),
        });
        if let Some(claims) = claims.as_object_mut() {
            let hash = |token: &str| URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes()));
            claims.extend(token.map(|token| ("ath".to_owned(), json!(hash(token)))));
            claims.extend(nonce.map(|nonce| ("nonce".to_owned(), json!(nonce))));
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature
            .map_err(|_| TokenError::Settings("a proof could not be signed".to_owned()))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}
