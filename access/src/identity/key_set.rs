//! An issuer's published keys (RFC 7517), those of them that can verify what is allowed.

use std::fmt;
use std::num::NonZeroUsize;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::aws_lc;
use lru::LruCache;
use parking_lot::Mutex;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::algorithm::{KeyShape, SigningAlgorithm};
use crate::cache::at_most;
use crate::followed::Kind;

const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// The most keys of a set that are looked at.
const MAX_KEYS: usize = 64;

/// Signatures that were found good and are kept: an agent shows one token with each of its requests.
const KEPT_SIGNATURES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// Public signature keys of one issuer.
pub(super) struct KeySet {
    keys: Vec<PublicKey>,
    /// Of what was signed, by which key, how, and the signature: only what was good, and only as long as this set counts. What the
    /// token says, its times first, is looked at each time.
    good: Mutex<LruCache<[u8; 32], ()>>,
}

struct PublicKey {
    id: Option<String>,
    shape: KeyShape,
    /// The one algorithm the issuer says it is for.
    algorithm: Option<String>,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct RawKeySet {
    keys: Vec<serde_json::Value>,
}

/// Only the public members are read; a key that shows private ones is not taken.
#[derive(Deserialize)]
struct RawKey {
    kty: String,
    #[serde(rename = "use")]
    public_key_use: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<serde_json::Value>,
}

/// A document is no key set that could be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("it is not a JWK set (RFC 7517 section 5)")]
    NotASet,
    #[error("it holds no public signature key of kind RSA, P-256, P-384 or Ed25519")]
    Empty,
}

impl KeySet {
    /// As it is in a file.
    pub(super) const FILE: Kind<Self> = Kind {
        name: "the issuer's key set",
        max_bytes: MAX_FILE_BYTES,
        parse: |document| Self::parse(document).map_err(|error| error.to_string()),
    };

    /// Takes the usable keys. Unknown kinds, encryption keys and broken ones are passed over (RFC 7517 section 5).
    pub(super) fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        let raw: RawKeySet = serde_json::from_slice(document).map_err(|_| KeySetError::NotASet)?;
        Self::of(raw.keys)
    }

    /// The same of keys that were found elsewhere.
    pub(super) fn of(keys: Vec<serde_json::Value>) -> Result<Self, KeySetError> {
        let keys: Vec<PublicKey> = keys.into_iter().take(MAX_KEYS).filter_map(public_key).collect();
        if keys.is_empty() {
            return Err(KeySetError::Empty);
        }
        Ok(Self { keys, good: Mutex::new(at_most(KEPT_SIGNATURES)) })
    }

    /// The key that a token names, or, when it names none, the only one that its algorithm can use.
    pub(super) fn choose(
        &self,
        kid: Option<&str>,
        algorithm: SigningAlgorithm,
    ) -> Option<VerifyingKey<'_>> {
        let mut fitting = self.keys.iter().filter(|key| {
            key.shape == algorithm.key_shape()
                && key.algorithm.as_deref().is_none_or(|name| name == algorithm.name())
                && kid.is_none_or(|kid| key.id.as_deref() == Some(kid))
        });
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Some(VerifyingKey { key: &only.key, algorithm }),
            _ => None,
        }
    }

    /// Whether `signature` is that of a key of this set, which it [chose](Self::choose), over `message`.
    pub(super) fn verifies(
        &self,
        key: VerifyingKey<'_>,
        message: &[u8],
        signature: &Vec<u8>,
    ) -> bool {
        let place = self.keys.iter().position(|own| std::ptr::eq(&raw const own.key, key.key));
        let Some(place) = place else { return key.verifies(message, signature) };
        let mut hash = Sha256::new();
        hash.update([u8::try_from(place).unwrap_or(u8::MAX)]);
        hash.update(key.algorithm.name());
        // Neither can be taken for a part of the other.
        for part in [message, signature] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let id: [u8; 32] = hash.finalize().into();
        if self.good.lock().get(&id).is_some() {
            return true;
        }
        let good = key.verifies(message, signature);
        if good {
            self.good.lock().put(id, ());
        }
        good
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| (&key.id, key.shape))).finish()
    }
}

/// A key together with the one algorithm it is used with.
#[derive(Clone, Copy)]
pub(super) struct VerifyingKey<'k> {
    key: &'k DecodingKey,
    algorithm: SigningAlgorithm,
}

impl VerifyingKey<'_> {
    /// Whether `signature` is this key's over `message`.
    pub(super) fn verifies(&self, message: &[u8], signature: &Vec<u8>) -> bool {
        // The provider is named, not looked up: a process-wide default could be set by anybody.
        (aws_lc::DEFAULT_PROVIDER.verifier_factory)(&self.algorithm.library(), self.key)
            .is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }
}

/// A key that somebody names themselves, in a proof that they have it.
pub(super) struct JsonWebKey {
    shape: KeyShape,
    key: DecodingKey,
    thumbprint: String,
}

impl JsonWebKey {
    /// `None` where it is no public signature key of a kind that is taken.
    pub(super) fn parse(value: &serde_json::Value) -> Option<Self> {
        let PublicKey { shape, key, .. } = public_key(value.clone())?;
        Some(Self { shape, key, thumbprint: thumbprint(shape, value)? })
    }

    /// SHA-256 of it, in base64url (RFC 7638).
    pub(super) fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// It with an algorithm, where that is one for such keys.
    pub(super) fn verifying(&self, algorithm: SigningAlgorithm) -> Option<VerifyingKey<'_>> {
        (self.shape == algorithm.key_shape()).then_some(VerifyingKey { key: &self.key, algorithm })
    }
}

/// RFC 7638 section 3: the required members in the order of their names, without white space.
fn thumbprint(shape: KeyShape, key: &serde_json::Value) -> Option<String> {
    let names: &[&str] = match shape {
        KeyShape::Rsa => &["e", "kty", "n"],
        KeyShape::P256 | KeyShape::P384 => &["crv", "kty", "x", "y"],
        KeyShape::Ed25519 => &["crv", "kty", "x"],
    };
    let member = |name: &&str| Some(format!("\"{name}\":{}", key.get(*name)?));
    let members: Vec<String> = names.iter().map(member).collect::<Option<_>>()?;
    let text = format!("{{{}}}", members.join(","));
    Some(URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes())))
}

fn public_key(value: serde_json::Value) -> Option<PublicKey> {
    let raw: RawKey = serde_json::from_value(value).ok()?;
    let for_signatures = raw.public_key_use.as_deref().is_none_or(|for_what| for_what == "sig")
        && raw.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !for_signatures || raw.d.is_some() {
        return None;
    }
    let (shape, key) = match (raw.kty.as_str(), raw.crv.as_deref()) {
        ("RSA", None) => {
            (KeyShape::Rsa, DecodingKey::from_rsa_components(raw.n.as_deref()?, raw.e.as_deref()?))
        }
        ("EC", Some(curve)) => {
            let shape = match curve {
                "P-256" => KeyShape::P256,
                "P-384" => KeyShape::P384,
                _ => return None,
            };
            (shape, DecodingKey::from_ec_components(raw.x.as_deref()?, raw.y.as_deref()?))
        }
        ("OKP", Some("Ed25519")) => {
            (KeyShape::Ed25519, DecodingKey::from_ed_components(raw.x.as_deref()?))
        }
        _ => return None,
    };
    Some(PublicKey { id: raw.kid, shape, algorithm: raw.alg, key: key.ok()? })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// RFC 7638 section 3.1.
    #[test]
    fn the_thumbprint_is_that_of_the_standards_example() {
        let key = serde_json::json!({
            "kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCi\
                  FV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb\
                  9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1\
                  jF44-csFCur-kEgU8awapJzKnqDKgw",
        });
        let key = JsonWebKey::parse(&key).unwrap();
        assert_eq!(key.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    /// What was found good once vouches for exactly that, in this set alone.
    #[test]
    fn a_good_signature_vouches_for_no_other() {
        let pair = rcgen::KeyPair::generate().unwrap();
        let (x, y) = pair.public_key_raw()[1..].split_at(32);
        let text = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
        let jwk = json!({ "kty": "EC", "crv": "P-256", "kid": "k", "x": text(x), "y": text(y) });
        let key = jsonwebtoken::EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
        let token = jsonwebtoken::encode(&header, &json!({ "sub": "a" }), &key).unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let set = KeySet::of(vec![jwk]).unwrap();
        let algorithm = SigningAlgorithm::parse("ES256").unwrap();
        let verifies = |set: &KeySet, message: &str, signature: &Vec<u8>| {
            let key = set.choose(Some("k"), algorithm).unwrap();
            set.verifies(key, message.as_bytes(), signature)
        };
        let mut other = signature.clone();
        other[40] ^= 1;
        for _ in 0..2 {
            assert!(verifies(&set, message, &signature));
            assert!(!verifies(&set, message, &other));
            assert!(!verifies(&set, &message.replace('e', "f"), &signature));
        }
        assert_eq!(set.good.lock().len(), 1, "only what was good is kept");
        // The key was changed for another of the same name.
        let point = rcgen::KeyPair::generate().unwrap();
        let (x, y) = point.public_key_raw()[1..].split_at(32);
        let jwk = json!({ "kty": "EC", "crv": "P-256", "kid": "k", "x": text(x), "y": text(y) });
        assert!(!verifies(&KeySet::of(vec![jwk]).unwrap(), message, &signature));
    }
}
