//! What becomes of one value.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::HashKey;

/// How a value is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mask {
    /// `[redacted]`, whatever the value.
    Redact,
    /// `****` and a few characters of one end.
    Partial {
        /// Which end is shown.
        end: End,
        /// How many characters at most; never more than a third of the value.
        characters: u8,
    },
    /// A keyed hash: equal values of one label stay equal.
    Hash,
}

/// An end of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Its beginning.
    First,
    /// Its end.
    Last,
}

/// A text names no mask.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no mask; write redact, hash, partial:firstN or partial:lastN with N from 1 to {max}", max = Mask::MAX_CHARACTERS)]
pub struct ParseMaskError(String);

/// What is sent instead of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Masked {
    /// NULL: the type has no value that would say "masked".
    Null,
    /// These bytes, in the format that was asked for.
    Value(Vec<u8>),
}

/// The mask of one column, with what it needs.
#[derive(Clone, Debug)]
pub struct ColumnMask {
    mask: Mask,
    label: String,
    key: Option<HashKey>,
}

/// What stands for a redacted text.
const REDACTED: &str = "[redacted]";
/// What stands for the hidden part of a value, however long it is.
const HIDDEN: &str = "****";
/// At most one part in so many of a value is shown.
const SHOWN_FRACTION: usize = 3;
/// Length of a keyed hash, in bytes before hexadecimal.
const HASH_BYTES: usize = 16;

/// Types whose text and binary formats are both the characters themselves.
const TEXT_TYPES: &[u32] = &[TEXT, VARCHAR, BPCHAR, NAME, UNKNOWN];
const NAME: u32 = 19;
const TEXT: u32 = 25;
const JSON: u32 = 114;
const UNKNOWN: u32 = 705;
const BPCHAR: u32 = 1042;
const VARCHAR: u32 = 1043;
const JSONB: u32 = 3802;
/// First byte of a `jsonb` in binary format.
const JSONB_VERSION: u8 = 1;

impl Mask {
    /// The most characters that a partial mask may show.
    pub const MAX_CHARACTERS: u8 = 64;
}

impl FromStr for Mask {
    type Err = ParseMaskError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseMaskError(text.chars().take(64).collect());
        let partial = |end, digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let characters = digits.parse::<u8>().ok().filter(|_| plain).ok_or_else(error)?;
            let fits = (1..=Self::MAX_CHARACTERS).contains(&characters);
            if fits { Ok(Self::Partial { end, characters }) } else { Err(error()) }
        };
        match text {
            "redact" => Ok(Self::Redact),
            "hash" => Ok(Self::Hash),
            _ => {
                let shown = text.strip_prefix("partial:").ok_or_else(error)?;
                if let Some(digits) = shown.strip_prefix("last") {
                    partial(End::Last, digits)
                } else if let Some(digits) = shown.strip_prefix("first") {
                    partial(End::First, digits)
                } else {
                    Err(error())
                }
            }
        }
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redact => f.write_str("redact"),
            Self::Hash => f.write_str("hash"),
            Self::Partial { end: End::First, characters } => write!(f, "partial:first{characters}"),
            Self::Partial { end: End::Last, characters } => write!(f, "partial:last{characters}"),
        }
    }
}

impl ColumnMask {
    /// A mask for values that bear `label`. Without a key a hash cannot be made, and values are redacted instead.
    #[must_use]
    pub fn new(mask: Mask, label: impl Into<String>, key: Option<HashKey>) -> Self {
        let mask = if mask == Mask::Hash && key.is_none() { Mask::Redact } else { mask };
        Self { mask, label: label.into(), key }
    }

    /// How values are masked.
    #[must_use]
    pub const fn mask(&self) -> Mask {
        self.mask
    }

    /// The label that asks for it.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What is sent instead of `value`, which is not NULL (NULL stays NULL), of type `type_oid`, in `format` (0 text,
    /// 1 binary). Text types get a text, `json` and `jsonb` a JSON text when redacted; all else becomes NULL.
    #[must_use]
    pub fn apply(&self, value: &[u8], type_oid: u32, format: i16) -> Masked {
        if TEXT_TYPES.contains(&type_oid) {
            return self.text(value, type_oid);
        }
        match (self.mask, type_oid) {
            (Mask::Redact, JSON) => Masked::Value(json_text()),
            (Mask::Redact, JSONB) if format == 0 => Masked::Value(json_text()),
            (Mask::Redact, JSONB) => {
                let mut binary = vec![JSONB_VERSION];
                binary.extend(json_text());
                Masked::Value(binary)
            }
            _ => Masked::Null,
        }
    }

    fn text(&self, value: &[u8], type_oid: u32) -> Masked {
        // A CHAR(n) comes padded; the padding is none of its characters.
        let value = if type_oid == BPCHAR { value.trim_ascii_end() } else { value };
        match self.mask {
            Mask::Redact => Masked::Value(REDACTED.as_bytes().to_vec()),
            Mask::Partial { end, characters } => Masked::Value(partial(value, end, characters)),
            Mask::Hash => self.hash(value),
        }
    }

    fn hash(&self, value: &[u8]) -> Masked {
        let Some(key) = &self.key else { return Masked::Value(REDACTED.as_bytes().to_vec()) };
        // HMAC takes keys of any length; should it ever refuse one, nothing is shown.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.bytes()) else { return Masked::Null };
        mac.update(self.label.as_bytes());
        mac.update(&[0]);
        mac.update(value);
        let digest = mac.finalize().into_bytes();
        Masked::Value(hex::encode(digest.get(..HASH_BYTES).unwrap_or_default()).into_bytes())
    }
}

fn json_text() -> Vec<u8> {
    format!("\"{REDACTED}\"").into_bytes()
}

/// The hidden part has one length, so that the value's own is not told. What is not UTF-8 has no characters to count,
/// and is hidden whole, as is what is too short to show a third of.
fn partial(value: &[u8], end: End, characters: u8) -> Vec<u8> {
    let text = std::str::from_utf8(value).unwrap_or_default();
    let length = text.chars().count();
    let shown = usize::from(characters).min(length / SHOWN_FRACTION);
    match end {
        End::First => {
            let head: String = text.chars().take(shown).collect();
            format!("{head}{HIDDEN}").into_bytes()
        }
        End::Last => {
            let tail: String = text.chars().skip(length - shown).collect();
            format!("{HIDDEN}{tail}").into_bytes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mask(text: &str) -> ColumnMask {
        ColumnMask::new(text.parse().unwrap(), "pii.ssn", Some(HashKey::new(vec![7; 32]).unwrap()))
    }

    fn text(mask: &ColumnMask, value: &str) -> String {
        match mask.apply(value.as_bytes(), TEXT, 0) {
            Masked::Value(bytes) => String::from_utf8(bytes).unwrap(),
            Masked::Null => "NULL".to_owned(),
        }
    }

    #[test]
    fn masks_of_texts() {
        assert_eq!(text(&mask("redact"), "900-11-1001"), "[redacted]");
        assert_eq!(text(&mask("partial:last4"), "4111111111111111"), "****1111");
        assert_eq!(
            text(&mask("partial:last4"), "900-11-1001"),
            "****001",
            "a third of eleven is three"
        );
        assert_eq!(text(&mask("partial:first1"), "ada@example.com"), "a****");
        assert_eq!(text(&mask("partial:last4"), "ab"), "****");
        assert_eq!(text(&mask("partial:last4"), ""), "****");
        assert_eq!(text(&mask("partial:last2"), "äöüßéè"), "****éè");
        let hash = text(&mask("hash"), "900-11-1001");
        assert_eq!(hash.len(), 32);
        assert_eq!(hash, text(&mask("hash"), "900-11-1001"));
        assert_ne!(hash, text(&mask("hash"), "900-11-1002"));
    }

    #[test]
    fn a_hash_depends_on_label_and_key() {
        let key = |byte| Some(HashKey::new(vec![byte; 32]).unwrap());
        let hash =
            |label: &str, byte| ColumnMask::new(Mask::Hash, label, key(byte)).apply(b"x", TEXT, 0);
        assert_ne!(hash("a", 1), hash("b", 1));
        assert_ne!(hash("a", 1), hash("a", 2));
        assert_eq!(
            ColumnMask::new(Mask::Hash, "a", None).apply(b"x", TEXT, 0),
            Masked::Value(b"[redacted]".to_vec()),
            "no key, no hash"
        );
    }

    #[test]
    fn padding_of_char_n_is_no_content() {
        assert_eq!(mask("hash").apply(b"ab  ", BPCHAR, 0), mask("hash").apply(b"ab", TEXT, 0));
    }

    #[test]
    fn other_types_become_null() {
        const INT4: u32 = 23;
        for how in ["redact", "partial:last4", "hash"] {
            assert_eq!(mask(how).apply(b"42", INT4, 0), Masked::Null);
            assert_eq!(mask(how).apply(&[0, 0, 0, 42], INT4, 1), Masked::Null);
        }
        assert_eq!(mask("redact").apply(b"{}", JSON, 0), Masked::Value(b"\"[redacted]\"".to_vec()));
        assert_eq!(
            mask("redact").apply(b"\x01{}", JSONB, 1),
            Masked::Value(b"\x01\"[redacted]\"".to_vec())
        );
        assert_eq!(mask("partial:last4").apply(b"{\"a\":1}", JSONB, 0), Masked::Null);
    }

    #[test]
    fn names_of_masks() {
        for text in ["redact", "hash", "partial:last4", "partial:first64"] {
            assert_eq!(text.parse::<Mask>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "Redact",
            "partial",
            "partial:",
            "partial:last0",
            "partial:last65",
            "partial:last+4",
            "none",
        ] {
            assert!(text.parse::<Mask>().is_err(), "{text}");
        }
    }

    proptest! {
        /// Whatever the value, a partial mask shows at most a third of it and never tells its length beyond that.
        #[test]
        fn a_partial_mask_never_shows_more_than_a_third(value in "\\PC{0,80}", n in 1_u8..=64) {
            for end in [End::First, End::Last] {
                let out = String::from_utf8(partial(value.as_bytes(), end, n)).unwrap();
                let shown = out.chars().count() - HIDDEN.len();
                prop_assert!(shown * SHOWN_FRACTION <= value.chars().count());
                prop_assert!(shown <= usize::from(n));
            }
        }

        #[test]
        fn bytes_that_are_no_text_are_hidden_whole(mut value in proptest::collection::vec(any::<u8>(), 0..40)) {
            value.push(0xff);
            prop_assert_eq!(partial(&value, End::Last, 64), HIDDEN.as_bytes());
        }
    }
}
