//! The masking configuration: read once, checked, then immutable.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::Mask;
use super::secret::{RawSecret, SecretSource};

/// Which columns bear which label, and what their masks need.
#[derive(Clone, Debug, Default)]
pub struct Masking {
    version: String,
    columns: BTreeMap<ColumnName, String>,
    defaults: BTreeMap<String, Mask>,
    key: Option<HashKey>,
    key_source: Option<SecretSource>,
    fingerprint: [u8; 32],
    stored_order: StoredOrder,
}

/// Whether rows of a masked table may come in the order in which they are stored, which tells what was written last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredOrder {
    /// They may: what an ordinary client expects.
    #[default]
    Show,
    /// They come sorted by all their clear columns, or not at all.
    Hide,
}

/// A column as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ColumnName {
    pub(crate) schema: String,
    pub(crate) table: String,
    pub(crate) column: String,
}

/// The key of keyed hashes. Redacted in `Debug`, wiped when dropped.
#[derive(Clone)]
pub struct HashKey(Arc<Zeroizing<Vec<u8>>>);

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MaskingError {
    /// It is no TOML of the right shape.
    #[error("{file}: {message}")]
    Toml {
        /// The file.
        file: String,
        /// What is wrong and where.
        message: String,
    },
    /// A column's name is no `schema.table.column`.
    #[error(
        "{file}: [columns] \"{name}\" is no column; write \"schema.table.column\", with double quotes around a part that has a dot or capitals"
    )]
    Column {
        /// The file.
        file: String,
        /// What is written.
        name: String,
    },
    /// A label is empty or has characters that labels do not have.
    #[error(
        "{file}: [columns] \"{column}\" has the label \"{label}\"; a label is letters, digits, `.`, `_` and `-`"
    )]
    Label {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The label.
        label: String,
    },
    /// A label's default mask is none.
    #[error("{file}: [labels.\"{label}\"] mask: {source}")]
    Mask {
        /// The file.
        file: String,
        /// The label.
        label: String,
        /// What is wrong.
        source: super::ParseMaskError,
    },
    /// A default mask hashes and there is no key.
    #[error(
        "{file}: [labels.\"{label}\"] masks by hash, which needs hash_key = {{ env = \"...\" }}, {{ file = \"...\" }} or {{ command = [...] }}"
    )]
    NoKey {
        /// The file.
        file: String,
        /// The label.
        label: String,
    },
    /// The key cannot be read or used.
    #[error("{file}: hash_key: {message}")]
    Key {
        /// The file.
        file: String,
        /// What is wrong; never the key.
        message: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    hash_key: Option<RawSecret>,
    #[serde(default)]
    stored_order: StoredOrder,
    #[serde(default)]
    columns: BTreeMap<String, String>,
    #[serde(default)]
    labels: BTreeMap<String, RawLabel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLabel {
    mask: String,
}

impl HashKey {
    /// The shortest key accepted, in bytes.
    pub const MIN_BYTES: usize = 16;

    /// A key; None when it is shorter than [`Self::MIN_BYTES`].
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        let bytes = Zeroizing::new(bytes);
        (bytes.len() >= Self::MIN_BYTES).then(|| Self(Arc::new(bytes)))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(redacted)")
    }
}

impl Masking {
    /// Reads a configuration, and the key from where it says. `source` names the file in errors.
    ///
    /// # Errors
    /// When anything in it is not understood, or the key cannot be read.
    pub fn parse(text: &str, source: &str) -> Result<Self, MaskingError> {
        Self::parse_with(text, source, SecretSource::read)
    }

    /// As [`Self::parse`], with the secrets read by `read`, whose error says what is wrong and never the secret.
    ///
    /// # Errors
    /// When anything in it is not understood, or the key cannot be read.
    pub fn parse_with(
        text: &str,
        source: &str,
        read: impl FnOnce(&SecretSource) -> Result<Vec<u8>, String>,
    ) -> Result<Self, MaskingError> {
        let file = || source.to_owned();
        let raw: Raw = toml::from_str(text)
            .map_err(|error| MaskingError::Toml { file: file(), message: problem(text, &error) })?;
        let key_source = raw.hash_key.map(SecretSource::from);
        let key = key_source.as_ref().map(|source| key_from(source, read)).transpose();
        let key = key.map_err(|message| MaskingError::Key { file: file(), message })?;
        let mut columns = BTreeMap::new();
        for (name, label) in raw.columns {
            let column = ColumnName::parse(&name)
                .ok_or_else(|| MaskingError::Column { file: file(), name: name.clone() })?;
            if !is_label(&label) {
                return Err(MaskingError::Label { file: file(), column: name, label });
            }
            columns.insert(column, label);
        }
        let mut defaults = BTreeMap::new();
        for (label, RawLabel { mask }) in raw.labels {
            let mask: Mask = mask.parse().map_err(|error| MaskingError::Mask {
                file: file(),
                label: label.clone(),
                source: error,
            })?;
            if mask == Mask::Hash && key.is_none() {
                return Err(MaskingError::NoKey { file: file(), label });
            }
            defaults.insert(label, mask);
        }
        let version = hex::encode(Sha256::digest(text));
        let fingerprint = fingerprint(&version, key.as_ref());
        let stored_order = raw.stored_order;
        Ok(Self { version, columns, defaults, key, key_source, fingerprint, stored_order })
    }

    /// The same with another key of keyed hashes, such as one made for development.
    #[must_use]
    pub fn with_hash_key(self, key: HashKey) -> Self {
        let fingerprint = fingerprint(&self.version, Some(&key));
        Self { key: Some(key), fingerprint, ..self }
    }

    /// SHA-256 over the configuration's text, lower-case hexadecimal; empty when there is none.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What tells this configuration from any other, the key of keyed hashes included: in no event, since it says something of
    /// the key.
    #[must_use]
    pub const fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// Where the key of keyed hashes was read.
    #[must_use]
    pub const fn key_source(&self) -> Option<&SecretSource> {
        self.key_source.as_ref()
    }

    /// Whether a key of keyed hashes is there.
    #[must_use]
    pub const fn has_hash_key(&self) -> bool {
        self.key.is_some()
    }

    pub(crate) fn columns(&self) -> impl Iterator<Item = (&ColumnName, &str)> {
        self.columns.iter().map(|(column, label)| (column, label.as_str()))
    }

    /// The columns, as `schema.table.column`, that have a label here and none in `next`: what was hidden in them is not any more.
    #[must_use]
    pub fn unlabelled_in(&self, next: &Self) -> Vec<String> {
        let lost = self.columns.keys().filter(|column| !next.columns.contains_key(column));
        lost.map(|it| format!("{}.{}.{}", it.schema, it.table, it.column)).collect()
    }

    /// The mask of a label where policy names none: its own, that of the nearest label above it (`pii` above
    /// `pii.ssn`), else redaction.
    pub(crate) fn default_mask(&self, label: &str) -> Mask {
        let mut name = label;
        loop {
            if let Some(mask) = self.defaults.get(name) {
                return *mask;
            }
            let Some((above, _)) = name.rsplit_once('.') else { return Mask::Redact };
            name = above;
        }
    }

    pub(crate) const fn stored_order(&self) -> StoredOrder {
        self.stored_order
    }

    pub(crate) const fn key(&self) -> Option<&HashKey> {
        self.key.as_ref()
    }
}

impl ColumnName {
    /// `schema.table.column`, parts quoted as in SQL where they need it.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        loop {
            let (part, after) = take_part(rest)?;
            parts.push(part);
            match after.strip_prefix('.') {
                Some(next) => rest = next,
                None if after.is_empty() => break,
                None => return None,
            }
        }
        let [schema, table, column] = <[String; 3]>::try_from(parts).ok()?;
        Some(Self { schema, table, column })
    }

    pub(crate) fn display(&self) -> String {
        format!("{}.{}.{}", self.schema, self.table, self.column)
    }
}

fn take_part(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        let (part, after) = text.split_at_checked(end)?;
        let plain = !part.is_empty()
            && part
                .chars()
                .all(|c| c == '_' || c == '$' || (c.is_alphanumeric() && !c.is_uppercase()));
        return plain.then(|| (part.to_owned(), after));
    };
    let mut part = String::new();
    loop {
        let (head, tail) = rest.split_once('"')?;
        part.push_str(head);
        match tail.strip_prefix('"') {
            Some(again) => {
                part.push('"');
                rest = again;
            }
            None => return (!part.is_empty()).then_some((part, tail)),
        }
    }
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.split('.').all(|part| {
            !part.is_empty()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        })
}

/// What is wrong and where. Never the line itself, nor a value of it: either may be a key that was meant for a file.
fn problem(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let message = error.message();
    let message = if ["unknown field `", "missing field `"].iter().any(|s| message.starts_with(s)) {
        message.to_owned()
    } else {
        let (found, expected) = message.rsplit_once(", expected ").unwrap_or((message, ""));
        let found = found.split(['`', '"', '\'']).next().unwrap_or_default();
        let found = found.trim_end_matches([' ', ':', ',']);
        let of_secret = expected == "one of `env`, `file`, `command`";
        let secret = if of_secret { " in hash_key" } else { "" };
        if expected.is_empty() {
            found.to_owned()
        } else {
            format!("{found}, expected {expected}{secret}")
        }
    };
    format!("line {line}, column {column}: {message}")
}

fn fingerprint(version: &str, key: Option<&HashKey>) -> [u8; 32] {
    let mut digest = Sha256::new_with_prefix(version);
    if let Some(key) = key {
        digest.update([0]);
        digest.update(key.bytes());
    }
    digest.finalize().into()
}

fn key_from(
    source: &SecretSource,
    read: impl FnOnce(&SecretSource) -> Result<Vec<u8>, String>,
) -> Result<HashKey, String> {
    let mut bytes = read(source)?;
    while bytes.last().is_some_and(|last| matches!(last, b'\n' | b'\r')) {
        bytes.pop();
    }
    HashKey::new(bytes)
        .ok_or_else(|| format!("the key is shorter than {} bytes", HashKey::MIN_BYTES))
}

#[cfg(test)]
mod tests;
