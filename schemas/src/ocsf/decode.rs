//! Back from the log: only `unmapped.tallyport` counts, and nothing of it is taken on trust.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::depth::depth;
use crate::{Event, SCHEMA_VERSION};

/// The most a value may weigh, in bytes: a full command (256 KiB of statement, all of it escaped, and 256 KiB of
/// content) fits more than twice.
pub const MAX_VALUE_BYTES: usize = 4 * 1024 * 1024;

/// The most a value may nest. Ours nest to about ten.
pub const MAX_DEPTH: usize = 32;

/// A value on the log is not an event of ours. It belongs, whole, into the dead letters.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It is larger than any event.
    #[error("the value has {bytes} bytes; an event has at most {MAX_VALUE_BYTES}")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// It nests deeper than any event.
    #[error("the value nests deeper than {MAX_DEPTH} levels; no event does")]
    TooDeep,
    /// It is not a JSON object with an object `unmapped`.
    #[error("the value is not an OCSF event: {0}")]
    Json(#[from] serde_json::Error),
    /// Somebody else's event: it has no facts of ours.
    #[error("the value has no `unmapped.tallyport`: it was not written by Tallyport")]
    NotOurs,
    /// The facts do not say by which version they were written.
    #[error("`unmapped.tallyport` has no usable `schema_version`: {0}")]
    NoVersion(serde_json::Error),
    /// The facts were written by a version whose meaning is not known here.
    #[error(
        "`unmapped.tallyport` has schema version `{found}`; this build reads {SCHEMA_VERSION} and its minor versions: \
         use a build that knows it"
    )]
    Version {
        /// What it says.
        found: String,
    },
    /// The facts are not an event.
    #[error("`unmapped.tallyport` is not an event: {0}")]
    Facts(serde_json::Error),
}

/// The event of a value written by [`super::encode`].
///
/// # Errors
/// When it is not one; the error names what is wrong.
pub fn decode(value: &[u8]) -> Result<Event, DecodeError> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(DecodeError::TooLarge { bytes: value.len() });
    }
    if depth(value) > MAX_DEPTH {
        return Err(DecodeError::TooDeep);
    }
    match in_one_pass(value) {
        Some(event) => Ok(event),
        None => step_by_step(value),
    }
}

/// The way of nearly all values: read once, from the first byte to the last. It accepts nothing that
/// [`step_by_step`] would not, and gives the same; what is wrong with the others is not said here.
fn in_one_pass(value: &[u8]) -> Option<Event> {
    #[derive(Deserialize)]
    struct Whole {
        unmapped: Option<Ours>,
    }
    #[derive(Deserialize)]
    struct Ours {
        tallyport: Option<Event>,
    }
    let value = std::str::from_utf8(value).ok()?;
    let event = serde_json::from_str::<Whole>(value).ok()?.unmapped?.tallyport?;
    (major(&event.schema_version) == major(SCHEMA_VERSION)).then_some(event)
}

/// Parses the envelope, then the version, then the facts, so that an error says which of them is wrong.
fn step_by_step(value: &[u8]) -> Result<Event, DecodeError> {
    let outer: Outer<'_> = serde_json::from_slice(value)?;
    let facts = outer.unmapped.and_then(|unmapped| unmapped.tallyport);
    let facts = facts.ok_or(DecodeError::NotOurs)?.get();
    let Version { schema_version } = serde_json::from_str(facts).map_err(DecodeError::NoVersion)?;
    if major(&schema_version) != major(SCHEMA_VERSION) {
        return Err(DecodeError::Version { found: schema_version.chars().take(64).collect() });
    }
    serde_json::from_str(facts).map_err(DecodeError::Facts)
}

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow)]
    unmapped: Option<Unmapped<'a>>,
}

#[derive(Deserialize)]
struct Unmapped<'a> {
    #[serde(borrow)]
    tallyport: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Version {
    schema_version: String,
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    /// Whatever one byte is changed to: both ways say the same, or the long way says why not.
    #[test]
    fn one_pass_and_step_by_step_agree() {
        for sample in samples::all() {
            let value = super::super::encode(&sample.event);
            assert_eq!(in_one_pass(&value).as_ref(), Some(&sample.event), "{}", sample.name);
            for at in (0..value.len()).step_by(7) {
                for byte in [b'"', b'\\', b'}', b'0', 0xff] {
                    let mut damaged = value.clone();
                    damaged[at] = byte;
                    if let Some(event) = in_one_pass(&damaged) {
                        assert_eq!(
                            step_by_step(&damaged).unwrap(),
                            event,
                            "{} at {at}",
                            sample.name
                        );
                    }
                }
            }
        }
    }
}
