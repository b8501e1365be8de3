//! One pass over the bytes of a document. What is not hidden is copied as it stands: numbers keep their digits, members their
//! order, blanks their places.

mod document;
mod pass;

use tallyport_detect::{Findings, Kinds, Screen};

pub use document::Document;
use pass::{Pass, Reading, Stop};

use super::{Place, REDACTED, masked_text};
use crate::masking::Mask;

/// How deep a document may nest.
const MAX_DEPTH: usize = 128;

/// What is hidden at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hide {
    /// Where.
    pub place: Place,
    /// How.
    pub shade: Shade,
}

/// What stands where something is hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shade {
    /// What the mask shows of it.
    Mask(Mask),
    /// Nothing of it, as base64 (RFC 4648): for readers that decode what stands there.
    Base64,
}

/// `[redacted]`, as base64.
const REDACTED_BASE64: &str = "W3JlZGFjdGVkXQ==";

impl From<Mask> for Shade {
    fn from(mask: Mask) -> Self {
        Self::Mask(mask)
    }
}

impl Shade {
    fn of(self, text: &str) -> String {
        match self {
            Self::Mask(mask) => masked_text(text, mask),
            Self::Base64 => REDACTED_BASE64.to_owned(),
        }
    }

    /// Of what has parts.
    fn whole(self) -> String {
        match self {
            Self::Mask(_) => REDACTED.to_owned(),
            Self::Base64 => REDACTED_BASE64.to_owned(),
        }
    }
}

/// Bytes that are no JSON, or more than is looked into; none of them may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJson {
    /// They are not JSON (RFC 8259).
    #[error("it is not JSON, at byte {0}")]
    Syntax(usize),
    /// They nest too deep.
    #[error("it nests deeper than {MAX_DEPTH} levels")]
    Depth,
}

/// Hides in one document after another.
#[derive(Debug)]
pub struct Eraser<'a> {
    rules: &'a [Hide],
    screen: Option<&'a Screen>,
    /// What the detectors found so far.
    pub findings: Findings,
    /// How many values the rules hid so far.
    pub hidden: u64,
}

impl<'a> Eraser<'a> {
    /// Rules first, then detectors.
    #[must_use]
    pub fn new(rules: &'a [Hide], screen: Option<&'a Screen>) -> Self {
        Self { rules, screen, findings: Findings::default(), hidden: 0 }
    }

    /// Appends the document to `out` as it may be seen.
    ///
    /// # Errors
    /// [`BadJson`]: what was appended by then must not be passed on.
    pub fn document(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), BadJson> {
        let mut reading = Reading::of(self.rules.len(), 0);
        let mut pass = Pass { eraser: self, input, at: 0, out, is_whole: true, from: 0 };
        match pass.run(&mut reading) {
            Ok(()) if pass.at == input.len() => Ok(()),
            Err(Stop::Bad(why)) => Err(why),
            Ok(()) | Err(Stop::More) => Err(BadJson::Syntax(pass.at)),
        }
    }
}

impl Eraser<'_> {
    fn detect(&mut self, text: &str, given: Kinds) -> Option<String> {
        let mut out = Vec::with_capacity(text.len());
        let found = self.screen?.mask(text.as_bytes(), given, &mut out);
        if found.is_empty() {
            return None;
        }
        self.findings.merge(&found);
        // Marks are put where characters begin; were one not, nothing of the text would pass.
        let masked = String::from_utf8(out).unwrap_or_else(|_| REDACTED.to_owned());
        // An alert changes nothing.
        (masked != text).then_some(masked)
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}

#[cfg(test)]
mod tests;
