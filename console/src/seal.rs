//! What only this server can read or write: AES-256-GCM with a random nonce, bound to what it is for.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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

/// The key of cookies.
pub struct SealKey(RandomizedNonceKey);

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
        if secret.len() < MIN_SECRET_BYTES {
            return Err(ConsoleError::Key(
                "give at least 32 bytes of randomness, as `openssl rand -base64 48` prints",
            ));
        }
        let mut hash = Sha256::new();
        hash.update(DERIVATION);
        hash.update(secret.as_bytes());
        Self::of_bytes(&Zeroizing::new(hash.finalize().into()))
    }

    /// A key that ends with this process: who signed in then must do so again.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> Result<Self, ConsoleError> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        aws_lc_rs::rand::fill(&mut *bytes)
            .map_err(|_| ConsoleError::Key("the system gives no random bytes"))?;
        Self::of_bytes(&bytes)
    }

    fn of_bytes(bytes: &[u8; 32]) -> Result<Self, ConsoleError> {
        RandomizedNonceKey::new(&AES_256_GCM, bytes)
            .map(Self)
            .map_err(|_| ConsoleError::Key("it cannot be used"))
    }

    /// `None` where it cannot be sealed, which does not happen to what is within its bound.
    pub(crate) fn seal(&self, purpose: Purpose, value: &impl Serialize) -> Option<String> {
        let mut bytes = serde_json::to_vec(value).ok()?;
        let nonce = self.0.seal_in_place_append_tag(Aad::from(purpose.aad()), &mut bytes).ok()?;
        let whole = [nonce.as_ref().as_slice(), &bytes].concat();
        (whole.len() <= MAX_SEALED_BYTES).then(|| URL_SAFE_NO_PAD.encode(whole))
    }

    /// `None` for anything that this key did not seal for this purpose.
    pub(crate) fn open<T: DeserializeOwned>(&self, purpose: Purpose, sealed: &str) -> Option<T> {
        if sealed.len() > MAX_SEALED_BYTES * 2 {
            return None;
        }
        let whole = Zeroizing::new(URL_SAFE_NO_PAD.decode(sealed).ok()?);
        let (nonce, bytes) = whole.split_at_checked(NONCE_LEN)?;
        let mut bytes = Zeroizing::new(bytes.to_vec());
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.0.open_in_place(nonce, Aad::from(purpose.aad()), &mut bytes).ok()?;
        serde_json::from_slice(plain).ok()
    }
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
