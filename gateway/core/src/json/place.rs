//! A place in a document.

use std::str::FromStr;

/// A JSON pointer (RFC 6901) whose part `*` is every element or member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(Vec<String>);

/// A text names no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no place in a document; write a JSON pointer such as /rows/*/email")]
pub struct BadPlace(String);

impl FromStr for Place {
    type Err = BadPlace;

    fn from_str(text: &str) -> Result<Self, BadPlace> {
        let bad = || BadPlace(text.chars().take(64).collect());
        let parts = text.strip_prefix('/').ok_or_else(bad)?;
        Ok(Self(parts.split('/').map(|it| it.replace("~1", "/").replace("~0", "~")).collect()))
    }
}

impl Place {
    /// Its parts, from the outermost one on.
    pub(crate) fn parts(&self) -> &[String] {
        &self.0
    }
}
