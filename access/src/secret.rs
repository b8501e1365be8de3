//! A token that does not show itself.

use std::fmt;

use zeroize::Zeroizing;

/// A bearer token or a client's secret: wiped on drop, never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretToken(Zeroizing<String>);

impl SecretToken {
    /// Takes a secret.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The secret, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl SecretToken {
    /// For `serialize_with`, where a secret is kept on purpose: in a file of its owner, or sealed.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn exposed<S: serde::Serializer>(secret: &Self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose())
    }

    /// The same for one that may be absent.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn exposed_or_none<S: serde::Serializer>(
        secret: &Option<Self>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        serde::Serialize::serialize(&secret.as_ref().map(Self::expose), to)
    }
}

impl fmt::Debug for SecretToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretToken(redacted)")
    }
}

impl<'de> serde::Deserialize<'de> for SecretToken {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}
