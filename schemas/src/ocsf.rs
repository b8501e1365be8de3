//! The form on the log: OCSF 1.8 JSON.

use crate::Event;

/// A value on the log is not an event of ours.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It is not JSON, or lacks what an event has.
    #[error("not an event: {0}")]
    Json(#[from] serde_json::Error),
}

/// The event as OCSF 1.8 JSON.
#[must_use]
pub fn encode(event: &Event) -> Vec<u8> {
    serde_json::to_vec(event).unwrap_or_default()
}

/// The event of an OCSF JSON value written by [`encode`].
///
/// # Errors
/// When it is not one.
pub fn decode(value: &[u8]) -> Result<Event, DecodeError> {
    Ok(serde_json::from_slice(value)?)
}
