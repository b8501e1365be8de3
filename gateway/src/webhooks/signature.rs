//! Signatures of messages, out and in: Standard Webhooks 1.0, symmetric (`v1`, HMAC-SHA256 over `id.timestamp.body`).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::config::Secret;

/// The field with the message's id.
pub const ID: &str = "webhook-id";
/// The field with the time at which it was signed.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The field with the signatures.
pub const SIGNATURE: &str = "webhook-signature";

const PREFIX: &str = "whsec_";
const VERSION: &str = "v1";
/// Of a key, in bytes.
const SHORTEST_KEY: usize = 24;
const LONGEST_KEY: usize = 64;
/// Keys at a time: the one that is used, and those that it replaces.
const MAX_KEYS: usize = 4;
/// Signatures that are looked at.
const MAX_SIGNATURES: usize = 16;
const MAX_ID_BYTES: usize = 256;
/// How old or how far ahead a signature may be, in seconds.
const TOLERANCE_SECONDS: u64 = 5 * 60;

/// What signs.
#[derive(Debug)]
pub(crate) struct Keys(Vec<hmac::Key>);

/// A secret is no key. Carries nothing of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("write `whsec_` and base64, such as `printf whsec_; openssl rand -base64 32` prints")]
    Form,
    #[error("a key has 24 to 64 bytes; draw a new one with `openssl rand -base64 32`")]
    Length,
    #[error("it has no key, or more than {MAX_KEYS}: one per line, the newest first")]
    Count,
}

/// A message is not signed as it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    #[error("send {ID}, {TIMESTAMP} and {SIGNATURE}, each once (Standard Webhooks)")]
    Missing,
    #[error(
        "the timestamp is more than {TOLERANCE_SECONDS} s from now; sign each try anew, and check the clocks"
    )]
    Stale,
    #[error(
        "the signature is wrong, or there is no such webhook; sign `id.timestamp.body` with the secret of its answers"
    )]
    Wrong,
}

impl SignatureError {
    /// A stable code.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Missing => "no_signature",
            Self::Stale => "stale_signature",
            Self::Wrong => "bad_signature",
        }
    }
}

/// What a good signature covers, beside the body.
#[derive(Debug)]
pub(crate) struct Signed {
    /// Names the message; the same in each try.
    pub(crate) id: String,
}

impl Keys {
    /// With these nothing is signed.
    pub(crate) const fn of_nobody() -> Self {
        Self(Vec::new())
    }

    /// One key per line.
    pub(crate) fn parse(secret: &Secret) -> Result<Self, KeyError> {
        let lines = secret.expose().lines().map(str::trim).filter(|line| !line.is_empty());
        let keys = lines.map(key).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() || keys.len() > MAX_KEYS {
            return Err(KeyError::Count);
        }
        Ok(Self(keys))
    }

    /// The value of the field `webhook-signature`: one signature of each key.
    pub(crate) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let content = content(id, &timestamp.to_string(), body);
        let sign = |key| format!("{VERSION},{}", STANDARD.encode(hmac::sign(key, &content)));
        self.0.iter().map(sign).collect::<Vec<_>>().join(" ")
    }

    /// Checks a message that came in.
    pub(crate) fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Signed, SignatureError> {
        let Fields { id, timestamp, signatures } = Fields::of(headers, now)?;
        let content = content(id, timestamp, body);
        let sent = signatures.split(' ').take(MAX_SIGNATURES);
        let sent = sent.filter_map(|one| one.split_once(',')).filter(|one| one.0 == VERSION);
        let mut sent = sent.filter_map(|(_, tag)| STANDARD.decode(tag).ok());
        // The library compares in constant time.
        let is_good =
            |tag: &[u8]| self.0.iter().any(|key| hmac::verify(key, &content, tag).is_ok());
        if sent.any(|tag| is_good(&tag)) {
            Ok(Signed { id: id.to_owned() })
        } else {
            Err(SignatureError::Wrong)
        }
    }

    /// Whether what one signs the other takes.
    pub(super) fn share_a_key(&self, other: &Self) -> bool {
        let tag = |key| hmac::sign(key, b"same?");
        self.0.iter().any(|one| {
            other.0.iter().any(|other| hmac::verify(one, b"same?", tag(other).as_ref()).is_ok())
        })
    }
}

/// What a signed message has beside its body.
pub(crate) struct Fields<'h> {
    id: &'h str,
    timestamp: &'h str,
    signatures: &'h str,
}

impl<'h> Fields<'h> {
    /// Those of a message that could be signed, and of now: that takes no key.
    pub(crate) fn of(headers: &'h HeaderMap, now: Timestamp) -> Result<Self, SignatureError> {
        let (id, timestamp, signatures) =
            (only(headers, ID)?, only(headers, TIMESTAMP)?, only(headers, SIGNATURE)?);
        let is_id =
            !id.is_empty() && id.len() <= MAX_ID_BYTES && id.bytes().all(|b| b.is_ascii_graphic());
        // Digits alone: what is signed is the text.
        let digits = timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let at = timestamp.parse::<i64>().ok().filter(|_| digits && is_id);
        let at = at.ok_or(SignatureError::Missing)?;
        if now.as_second().abs_diff(at) > TOLERANCE_SECONDS {
            return Err(SignatureError::Stale);
        }
        Ok(Self { id, timestamp, signatures })
    }
}

fn key(line: &str) -> Result<hmac::Key, KeyError> {
    let encoded = line.strip_prefix(PREFIX).ok_or(KeyError::Form)?;
    let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| KeyError::Form)?);
    if !(SHORTEST_KEY..=LONGEST_KEY).contains(&bytes.len()) {
        return Err(KeyError::Length);
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn content(id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat()
}

/// The field's value, where it stands once.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, SignatureError> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().and_then(|value| value.to_str().ok());
    if values.next().is_some() {
        return Err(SignatureError::Missing);
    }
    value.ok_or(SignatureError::Missing)
}

#[cfg(test)]
mod tests;
