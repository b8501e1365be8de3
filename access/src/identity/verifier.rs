//! Checks a token against one issuer's settings and keys. No IO; the time is an argument.
//!
//! Follows RFC 7519 section 7.2, RFC 9068 section 4 and the practices of RFC 8725.

use jiff::Timestamp;
use serde_json::{Map, Value};
use tallyport_schemas::AuthMethod;

use super::Identity;
use super::algorithm::SigningAlgorithm;
use super::claims;
use super::failure::Reason;
use super::issuer::Issuer;
use super::key_set::KeySet;
use super::token::UnverifiedToken;

/// Claims that only ID tokens (OpenID Connect Core sections 2 and 3.3.2.11) and security events (RFC 8417) have.
const FOREIGN_CLAIMS: [&str; 5] = ["nonce", "at_hash", "c_hash", "s_hash", "events"];

/// A token whose header is acceptable to its issuer; its key is still to be found.
pub(super) struct Candidate<'a> {
    token: &'a UnverifiedToken<'a>,
    issuer: &'a Issuer,
    algorithm: SigningAlgorithm,
    key_id: Option<&'a str>,
}

impl<'a> Candidate<'a> {
    /// What can be told without a key: size, algorithm, type, form of the key id.
    pub(super) fn new(
        token: &'a UnverifiedToken<'a>,
        token_bytes: usize,
        issuer: &'a Issuer,
    ) -> Result<Self, Reason> {
        if token_bytes > issuer.max_token_bytes {
            return Err(Reason::TooLarge { max_bytes: issuer.max_token_bytes });
        }
        let algorithm = token
            .algorithm()
            .and_then(SigningAlgorithm::parse)
            .filter(|algorithm| issuer.algorithms.contains(algorithm))
            .ok_or(Reason::Algorithm)?;
        let media_type = token.media_type()?.unwrap_or_else(|| "jwt".to_owned());
        if !issuer.token_types.contains(&media_type) {
            return Err(Reason::WrongType);
        }
        Ok(Self { token, issuer, algorithm, key_id: token.key_id()? })
    }

    /// Whether `keys` hold the key that the token names.
    pub(super) fn knows_key(&self, keys: &KeySet) -> bool {
        keys.choose(self.key_id, self.algorithm).is_some()
    }

    /// Signature first, then the claims, so that what is said of a claim is said of the issuer's own words.
    pub(super) fn verify(&self, keys: &KeySet, now: Timestamp) -> Result<Identity, Reason> {
        let Proven { expires_at, token_id, key_id } = self.verify_signed(keys, now)?;
        let found = self.token.claims();
        if found.get("iss").and_then(Value::as_str) != Some(self.issuer.name.as_str()) {
            return Err(Reason::UnknownIssuer);
        }
        claims::check_required(found, self.issuer)?;
        Ok(Identity {
            method: AuthMethod::Oidc,
            principal: claims::principal(found, self.issuer)?,
            email: claims::email(found, self.issuer)?,
            delegation: claims::delegation(found)?,
            agent: claims::agent(found, self.issuer)?,
            scopes: claims::scopes(found)?,
            expires_at,
            token_id,
            key_id,
            binding: None,
        })
    }

    /// What holds for the tokens of issuers and of trust domains alike.
    pub(super) fn verify_signed(&self, keys: &KeySet, now: Timestamp) -> Result<Proven, Reason> {
        let key = keys.choose(self.key_id, self.algorithm).ok_or(Reason::UnknownKey)?;
        if !keys.verifies(key, self.token.signed_bytes(), self.token.signature()) {
            return Err(Reason::BadSignature);
        }
        let found = self.token.claims();
        refuse_foreign(found)?;
        check_audience(found, self.issuer)?;
        Ok(Proven {
            expires_at: check_times(found, self.issuer, now)?,
            token_id: claims::optional_text(found, "jti")?,
            key_id: self.key_id.map(str::to_owned),
        })
    }

    /// What the token is bound to, where it is to anything. A confirmation (RFC 7800) of another kind, or of two, is one that
    /// cannot be checked.
    pub(super) fn bound_to(&self) -> Result<Option<Bond<'a>>, Reason> {
        let Some(confirmation) = self.token.claims().get("cnf") else { return Ok(None) };
        let members = confirmation.as_object().filter(|members| members.len() == 1);
        let text = |name| members.and_then(|members| members.get(name)).and_then(Value::as_str);
        let bond = text("jkt").map(Bond::Key).or_else(|| text("x5t#S256").map(Bond::Certificate));
        bond.map(Some).ok_or(Reason::SenderConstrained)
    }
}

/// What a token is bound to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bond<'a> {
    /// The thumbprint (RFC 7638) of a key that signs proofs (RFC 9449 section 6.1).
    Key(&'a str),
    /// The thumbprint of a client's certificate (RFC 8705 section 3.1).
    Certificate(&'a str),
}

/// What a good signature and good times say.
#[derive(Debug)]
pub(super) struct Proven {
    pub(super) expires_at: Timestamp,
    pub(super) token_id: Option<String>,
    pub(super) key_id: Option<String>,
}

/// RFC 8725 section 2.8: tokens of one kind must not pass for another.
fn refuse_foreign(found: &Map<String, Value>) -> Result<(), Reason> {
    if FOREIGN_CLAIMS.iter().any(|name| found.contains_key(*name)) {
        return Err(Reason::WrongType);
    }
    Ok(())
}

/// RFC 7519 section 4.1.3: one text or an array of texts.
fn check_audience(found: &Map<String, Value>, issuer: &Issuer) -> Result<(), Reason> {
    let ours = |value: &Value| {
        value.as_str().is_some_and(|name| issuer.audiences.iter().any(|own| own == name))
    };
    let holds = match found.get("aud") {
        None => return Err(Reason::MissingClaim("aud".to_owned())),
        Some(Value::Array(items)) => items.iter().all(Value::is_string) && items.iter().any(ours),
        Some(one) => ours(one),
    };
    if holds { Ok(()) } else { Err(Reason::WrongAudience) }
}

/// `exp` is required, `nbf` and `iat` count where they stand. Returns when the token stops being taken.
fn check_times(
    found: &Map<String, Value>,
    issuer: &Issuer,
    now: Timestamp,
) -> Result<Timestamp, Reason> {
    let skew = issuer.clock_skew;
    let expires = time(found, "exp")?.ok_or_else(|| Reason::MissingClaim("exp".to_owned()))?;
    let too_far = |_| Reason::InvalidClaim("exp".to_owned());
    let end = expires.checked_add(skew).map_err(too_far)?;
    if now >= end {
        return Err(Reason::Expired);
    }
    let latest_start = now.checked_add(skew).map_err(too_far)?;
    let issued = time(found, "iat")?;
    let not_before = time(found, "nbf")?;
    if [issued, not_before].into_iter().flatten().any(|start| start > latest_start) {
        return Err(Reason::NotYetValid);
    }
    // Without `iat` its life is counted from now, so that leaving it out wins nothing.
    let life = expires.duration_since(issued.unwrap_or(now));
    if life > issuer.max_lifetime {
        return Err(Reason::LivesTooLong {
            max_seconds: issuer.max_lifetime.as_secs().unsigned_abs(),
        });
    }
    Ok(end)
}

/// RFC 7519 section 2, NumericDate: seconds since the epoch, with or without a fraction, which is dropped.
fn time(found: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, Reason> {
    let wrong = || Reason::InvalidClaim(name.to_owned());
    let Some(value) = found.get(name) else {
        return Ok(None);
    };
    let seconds = match value.as_i64() {
        Some(whole) => whole,
        None => whole_seconds(value.as_f64().ok_or_else(wrong)?).ok_or_else(wrong)?,
    };
    Timestamp::from_second(seconds).map(Some).map_err(|_| wrong())
}

/// Only what a timestamp can hold; beyond 2^53 a float has no exact seconds.
fn whole_seconds(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked to lie within the integers a float holds"
    )]
    let whole = value.floor() as i64;
    (value.is_finite() && value.abs() < LIMIT).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IssuerConfig;
    use serde_json::json;

    /// 2026-01-01T00:00:00Z.
    const NOW: i64 = 1_767_225_600;

    fn checked(claims: Value) -> Result<i64, Reason> {
        let issuer = Issuer::check(&IssuerConfig::new("https://id.example.com", vec!["a".into()]));
        let now = Timestamp::from_second(NOW).unwrap();
        check_times(claims.as_object().unwrap(), &issuer.unwrap(), now).map(|end| end.as_second())
    }

    #[test]
    fn a_token_is_taken_up_to_its_expiry_and_the_skew_and_not_a_second_longer() {
        assert_eq!(checked(json!({ "exp": NOW + 60 })), Ok(NOW + 90));
        assert_eq!(checked(json!({ "exp": NOW - 29 })), Ok(NOW + 1));
        assert_eq!(checked(json!({ "exp": NOW - 30 })), Err(Reason::Expired));
    }

    #[test]
    fn a_token_from_the_future_is_taken_within_the_skew_only() {
        for name in ["iat", "nbf"] {
            assert!(checked(json!({ "exp": NOW + 60, name: NOW + 30 })).is_ok());
            assert_eq!(
                checked(json!({ "exp": NOW + 60, name: NOW + 31 })),
                Err(Reason::NotYetValid)
            );
        }
    }

    #[test]
    fn the_longest_life_is_taken_and_a_second_more_is_not() {
        let day = 24 * 3600;
        assert!(checked(json!({ "iat": NOW, "exp": NOW + day })).is_ok());
        let longer = checked(json!({ "iat": NOW, "exp": NOW + day + 1 }));
        assert_eq!(longer, Err(Reason::LivesTooLong { max_seconds: 24 * 3600 }));
        assert!(
            checked(json!({ "exp": NOW + day + 1 })).is_err(),
            "without iat it counts from now"
        );
    }
}
