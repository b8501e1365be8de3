//! What callers send.

use serde::Deserialize as _;
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde_json::{Map, Value};
use tallyport_access::strict_object;

use super::error::ApiError;

/// The longest comment, or reason.
pub(super) const MAX_PROSE_BYTES: usize = 2_000;

/// Reads an object, in which no name stands twice: which of them was meant goes on record. `form` says what to send. An
/// empty body is one without any field.
pub(super) fn read<T: DeserializeOwned>(body: &[u8], form: &str) -> Result<T, ApiError> {
    let bad_form = || ApiError::bad_request(&format!("send JSON such as {form}"));
    // An object: a derived reader takes a list of the values, too.
    let object =
        if body.is_empty() { Map::new() } else { strict_object(body).ok_or_else(bad_form)? };
    serde_json::from_value(Value::Object(object)).map_err(|_| bad_form())
}

/// For a member that is an object, as the whole is.
pub(super) fn object<'de, T: DeserializeOwned, D: Deserializer<'de>>(
    from: D,
) -> Result<T, D::Error> {
    let object = Map::deserialize(from)?;
    serde_json::from_value(Value::Object(object)).map_err(D::Error::custom)
}

/// A text that people wrote, within bounds.
pub(super) fn text(name: &str, text: &str, max_bytes: usize) -> Result<(), ApiError> {
    let fits = text.len() <= max_bytes && !text.chars().any(|c| c.is_control() && c != '\n');
    if fits {
        return Ok(());
    }
    Err(ApiError::bad_request(&format!(
        "a {name} has at most {max_bytes} bytes and no control characters"
    )))
}

/// Why somebody does what they do.
pub(super) fn reason(value: &str) -> Result<(), ApiError> {
    required("reason", value, MAX_PROSE_BYTES)
}

/// A text that must not be missing.
pub(super) fn required(name: &str, value: &str, max_bytes: usize) -> Result<(), ApiError> {
    if value.trim().is_empty() {
        return Err(ApiError::bad_request(&format!("say a {name}: it goes on record")));
    }
    text(name, value, max_bytes)
}
