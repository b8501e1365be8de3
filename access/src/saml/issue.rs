//! The tokens that assertions are exchanged for: access tokens of RFC 9068, signed with a key of our own.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use x509_parser::pem::Pem;
use zeroize::Zeroizing;

use super::failure::Refused;
use super::idp::SamlConfigError;
use crate::SecretToken;

/// What a query service takes by default, and what fits into a header field.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Algorithms by which tokens may be signed.
pub(super) const ALGORITHMS: [&str; 2] = ["ES256", "EdDSA"];

/// Signs tokens. All gateways behind one name have the same.
pub(super) struct TokenKey {
    pair: Pair,
    id: String,
    /// The public key (RFC 7517).
    jwk: Value,
}

enum Pair {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl TokenKey {
    pub(super) fn parse(pem: &SecretToken) -> Result<Self, SamlConfigError> {
        let wrong = || {
            SamlConfigError::new(
                "token_key",
                "it is no private key in PKCS#8 (PEM) of P-256 or Ed25519; make one with `openssl genpkey -algorithm \
                 EC -pkeyopt ec_paramgen_curve:P-256`",
            )
        };
        let mut blocks = Pem::iter_from_buffer(pem.expose().as_bytes());
        let der = match (blocks.next(), blocks.next()) {
            (Some(Ok(block)), None) if block.label == "PRIVATE KEY" => {
                Zeroizing::new(block.contents)
            }
            _ => return Err(wrong()),
        };
        let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).map(Pair::P256);
        let pair = ec.or_else(|_| Ed25519KeyPair::from_pkcs8(&der).map(Pair::Ed25519));
        Self::of(pair.map_err(|_| wrong())?).ok_or_else(wrong)
    }

    fn of(pair: Pair) -> Option<Self> {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        // RFC 7638: the hash of the required members in lexical order, without spaces.
        let (members, mut jwk) = match &pair {
            Pair::P256(pair) => {
                // An uncompressed point (SEC 1 section 2.3.3): 4, then x and y of 32 bytes each.
                let point = pair.public_key().as_ref();
                let (x, y) = (part(point.get(1..33)?), part(point.get(33..65)?));
                (
                    format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#),
                    json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }),
                )
            }
            Pair::Ed25519(pair) => {
                let x = part(pair.public_key().as_ref());
                (
                    format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#),
                    json!({ "kty": "OKP", "crv": "Ed25519", "x": x }),
                )
            }
        };
        let id = part(&Sha256::digest(members));
        let algorithm = algorithm(&pair);
        let object = jwk.as_object_mut()?;
        for (name, value) in [("kid", id.as_str()), ("alg", algorithm), ("use", "sig")] {
            object.insert(name.to_owned(), json!(value));
        }
        Some(Self { pair, id, jwk })
    }

    /// Its thumbprint (RFC 7638).
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) const fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// Signs claims that are whole but for their times.
    pub(super) fn sign(
        &self,
        mut claims: Map<String, Value>,
        now: Timestamp,
        ends: Timestamp,
    ) -> Result<SecretToken, Refused> {
        claims.insert("iat".to_owned(), json!(now.as_second()));
        claims.insert("exp".to_owned(), json!(ends.as_second()));
        let header = json!({ "alg": algorithm(&self.pair), "typ": "at+jwt", "kid": self.id });
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let claims = serde_json::to_vec(&claims).map_err(|_| Refused::NotIssued)?;
        let signed = format!("{}.{}", part(header.to_string().as_bytes()), part(&claims));
        let signature = match &self.pair {
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), signed.as_bytes());
                part(signature.map_err(|_| Refused::NotIssued)?.as_ref())
            }
            Pair::Ed25519(pair) => part(pair.sign(signed.as_bytes()).as_ref()),
        };
        let token = SecretToken::new(format!("{signed}.{signature}"));
        if token.expose().len() > MAX_TOKEN_BYTES {
            return Err(Refused::TooLarge { max_bytes: MAX_TOKEN_BYTES });
        }
        Ok(token)
    }
}

const fn algorithm(pair: &Pair) -> &'static str {
    match pair {
        Pair::P256(_) => ALGORITHMS[0],
        Pair::Ed25519(_) => ALGORITHMS[1],
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").field("id", &self.id).finish_non_exhaustive()
    }
}
