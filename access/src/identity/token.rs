//! The compact form of a signed token, taken apart. Nothing here is verified yet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::failure::Reason;
use super::strict_json;

/// The most bytes of a `kid`.
const MAX_KEY_ID_BYTES: usize = 256;
/// The most bytes of an issuer that is repeated in an event.
const MAX_CLAIMED_ISSUER_BYTES: usize = 256;

/// Header parameters by which a token would choose its own key (RFC 7515 sections 4.1.2 to 4.1.6), or change what
/// is signed or how it is read (`crit`, `b64` of RFC 7797, `zip` and `enc` of RFC 7516).
const FORBIDDEN: [&str; 8] = ["jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"];

/// A JWS in compact form (RFC 7515 section 7.1), decoded.
pub(super) struct UnverifiedToken<'t> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signed: &'t str,
    signature: Vec<u8>,
}

impl<'t> UnverifiedToken<'t> {
    /// `max_bytes` is checked before anything is decoded.
    pub(super) fn parse(token: &'t str, max_bytes: usize) -> Result<Self, Reason> {
        let token = Self::decode(token, max_bytes)?;
        token.refuse_headers(FORBIDDEN)?;
        Ok(token)
    }

    /// A proof of possession, which names its own key (RFC 9449 section 4.2): whose it is, is compared.
    pub(super) fn parse_proof(proof: &'t str, max_bytes: usize) -> Result<Self, Reason> {
        let proof = Self::decode(proof, max_bytes)?;
        proof.refuse_headers(FORBIDDEN.into_iter().filter(|name| *name != "jwk"))?;
        Ok(proof)
    }

    fn decode(token: &'t str, max_bytes: usize) -> Result<Self, Reason> {
        if token.len() > max_bytes {
            return Err(Reason::TooLarge { max_bytes });
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Reason::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Reason::Malformed)?;
        // A fourth dot makes it a JWE or nothing: base64url below has no dot.
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Reason::Malformed);
        let object = |part: &str| strict_json::object(&decoded(part)?).ok_or(Reason::Malformed);
        Ok(Self {
            header: object(header)?,
            claims: object(claims)?,
            signed,
            signature: decoded(signature)?,
        })
    }

    /// `jwk`: the key that a proof says it is signed with.
    pub(super) fn own_key(&self) -> Option<&Value> {
        self.header.get("jwk")
    }

    /// `alg`, as text.
    pub(super) fn algorithm(&self) -> Option<&str> {
        self.header.get("alg").and_then(Value::as_str)
    }

    /// `typ`, lower case, without the `application/` that RFC 7515 section 4.1.9 lets be left out.
    pub(super) fn media_type(&self) -> Result<Option<String>, Reason> {
        match self.header.get("typ") {
            None => Ok(None),
            Some(Value::String(typ)) => {
                let typ = typ.to_ascii_lowercase();
                Ok(Some(typ.strip_prefix("application/").unwrap_or(&typ).to_owned()))
            }
            Some(_) => Err(Reason::WrongType),
        }
    }

    /// `kid`: printable ASCII of bounded length. It is compared with published ids and used for nothing else.
    pub(super) fn key_id(&self) -> Result<Option<&str>, Reason> {
        match self.header.get("kid") {
            None => Ok(None),
            Some(Value::String(kid))
                if (1..=MAX_KEY_ID_BYTES).contains(&kid.len())
                    && kid.bytes().all(|byte| byte.is_ascii_graphic()) =>
            {
                Ok(Some(kid))
            }
            Some(_) => Err(Reason::Malformed),
        }
    }

    /// `iss`, as text.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// `iss` where it is a plain issuer URL of bounded length: an event must not repeat whatever a stranger sends.
    pub(super) fn issuer_for_events(&self) -> Option<String> {
        let issuer = self.issuer().filter(|issuer| issuer.len() <= MAX_CLAIMED_ISSUER_BYTES)?;
        let url = url::Url::parse(issuer).ok()?;
        let plain = matches!(url.scheme(), "https" | "http")
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        plain.then(|| issuer.to_owned())
    }

    pub(super) const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// What the signature is over.
    pub(super) const fn signed_bytes(&self) -> &[u8] {
        self.signed.as_bytes()
    }

    pub(super) fn signature(&self) -> &Vec<u8> {
        &self.signature
    }

    fn refuse_headers(&self, names: impl IntoIterator<Item = &'static str>) -> Result<(), Reason> {
        match names.into_iter().find(|name| self.header.contains_key(*name)) {
            Some(name) => Err(Reason::ForbiddenHeader(name)),
            None => Ok(()),
        }
    }
}
