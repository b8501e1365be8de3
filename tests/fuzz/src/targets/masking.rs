//! The masking configuration, and masks on values.

use gateway_core::masking::{ColumnMask, HashKey, Mask, Masked, Masking};

use crate::Source;

/// Keys, labels and masks.
pub const WORDS: &[&[u8]] = &[
    b"[columns]\n",
    b"\"app.customers.ssn\" = \"secret\"\n",
    b"[labels.\"secret\"]\n",
    b"mask = \"hash\"\n",
    b"mask = \"partial:last4\"\n",
    b"hash_key = { env = \"K\" }\n",
    b"stored_order = \"hide\"\n",
    b"\\\"",
    b"\xc3\xa9",
    b"\xf0\x9f\x98\x80",
    b"partial:first64",
    b"partial:last1",
];

/// Configurations (`C`) and values (`V`).
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let config = |text: &str| format!("C{text}").into_bytes();
    let value = |mask: u8, oid: u16, format: u8, value: &str| {
        [&[b'V', mask][..], &oid.to_be_bytes(), &[format], value.as_bytes()].concat()
    };
    vec![
        config(include_str!("../../../../deploy/examples/masking.toml")),
        config(include_str!("../../../fixtures/masking/hostile.toml")),
        config(
            "hash_key = { env = \"K\" }\n[columns]\n\"a.\\\"B.c\\\".d\" = \"x.y\"\n[labels.\"x\"]\nmask = \"hash\"\n",
        ),
        value(0, 25, 0, "123-45-6789"),
        value(1, 25, 0, "123-45-6789"),
        value(2, 1043, 1, "Grüße aus Köln"),
        value(3, 1042, 0, "padded    "),
        value(0, 3802, 1, "\u{1}{\"a\":1}"),
        value(1, 23, 1, "\0\0\0\u{7}"),
    ]
}

/// A configuration reads the same twice; a mask shows no more than a third, whatever it is put on.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    if source.u8() == b'V' {
        return mask(source);
    }
    let Ok(text) = std::str::from_utf8(source.rest()) else { return };
    if let Ok(mask) = text.parse::<Mask>() {
        assert_eq!(mask.to_string().parse(), Ok(mask), "a mask is written as it is read");
    }
    let read = || Masking::parse_with(text, "fuzz.toml", |_| Ok(KEY.to_vec()));
    if let (Ok(one), Ok(other)) = (read(), read()) {
        assert_eq!(one.version(), other.version());
        assert_eq!(one.has_hash_key(), other.has_hash_key());
        assert!(!format!("{one:?}").contains("107, 101, 121"), "the key is shown");
    }
}

const KEY: &[u8] = b"keykeykeykeykeykey";
const MASKS: [&str; 4] = ["redact", "partial:last4", "partial:first64", "hash"];
/// The least of a value that tells something of it.
const TELLING_BYTES: usize = 4;

fn mask(mut source: Source<'_>) {
    let mask: Mask = MASKS[usize::from(source.u8()) % MASKS.len()].parse().expect("a mask");
    let (oid, format) = (u32::from(source.u16()), i16::from(source.u8()));
    let value = source.rest();
    let applied = |key| ColumnMask::new(mask, "label", key).apply(value, oid, format);
    let masked = applied(HashKey::new(KEY.to_vec()));
    assert_eq!(masked, applied(HashKey::new(KEY.to_vec())));
    let Masked::Value(shown) = masked else { return };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let told = match mask {
        Mask::Partial { .. } => {
            let characters = |bytes: &[u8]| text(bytes).chars().count();
            characters(&shown).saturating_sub(HIDDEN.len()) * 3 > characters(value)
        }
        _ => {
            let told = text(value);
            told.len() >= TELLING_BYTES && text(&shown).contains(&told) && !REDACTED.contains(&told)
        }
    };
    assert!(!told, "{mask} shows {:?} of {value:?}", text(&shown));
}

const HIDDEN: &str = "****";
const REDACTED: &str = "\"[redacted]\"";
