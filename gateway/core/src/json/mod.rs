//! JSON as a target wrote it, with what must not be seen replaced and every other byte as it was.
//!
//! * [`Place`]: where in a document; [`Hide`]: what is hidden there, and how.
//! * [`Eraser`]: applies rules, then detectors, to one document; [`Document`]: to one that comes in pieces.

mod erase;
mod place;

pub use erase::{BadJson, Document, Eraser, Hide, Shade};
pub use place::{BadPlace, Place};

use std::collections::HashSet;

use serde_json::Value;

use crate::masking::{ColumnMask, Mask, Masked};

/// The type of texts, as masks know it.
const TEXT_OID: u32 = 25;
/// What stands for a value of which nothing may be seen.
pub(crate) const REDACTED: &str = "[redacted]";

/// What is seen of a text through a mask.
pub(crate) fn masked_text(text: &str, mask: Mask) -> String {
    match ColumnMask::new(mask, "", None).apply(text.as_bytes(), TEXT_OID, 0) {
        Masked::Value(bytes) => String::from_utf8(bytes).unwrap_or_else(|_| REDACTED.to_owned()),
        Masked::Null => REDACTED.to_owned(),
    }
}

/// A name that one object has twice but for small and capital letters. Readers that do not tell those apart take one for the
/// other, or the last, whatever was decided about the first.
#[must_use]
pub fn told_twice(value: &Value) -> Option<&str> {
    match value {
        Value::Object(members) => {
            let mut known = HashSet::with_capacity(members.len());
            let twice = members.keys().find(|name| !known.insert(folded(name)));
            twice.map(String::as_str).or_else(|| members.values().find_map(told_twice))
        }
        Value::Array(elements) => elements.iter().find_map(told_twice),
        _ => None,
    }
}

/// What is small of something capital, and the other way round: `K` of Kelvin and the long `s` are letters, too.
fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::told_twice;

    #[test]
    fn small_and_capital_letters_do_not_make_two_names() {
        for (value, twice) in [
            (json!({"amount": "10", "Amount": "9999"}), true),
            (json!({"lines": [{"sku": 1, "\u{17f}ku": 2}]}), true),
            (json!({"k": 1, "a": {"b": {"\u{212a}": 2, "k": 3}}}), true),
            (json!([{"a": 1}, {"A": 1}]), false),
            (json!({"a": {"A": 1}}), false),
            (json!("a"), false),
        ] {
            assert_eq!(told_twice(&value).is_some(), twice, "{value}");
        }
    }
}
