//! What only this server can read or write: AES-256-GCM with a random nonce, bound to what it is for.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::RwLock;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::config::ConsoleError;

/// The least of a configured secret that a key is made of.
const MIN_SECRET_BYTES: usize = 32;
/// Separates this use of a secret from every other.
const DERIVATION: &[u8] = b"tallyport console cookie key v1\n";
/// Nothing that was sealed is larger; a browser's cookies are not, either.
const MAX_SEALED_BYTES: usize = 32 * 1024;

/// The key of cookies, and the one before it. Clones are the same.
#[derive(Clone)]
pub struct SealKey(Arc<RwLock<Keys>>);

struct Keys {
    now: Key,
    /// What it sealed still opens: nobody is signed out because a key is changed.
    before: Option<Key>,
}

struct Key {
    bytes: Zeroizing<[u8; 32]>,
    key: RandomizedNonceKey,
}

/// What a sealed value is for: one kind never passes for another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// A sign-in that is under way.
    Pending,
    /// Who is signed in.
    Session,
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(redacted)")
    }
}

impl Purpose {
    const fn aad(self) -> &'static [u8] {
        match self {
            Self::Pending => b"tallyport pending v1",
            Self::Session => b"tallyport session v1",
        }
    }
}

impl SealKey {
    /// Of a configured secret, the same on every gateway behind one name.
    ///
    /// # Errors
    /// When it is too short to be one.
    pub fn of_secret(secret: &str) -> Result<Self, ConsoleError> {
        Key::new(derived(secret)?).map(Self::of)
    }

    /// Seals by another secret from now on; what the last one sealed opens until there is a third. Whether it is another.
    ///
    /// # Errors
    /// As [`Self::of_secret`]; nothing changes then.
    pub fn renew(&self, secret: &str) -> Result<bool, ConsoleError> {
        let bytes = derived(secret)?;
        let mut keys = self.0.write();
        if keys.now.bytes == bytes {
            return Ok(false);
        }
        let before = std::mem::replace(&mut keys.now, Key::new(bytes)?);
        keys.before = Some(before);
        Ok(true)
    }

    /// A key that ends with this process: who signed in then must do so again.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> Result<Self, ConsoleError> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        aws_lc_rs::rand::fill(&mut *bytes)
            .map_err(|_| ConsoleError::Key("the system gives no random bytes"))?;
        Key::new(bytes).map(Self::of)
    }

    fn of(now: Key) -> Self {
        Self(Arc::new(RwLock::new(Keys { now, before: None })))
    }

    /// `None` where it cannot be sealed, which does not happen to what is within its bound.
    pub(crate) fn seal(&self, purpose: Purpose, value: &impl Serialize) -> Option<String> {
        let mut bytes = serde_json::to_vec(value).ok()?;
        let aad = Aad::from(purpose.aad());
        let nonce = self.0.read().now.key.seal_in_place_append_tag(aad, &mut bytes).ok()?;
        let whole = [nonce.as_ref().as_slice(), &bytes].concat();
        (whole.len() <= MAX_SEALED_BYTES).then(|| URL_SAFE_NO_PAD.encode(whole))
    }

    /// `None` for anything that this key, or the one before it, did not seal for this purpose.
    pub(crate) fn open<T: DeserializeOwned>(&self, purpose: Purpose, sealed: &str) -> Option<T> {
        if sealed.len() > MAX_SEALED_BYTES * 2 {
            return None;
        }
        let whole = Zeroizing::new(URL_SAFE_NO_PAD.decode(sealed).ok()?);
        let keys = self.0.read();
        std::iter::once(&keys.now).chain(&keys.before).find_map(|key| key.open(purpose, &whole))
    }
}

impl Key {
    fn new(bytes: Zeroizing<[u8; 32]>) -> Result<Self, ConsoleError> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, &*bytes);
        let key = key.map_err(|_| ConsoleError::Key("it cannot be used"))?;
        Ok(Self { bytes, key })
    }

    fn open<T: DeserializeOwned>(&self, purpose: Purpose, whole: &[u8]) -> Option<T> {
        let (nonce, bytes) = whole.split_at_checked(NONCE_LEN)?;
        let mut bytes = Zeroizing::new(bytes.to_vec());
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.key.open_in_place(nonce, Aad::from(purpose.aad()), &mut bytes).ok()?;
        serde_json::from_slice(plain).ok()
    }
}

fn derived(secret: &str) -> Result<Zeroizing<[u8; 32]>, ConsoleError> {
    if secret.len() < MIN_SECRET_BYTES {
        return Err(ConsoleError::Key(
            "give at least 32 bytes of randomness, as `openssl rand -base64 48` prints",
        ));
    }
    let mut hash = Sha256::new();
    hash.update(DERIVATION);
    hash.update(secret.as_bytes());
    Ok(Zeroizing::new(hash.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn what_was_sealed_opens_for_its_purpose_and_with_its_key_alone() {
        let key = SealKey::of_secret(SECRET).unwrap();
        let sealed = key.seal(Purpose::Session, &"token").unwrap();
        assert_eq!(key.open::<String>(Purpose::Session, &sealed).as_deref(), Some("token"));
        let again = SealKey::of_secret(SECRET).unwrap();
        assert_eq!(again.open::<String>(Purpose::Session, &sealed).as_deref(), Some("token"));
        assert_eq!(key.open::<String>(Purpose::Pending, &sealed), None, "another purpose");
        let other = SealKey::random().unwrap();
        assert_eq!(other.open::<String>(Purpose::Session, &sealed), None, "another key");
    }

    #[test]
    fn what_the_key_before_sealed_opens_until_there_is_a_third() {
        let key = SealKey::of_secret(SECRET).unwrap();
        let held = key.clone();
        let first = key.seal(Purpose::Session, &"first").unwrap();
        assert!(!held.renew(SECRET).unwrap(), "the same one");
        assert!(held.renew("too short").is_err());
        assert!(held.renew(&SECRET.repeat(2)).unwrap());
        let second = key.seal(Purpose::Session, &"second").unwrap();
        let open = |sealed: &str| key.open::<String>(Purpose::Session, sealed);
        assert_eq!(
            (open(&first).as_deref(), open(&second).as_deref()),
            (Some("first"), Some("second"))
        );
        let old = SealKey::of_secret(SECRET).unwrap();
        assert_eq!(old.open::<String>(Purpose::Session, &second), None, "sealed by the new one");
        assert!(held.renew(&SECRET.repeat(3)).unwrap());
        assert_eq!((open(&first), open(&second).as_deref()), (None, Some("second")));
    }

    #[test]
    fn every_changed_character_is_found() {
        let key = SealKey::random().unwrap();
        let sealed = key.seal(Purpose::Session, &"token").unwrap();
        for place in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(key.open::<String>(Purpose::Session, &changed), None, "at {place}");
        }
        for bad in ["", "AAAA", "%%%", &sealed[1..]] {
            assert_eq!(key.open::<String>(Purpose::Session, bad), None);
        }
    }

    #[test]
    fn the_same_value_is_never_sealed_alike_and_a_short_secret_is_none() {
        let key = SealKey::of_secret(SECRET).unwrap();
        assert_ne!(key.seal(Purpose::Session, &1), key.seal(Purpose::Session, &1));
        assert!(SealKey::of_secret(&SECRET[1..]).is_err());
    }
}
