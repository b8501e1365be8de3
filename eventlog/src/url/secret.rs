//! Secrets of a log, and where they are.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;
use zeroize::Zeroizing;

/// Where a secret is found. The secret itself is read when it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In clear: for user names only.
    Text(String),
    /// In a file; one trailing line break is not part of it.
    File(PathBuf),
    /// In an environment variable.
    Env(String),
    /// With whoever made the options, as it is then.
    Held(HeldSecret),
}

/// What a log asks of its users, where it does not stand in the URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: Option<HeldSecret>,
    /// The user's password.
    pub password: Option<HeldSecret>,
}

/// A secret that may be another later. Clones are the same one; never shown, and wiped where it is replaced.
#[derive(Clone)]
pub struct HeldSecret(Arc<RwLock<Zeroizing<String>>>);

impl HeldSecret {
    /// As it is now.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(Arc::new(RwLock::new(Zeroizing::new(secret.to_owned()))))
    }

    /// As it is from now on. Whether it is another.
    pub fn set(&self, secret: &str) -> bool {
        let mut held = self.0.write();
        let changed = held.as_str() != secret;
        if changed {
            *held = Zeroizing::new(secret.to_owned());
        }
        changed
    }

    /// For the one place that uses it.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        self.0.read().clone()
    }
}

impl PartialEq for HeldSecret {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for HeldSecret {}

impl fmt::Debug for HeldSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldSecret(redacted)")
    }
}
