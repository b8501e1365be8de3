//! Proofs of possession (RFC 9449): a token that is bound to a key counts only with a fresh signature of that key over this
//! very request. No IO; the time is an argument.

use std::collections::{HashMap, HashSet};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use url::{Host, Url};

use super::algorithm::SigningAlgorithm;
use super::failure::Reason;
use super::key_set::JsonWebKey;
use super::token::UnverifiedToken;

/// The largest proof.
const MAX_PROOF_BYTES: usize = 8 * 1024;
/// How long a nonce is taken. Proofs that were used are remembered for as long.
const NONCE_SECONDS: i64 = 300;
/// How far a proof's `iat` may be from our clock; the nonce already says that it is fresh.
const MAX_SKEW_SECONDS: i64 = 300;
/// The longest `jti`.
const MAX_ID_BYTES: usize = 256;
/// Proofs that are remembered in one life of a nonce: of one key, so that none takes the places of all others, and of all.
/// Beyond, nobody is let in by a proof until some are forgotten.
const MAX_REMEMBERED_OF_ONE: u32 = 16_384;
const MAX_REMEMBERED: usize = 262_144;
/// Bytes of a nonce's time and of what shows that it is ours.
const TIME_BYTES: usize = 8;
const TAG_BYTES: usize = 16;

/// What a request is, as its proof must say.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `htm`.
    pub method: &'a str,
    /// The path of `htu`.
    pub path: &'a str,
}

/// Checks proofs of one service, whose nonces it gives out: a proof that was made for another is of no use here.
pub struct ProofVerifier {
    /// Lower case, as its certificate has them; `*.` stands for one label.
    names: Vec<String>,
    key: hmac::Key,
    /// Nonces count from here, on a clock that is never set: the wall clock could make old ones fresh again.
    began: Instant,
    used: Mutex<Used>,
}

/// What was used in this life of a nonce and in the one before.
#[derive(Default)]
struct Used {
    since: i64,
    now: HashSet<[u8; 16]>,
    before: HashSet<[u8; 16]>,
    /// Of each key, in this life.
    counts: HashMap<[u8; 16], u32>,
}

impl std::fmt::Debug for ProofVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProofVerifier").field("names", &self.names).finish_non_exhaustive()
    }
}

impl ProofVerifier {
    /// What a proof may be signed with, as a challenge says it (RFC 9449 section 7.1).
    pub const ALGORITHMS: &str = "ES256 ES384 EdDSA RS256 RS384 RS512 PS256 PS384 PS512";

    /// `names`: the hosts that this service is known by; a proof for another one is not taken.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(names: &[String]) -> Result<Self, NoRandomness> {
        let mut bytes = [0_u8; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
        Ok(Self::with_key(names, &bytes))
    }

    /// Its nonces are made with `key`.
    pub(super) fn with_key(names: &[String], key: &[u8; 32]) -> Self {
        Self {
            names: names.iter().map(|name| name.to_ascii_lowercase()).collect(),
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            began: Instant::now(),
            used: Mutex::default(),
        }
    }

    /// A nonce for the next proof (RFC 9449 section 8).
    #[must_use]
    pub fn nonce(&self) -> String {
        self.nonce_of(self.age())
    }

    /// Seconds since it began.
    fn age(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_secs()).unwrap_or(i64::MAX)
    }

    fn nonce_of(&self, age: i64) -> String {
        let time = age.to_be_bytes();
        let tag = hmac::sign(&self.key, &time);
        let tag = tag.as_ref().get(..TAG_BYTES).unwrap_or_default();
        URL_SAFE_NO_PAD.encode([time.as_slice(), tag].concat())
    }

    /// Checks a proof (RFC 9449 section 4.3) for a token that is bound to the key of this thumbprint. Where it holds, it is
    /// used up.
    pub(super) fn check(
        &self,
        proof: &str,
        thumbprint: &str,
        token: &str,
        asked: Asked<'_>,
        now: Timestamp,
    ) -> Result<(), Reason> {
        let signed = Signed::read(proof)?;
        if signed.thumbprint != thumbprint {
            return Err(Reason::Proof("its key is not the one that the token is bound to"));
        }
        self.check_claims(signed.token.claims(), token, asked, now)?;
        self.use_up(signed.token.claims(), thumbprint)
    }

    fn check_claims(
        &self,
        claims: &Map<String, Value>,
        token: &str,
        asked: Asked<'_>,
        now: Timestamp,
    ) -> Result<(), Reason> {
        let wrong = |what| Reason::Proof(what);
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if text("htm") != Some(asked.method) {
            return Err(wrong("it is for another method (htm)"));
        }
        if !text("htu").is_some_and(|uri| self.is_ours(uri, asked.path)) {
            return Err(wrong(
                "it is for another URI, or for a host that is not of this gateway's certificate (htu)",
            ));
        }
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(token.as_bytes()));
        if text("ath") != Some(hash.as_str()) {
            return Err(wrong("it is for another token (ath)"));
        }
        // The nonce before the clock: whoever has a fresh one learns no more from a wrong `iat`.
        match text("nonce") {
            Some(nonce) if self.is_fresh(nonce, self.age()) => {}
            _ => return Err(Reason::ProofNonce),
        }
        let issued = claims.get("iat").and_then(Value::as_i64);
        let age = issued.and_then(|at| now.as_second().checked_sub(at));
        if !age.is_some_and(|age| (-MAX_SKEW_SECONDS..=MAX_SKEW_SECONDS).contains(&age)) {
            return Err(wrong("it was not made now (iat): check the clock"));
        }
        Ok(())
    }

    /// Scheme, host and path; the port is not looked at, since gateways stand behind forwarded ones. Without query and
    /// fragment (section 4.3, point 9), which are none of a CONNECT's.
    fn is_ours(&self, uri: &str, path: &str) -> bool {
        let Ok(uri) = Url::parse(uri) else { return false };
        let host = match uri.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            None => return false,
        };
        let is_name = |name: &String| match name.strip_prefix("*.") {
            None => *name == host,
            Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
        };
        uri.scheme() == "https" && uri.path() == path && self.names.iter().any(is_name)
    }

    fn is_fresh(&self, nonce: &str, now: i64) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(nonce) else { return false };
        let Some((time, tag)) = bytes.split_at_checked(TIME_BYTES) else { return false };
        let expected = hmac::sign(&self.key, time);
        let expected = expected.as_ref().get(..TAG_BYTES).unwrap_or_default();
        let ours = aws_lc_rs::constant_time::verify_slices_are_equal(tag, expected).is_ok();
        let Ok(time) = <[u8; TIME_BYTES]>::try_from(time) else { return false };
        let age = now.saturating_sub(i64::from_be_bytes(time));
        ours && (0..=NONCE_SECONDS).contains(&age)
    }

    /// A proof is for one request (section 11.1). Last, so that nothing is remembered of what is not taken anyway.
    fn use_up(&self, claims: &Map<String, Value>, thumbprint: &str) -> Result<(), Reason> {
        let id = claims.get("jti").and_then(Value::as_str);
        let id = id.filter(|id| (1..=MAX_ID_BYTES).contains(&id.len()));
        let id = id.ok_or(Reason::Proof("it has no jti of 1 to 256 bytes"))?;
        let mut used = self.used.lock();
        // Under the lock: whoever comes later has a later time.
        used.turn(self.age());
        used.remember(
            short_hash(&[thumbprint.as_bytes()]),
            short_hash(&[thumbprint.as_bytes(), id.as_bytes()]),
        )
    }
}

fn short_hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let hash: [u8; 32] = hash.finalize().into();
    let mut short = [0_u8; 16];
    short.copy_from_slice(hash.split_at(16).0);
    short
}

/// A proof whose signature is that of the key in it.
struct Signed<'p> {
    token: UnverifiedToken<'p>,
    thumbprint: String,
}

impl<'p> Signed<'p> {
    fn read(proof: &'p str) -> Result<Self, Reason> {
        let wrong = |what| Reason::Proof(what);
        if proof.is_empty() {
            return Err(wrong("it is missing: send one DPoP field"));
        }
        let token = UnverifiedToken::parse_proof(proof, MAX_PROOF_BYTES)
            .map_err(|_| wrong("it is not a JWT of that kind (section 4.2)"))?;
        if token.media_type().ok().flatten().as_deref() != Some("dpop+jwt") {
            return Err(wrong("its typ is not dpop+jwt"));
        }
        let algorithm = token.algorithm().and_then(SigningAlgorithm::parse);
        let algorithm = algorithm.ok_or_else(|| wrong("its algorithm is not an asymmetric one"))?;
        let key = token.own_key().and_then(JsonWebKey::parse);
        let key = key
            .ok_or_else(|| wrong("its jwk is not a public key of RSA, P-256, P-384 or Ed25519"))?;
        let verifying = key.verifying(algorithm);
        let verifying = verifying.ok_or_else(|| wrong("its algorithm is not for its key"))?;
        if !verifying.verifies(token.signed_bytes(), token.signature()) {
            return Err(wrong("its signature is wrong"));
        }
        let thumbprint = key.thumbprint().to_owned();
        Ok(Self { token, thumbprint })
    }
}

/// The key that a token is to be bound to, for the development issuer: as good as a proof without a nonce is.
#[cfg(feature = "dev-issuer")]
pub(crate) fn key_to_bind(proof: &str, uri: &str) -> Option<String> {
    let signed = Signed::read(proof).ok()?;
    let text = |name: &str| signed.token.claims().get(name).and_then(Value::as_str);
    (text("htm") == Some("POST") && text("htu") == Some(uri)).then_some(signed.thumbprint)
}

impl Used {
    fn remember(&mut self, key: [u8; 16], proof: [u8; 16]) -> Result<(), Reason> {
        if self.before.contains(&proof) || self.now.contains(&proof) {
            return Err(Reason::Proof("it was used before (jti)"));
        }
        let count = self.counts.get(&key).copied().unwrap_or_default();
        if count >= MAX_REMEMBERED_OF_ONE || self.now.len() >= MAX_REMEMBERED {
            return Err(Reason::ProofsFull);
        }
        self.counts.insert(key, count + 1);
        self.now.insert(proof);
        Ok(())
    }

    /// Forgets what no fresh nonce can be in any more.
    fn turn(&mut self, now: i64) {
        let age = now.saturating_sub(self.since);
        // Time that goes back turns nothing: what was used stays so.
        if age <= NONCE_SECONDS {
            return;
        }
        self.counts.clear();
        let last = std::mem::take(&mut self.now);
        self.before = if age <= 2 * NONCE_SECONDS { last } else { HashSet::new() };
        self.since = now;
    }
}

/// The system gives no random bytes.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness;

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: [u8; 16] = [1; 16];

    #[test]
    fn what_a_challenge_says_is_what_is_taken() {
        let mut said: Vec<&str> = ProofVerifier::ALGORITHMS.split(' ').collect();
        let mut taken: Vec<&str> = SigningAlgorithm::NAMES.split(", ").collect();
        said.sort_unstable();
        taken.sort_unstable();
        assert_eq!(said, taken);
    }

    fn knows(used: &Used) -> bool {
        used.now.contains(&ONE) || used.before.contains(&ONE)
    }

    #[test]
    fn what_was_used_is_known_for_as_long_as_a_nonce_lives_whatever_the_order() {
        let mut used = Used::default();
        used.turn(1_000);
        used.turn(1_295);
        used.now.insert(ONE);
        // The one that is later came first.
        used.turn(1_301);
        used.turn(1_300);
        used.turn(1_299);
        assert!(knows(&used));
        used.turn(1_301 + NONCE_SECONDS);
        assert!(knows(&used), "its nonce could be of 1,295");
        used.turn(1_302 + NONCE_SECONDS);
        assert!(!knows(&used), "no nonce of then is fresh");
    }

    #[test]
    fn one_key_does_not_take_the_places_of_others_and_all_are_bounded() {
        let mut used = Used::default();
        let mut next = 0_u64;
        let mut remember = |used: &mut Used, key: u8| {
            next += 1;
            used.remember([key; 16], short_hash(&[&next.to_be_bytes()]))
        };
        for _ in 0..MAX_REMEMBERED_OF_ONE {
            assert_eq!(remember(&mut used, 0), Ok(()));
        }
        assert_eq!(remember(&mut used, 0), Err(Reason::ProofsFull));
        for key in 1..16 {
            for _ in 0..MAX_REMEMBERED_OF_ONE {
                assert_eq!(remember(&mut used, key), Ok(()));
            }
        }
        assert_eq!(used.now.len(), MAX_REMEMBERED);
        assert_eq!(remember(&mut used, 99), Err(Reason::ProofsFull));
        used.turn(NONCE_SECONDS + 1);
        assert_eq!(remember(&mut used, 0), Ok(()), "with the next life of a nonce");
    }

    #[test]
    fn a_nonce_is_fresh_for_five_minutes() {
        let verifier = ProofVerifier::new(&[]).unwrap();
        let nonce = verifier.nonce_of(400);
        for (now, fresh) in [(399, false), (400, true), (700, true), (701, false)] {
            assert_eq!(verifier.is_fresh(&nonce, now), fresh, "{now}");
        }
    }
}
