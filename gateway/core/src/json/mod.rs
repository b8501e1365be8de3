//! JSON as a target wrote it, with what must not be seen replaced and every other byte as it was.
//!
//! * [`Place`]: where in a document; [`Hide`]: what is hidden there, and how.
//! * [`Eraser`]: applies rules, then detectors, to one document; [`Document`]: to one that comes in pieces.

mod erase;
mod place;

pub use erase::{BadJson, Document, Eraser, Hide, Shade};
pub use place::{BadPlace, Place};

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
