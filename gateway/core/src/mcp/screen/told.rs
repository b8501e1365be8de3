//! What a text is to rules: data, something that readers take for data, or prose.

use serde_json::Value;
use tallyport_access::strict_json;

use crate::json::REDACTED;

/// What may stand before a text (RFC 8259 section 8.1).
const BYTE_ORDER_MARK: char = '\u{feff}';

/// What a text is to rules.
pub(super) enum Told {
    /// One document, or one a line.
    Data(Vec<Value>),
    /// Data of which two readers make two things, or of which ours makes nothing: of a name that stands twice rules would see
    /// one value, and a client the other; of what is cut, or has a comma or a comment too many, a model reads all the same what
    /// stands in it.
    Unclear,
    /// No data: rules name no place in it.
    Prose,
}

/// Whether a value is a text that holds data with names: `[draft]` is a title.
pub(super) fn begins_as_data(text: &str) -> bool {
    let text = text.trim_start_matches(|c: char| c == BYTE_ORDER_MARK || c.is_whitespace());
    let inside = text.strip_prefix(['{', '[', '"']).unwrap_or_default().trim_start();
    inside.starts_with(['{', '[', '"', '\'', '\\'])
}

pub(super) fn told(text: &str) -> Told {
    let text = text.trim_start_matches(|c: char| c == BYTE_ORDER_MARK || c.is_whitespace());
    // Data in a text in a text is nothing that anybody means by a place.
    if text.starts_with('"')
        && let Ok(inner) = serde_json::from_str::<String>(text)
        && !matches!(told(&inner), Told::Prose)
    {
        return Told::Unclear;
    }
    if text == REDACTED || !text.starts_with(['{', '[']) {
        return Told::Prose;
    }
    if let Some(data) = strict_json(text.as_bytes()) {
        return Told::Data(vec![data]);
    }
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let lines: Option<Vec<Value>> = lines.map(|line| strict_json(line.as_bytes())).collect();
    lines.map_or(Told::Unclear, Told::Data)
}
