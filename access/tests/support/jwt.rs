//! Makes tokens, good and bad, with keys of every kind.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};
use tallyport_access::{Authenticator, IssuerConfig};

pub const ISSUER: &str = "https://id.example.com";
pub const AUDIENCE: &str = "tallyport";

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key pair under a key id.
pub struct Key {
    pub id: String,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Key {
    pub fn rsa(id: &str) -> Self {
        Self { id: id.into(), pair: Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()) }
    }

    pub fn p256(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { id: id.into(), pair: Pair::P256(pair) }
    }

    pub fn p384(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        Self { id: id.into(), pair: Pair::P384(pair) }
    }

    pub fn ed(id: &str) -> Self {
        Self { id: id.into(), pair: Pair::Ed(Ed25519KeyPair::generate().unwrap()) }
    }

    pub fn alg(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::P384(_) => "ES384",
            Pair::Ed(_) => "EdDSA",
        }
    }

    /// The public key as an issuer publishes it.
    pub fn jwk(&self) -> Value {
        let point = |public: &[u8], size: usize| (b64(&public[1..=size]), b64(&public[size + 1..]));
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                let n = public.modulus().big_endian_without_leading_zero().to_vec();
                let e = public.exponent().big_endian_without_leading_zero().to_vec();
                json!({ "kty": "RSA", "n": b64(n), "e": b64(e) })
            }
            Pair::P256(pair) => {
                let (x, y) = point(pair.public_key().as_ref(), 32);
                json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y })
            }
            Pair::P384(pair) => {
                let (x, y) = point(pair.public_key().as_ref(), 48);
                json!({ "kty": "EC", "crv": "P-384", "x": x, "y": y })
            }
            Pair::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(pair.public_key().as_ref()) })
            }
        };
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }

    /// The public key as bytes, as an attacker would feed it to HMAC.
    pub fn public_bytes(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::P256(pair) | Pair::P384(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    pub fn sign_bytes(&self, message: &[u8], pss: bool) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let how: &'static dyn aws_lc_rs::signature::RsaEncoding =
                    if pss { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                pair.sign(how, &random, message, &mut signature).unwrap();
                signature
            }
            Pair::P256(pair) | Pair::P384(pair) => {
                pair.sign(&random, message).unwrap().as_ref().to_vec()
            }
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A good header for this key.
    pub fn header(&self) -> Value {
        json!({ "alg": self.alg(), "typ": "at+jwt", "kid": self.id })
    }

    /// A signed token with exactly this header and these claims.
    pub fn token(&self, header: &Value, claims: &Value) -> String {
        self.token_of_bytes(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// A signed token of raw bytes, for JSON that no library would write.
    pub fn token_of_bytes(&self, header: &[u8], claims: &[u8]) -> String {
        let signed = format!("{}.{}", b64(header), b64(claims));
        let pss = String::from_utf8_lossy(header).contains("PS256");
        format!("{signed}.{}", b64(self.sign_bytes(signed.as_bytes(), pss)))
    }

    /// A good token but for these claims; `null` removes one.
    pub fn good_but(&self, changes: Value) -> String {
        self.token(&self.header(), &claims_but(changes))
    }
}

pub fn now() -> i64 {
    Timestamp::now().as_second()
}

/// Good claims but for these; `null` removes one.
pub fn claims_but(changes: Value) -> Value {
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "support-agent", "client_id": "support-agent",
        "iat": now(), "exp": now() + 300, "jti": "t-1", "groups": ["support-agents"],
    });
    changed(claims, changes)
}

/// An object with these members in the place of its own; `null` removes one.
pub fn changed(mut object: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(name);
        } else {
            object[name] = value.clone();
        }
    }
    object
}

/// An HMAC signature, as in the algorithm-confusion attack.
pub fn hs256(secret: &[u8], header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    format!("{signed}.{}", b64(hmac::sign(&key, signed.as_bytes()).as_ref()))
}

/// An issuer with these keys in a file, trusted with `change`s.
pub fn trusting(keys: &[&Key], change: impl FnOnce(&mut IssuerConfig)) -> Authenticator {
    let mut config = IssuerConfig::new(ISSUER, vec![AUDIENCE.to_owned()]);
    change(&mut config);
    trusting_as(keys, config)
}

/// An issuer with these keys in a file, trusted as configured.
pub fn trusting_as(keys: &[&Key], mut config: IssuerConfig) -> Authenticator {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    let jwks = json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() });
    std::fs::write(&path, jwks.to_string()).unwrap();
    config.jwks_file = Some(path);
    Authenticator::new(vec![config]).unwrap()
}

/// The code with which a token is refused; `ok` when it is taken.
pub async fn outcome(authenticator: &Authenticator, token: &str) -> &'static str {
    match authenticator.verify(token).await {
        Ok(_) => "ok",
        Err(failure) => {
            let shown = format!("{failure} {failure:?}");
            for part in token.split('.').filter(|part| part.len() > 20) {
                assert!(!shown.contains(part), "a part of the token is shown: {shown}");
            }
            failure.code()
        }
    }
}
