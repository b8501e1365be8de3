//! Keys that follow each other: a new one is published before it signs, and the one before it counts for as long as what it
//! signed.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::{Map, Value};

use super::failure::Refused;
use super::idp::SamlConfigError;
use super::issue::TokenKey;
use crate::SecretToken;

/// How long a key is published before it signs: gateways behind one name read it one after the other, and whoever keeps the
/// published keys looks again meanwhile.
const PUBLISHED_BEFORE: SignedDuration = SignedDuration::from_secs(120);
/// How long a key is published beyond the last token that it signed.
const PUBLISHED_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// The keys of the tokens of one issuer.
#[derive(Debug)]
pub(crate) struct TokenKeys {
    life: SignedDuration,
    turns: Mutex<Turns>,
}

#[derive(Debug)]
struct Turns {
    signs: Arc<TokenKey>,
    /// And from when on it signs.
    next: Option<(Arc<TokenKey>, Timestamp)>,
    /// And until when each counts.
    former: Vec<(Arc<TokenKey>, Timestamp)>,
    published: Arc<Vec<Value>>,
}

impl TokenKeys {
    /// Tokens live for `life` at most.
    pub(super) fn new(pem: &SecretToken, life: SignedDuration) -> Result<Self, SamlConfigError> {
        let signs = Arc::new(TokenKey::parse(pem)?);
        let published = Arc::new(vec![signs.jwk().clone()]);
        let turns = Turns { signs, next: None, former: Vec::new(), published };
        Ok(Self { life, turns: Mutex::new(turns) })
    }

    /// Takes a key that is to sign from now on, or soon. Whether it is another than the last one.
    pub(super) fn renew(&self, pem: &SecretToken, now: Timestamp) -> Result<bool, SamlConfigError> {
        let key = Arc::new(TokenKey::parse(pem)?);
        let mut turns = self.turns_at(now);
        let last = turns.next.as_ref().map_or(&turns.signs, |(next, _)| next);
        if last.id() == key.id() {
            return Ok(false);
        }
        // One that was taken back before it signed anything here may have signed elsewhere.
        if let Some((taken_back, _)) = turns.next.take() {
            let until = counts_until(now, self.life);
            turns.former.push((taken_back, until));
        }
        if turns.signs.id() != key.id() {
            turns.next = Some((key, now.checked_add(PUBLISHED_BEFORE).unwrap_or(Timestamp::MAX)));
        }
        turns.publish();
        Ok(true)
    }

    /// Signs with the key whose turn it is.
    pub(super) fn sign(
        &self,
        claims: Map<String, Value>,
        now: Timestamp,
        ends: Timestamp,
    ) -> Result<SecretToken, Refused> {
        let key = Arc::clone(&self.turns_at(now).signs);
        key.sign(claims, now, ends)
    }

    /// The public keys (RFC 7517 section 5.1) by which tokens are checked now: the same ones are the same `Arc`.
    pub(crate) fn published(&self, now: Timestamp) -> Arc<Vec<Value>> {
        Arc::clone(&self.turns_at(now).published)
    }

    fn turns_at(&self, now: Timestamp) -> parking_lot::MutexGuard<'_, Turns> {
        let mut turns = self.turns.lock();
        turns.go_on(now, self.life);
        turns
    }
}

impl Turns {
    fn go_on(&mut self, now: Timestamp, life: SignedDuration) {
        let due = self.next.take_if(|(_, from)| *from <= now);
        let known = self.former.len();
        self.former.retain(|(_, until)| now < *until);
        let mut changed = self.former.len() != known;
        if let Some((next, _)) = due {
            let former = std::mem::replace(&mut self.signs, next);
            self.former.push((former, counts_until(now, life)));
            changed = true;
        }
        if changed {
            self.publish();
        }
    }

    fn publish(&mut self) {
        let next = self.next.iter().map(|(key, _)| key);
        let former = self.former.iter().map(|(key, _)| key);
        let mut keys: Vec<&Arc<TokenKey>> = Vec::new();
        for key in std::iter::once(&self.signs).chain(next).chain(former) {
            if !keys.iter().any(|known| known.id() == key.id()) {
                keys.push(key);
            }
        }
        self.published = Arc::new(keys.into_iter().map(|key| key.jwk().clone()).collect());
    }
}

/// Until when tokens count of a key that signs no more.
fn counts_until(now: Timestamp, life: SignedDuration) -> Timestamp {
    let counts = life.checked_add(PUBLISHED_AFTER).and_then(|for_| now.checked_add(for_).ok());
    counts.unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    const LIFE: SignedDuration = SignedDuration::from_secs(600);

    fn pem() -> SecretToken {
        SecretToken::new(rcgen::KeyPair::generate().unwrap().serialize_pem())
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn published(keys: &TokenKeys, seconds: i64) -> Vec<String> {
        let ids = |key: &Value| key["kid"].as_str().unwrap().to_owned();
        keys.published(at(seconds)).iter().map(ids).collect()
    }

    fn signs(keys: &TokenKeys, seconds: i64) -> String {
        let token = keys.sign(Map::new(), at(seconds), at(seconds + 600)).unwrap();
        let head = token.expose().split('.').next().unwrap().to_owned();
        let head: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).unwrap()).unwrap();
        head["kid"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_new_key_is_published_before_it_signs_and_an_old_one_while_its_tokens_live() {
        let (first, second) = (pem(), pem());
        let keys = TokenKeys::new(&first, LIFE).unwrap();
        let [old] = published(&keys, 0).try_into().unwrap();
        assert!(!keys.renew(&first, at(0)).unwrap(), "the same one");
        assert!(keys.renew(&second, at(0)).unwrap());
        assert!(!keys.renew(&second, at(1)).unwrap(), "known by now");
        let both = published(&keys, 1);
        assert_eq!((both.len(), &both[0]), (2, &old));
        let new = both[1].clone();
        assert_eq!(signs(&keys, 119), old);
        assert_eq!(signs(&keys, 120), new);
        assert_eq!(published(&keys, 120), [new.clone(), old.clone()]);
        assert_eq!(published(&keys, 120 + 659), [new.clone(), old]);
        assert_eq!(published(&keys, 120 + 660), [new], "nothing that it signed lives");
    }

    #[test]
    fn a_key_that_is_taken_back_signs_nothing_here_and_counts_where_another_gateway_signed() {
        let (first, second) = (pem(), pem());
        let keys = TokenKeys::new(&first, LIFE).unwrap();
        let old = published(&keys, 0);
        assert!(keys.renew(&SecretToken::new("no key"), at(0)).is_err());
        assert!(keys.renew(&second, at(0)).unwrap());
        assert!(keys.renew(&first, at(30)).unwrap());
        assert_eq!(published(&keys, 31).len(), 2);
        assert_eq!(vec![signs(&keys, 150)], old);
        assert_eq!(published(&keys, 30 + 660), old);
        // And back to one that counts no more, or still: it is published once.
        assert!(keys.renew(&second, at(700)).unwrap());
        assert_ne!(vec![signs(&keys, 820)], old);
        assert!(keys.renew(&first, at(830)).unwrap());
        assert_eq!(published(&keys, 831).len(), 2);
        assert_eq!(vec![signs(&keys, 950)], old);
    }

    #[test]
    fn keys_that_did_not_change_are_the_same_ones() {
        let keys = TokenKeys::new(&pem(), LIFE).unwrap();
        let first = keys.published(at(0));
        assert!(Arc::ptr_eq(&first, &keys.published(at(1))));
        assert!(keys.renew(&pem(), at(2)).unwrap());
        assert!(!Arc::ptr_eq(&first, &keys.published(at(2))));
    }
}
