//! What detectors see of a target's answers: values of rows in both formats, lines of COPY, texts of messages.
//!
//! * [`Looker`]: looks into one after another, and counts what it finds. What it cannot read it does not let pass.
//! * [`Column`]: what is known of the values of one column.
//!
//! A value that nothing is found in stays the bytes it was. Which types are read how is in `docs/reference/detectors.md`.

mod forms;
mod messages;
mod nested;
mod numbers;

use tallyport_detect::{Action, Findings, Kinds, Screen};

use crate::json::{BadJson, Eraser};
use forms::Form;

/// How deep arrays and records may nest in one another.
const MAX_DEPTH: usize = 8;
/// First byte of a `jsonb` in binary format.
const JSONB_VERSION: u8 = 1;

/// What is known of the values of one column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    type_oid: u32,
    /// 0 text, 1 binary.
    format: i16,
    /// What its name is context for.
    given: Kinds,
}

/// What of a value may be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// All of it.
    Same,
    /// NULL: the type has no value that would say what was found.
    Null,
    /// These bytes, in its format.
    Value(Vec<u8>),
}

/// A value that cannot be looked into; no byte of it may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// A type of which nothing is known.
    #[error("its binary format is not known")]
    Binary,
    /// It is not what its type says.
    #[error("it is not what its type says")]
    Malformed,
    /// Arrays and records in one another.
    #[error("it nests too deep")]
    Depth,
    /// JSON that cannot be read.
    #[error("{0}")]
    Json(#[from] BadJson),
}

/// Looks into one value after another.
#[derive(Debug)]
pub(crate) struct Looker<'s> {
    screen: &'s Screen,
    /// What was found so far.
    pub(crate) findings: Findings,
}

impl Column {
    /// `None` when no value of the column can hold anything that is looked for.
    pub(crate) fn of(screen: &Screen, name: &str, type_oid: u32, format: i16) -> Option<Self> {
        let given = screen.detectors().context_of(name);
        let looks = !matches!(Form::of(type_oid, format, given), Form::Nothing);
        looks.then_some(Self { type_oid, format, given })
    }
}

impl<'s> Looker<'s> {
    pub(crate) fn new(screen: &'s Screen) -> Self {
        Self { screen, findings: Findings::default() }
    }

    /// Whether something was found that must not pass in any form.
    pub(crate) fn denies(&self) -> bool {
        self.findings.action() == Some(Action::Deny)
    }

    /// Looks into a value that is not NULL.
    pub(crate) fn value(&mut self, column: &Column, value: &[u8]) -> Result<Seen, Unreadable> {
        self.nested(column, value, 0)
    }

    fn nested(&mut self, it: &Column, value: &[u8], depth: usize) -> Result<Seen, Unreadable> {
        if depth > MAX_DEPTH {
            return Err(Unreadable::Depth);
        }
        match Form::of(it.type_oid, it.format, it.given) {
            Form::Nothing => Ok(Seen::Same),
            Form::Text => Ok(self.text(value, it.given).map_or(Seen::Same, Seen::Value)),
            Form::Json => self.json(value, Vec::new()),
            Form::Jsonb => {
                let (version, document) = value.split_first().ok_or(Unreadable::Malformed)?;
                match *version {
                    JSONB_VERSION => self.json(document, vec![JSONB_VERSION]),
                    _ => Err(Unreadable::Malformed),
                }
            }
            Form::Number(read) => match read(value) {
                Some(digits) => Ok(self.or_null(&digits, it.given)),
                None => Err(Unreadable::Malformed),
            },
            Form::Raw => Ok(self.or_null(value, it.given)),
            Form::ArrayText(element) => {
                let element = Column { type_oid: element, ..*it };
                self.array_text(&element, value, depth)
            }
            Form::Binary => self.binary(it, value, depth),
        }
    }

    /// A text with marks in the place of what was found; `None` when it stays as it is.
    pub(crate) fn text(&mut self, text: &[u8], given: Kinds) -> Option<Vec<u8>> {
        // Most hold nothing, and a search alone copies nothing.
        if self.screen.detectors().scan_as(text, given).is_empty() {
            return None;
        }
        let mut out = Vec::with_capacity(text.len());
        let found = self.screen.mask(text, given, &mut out);
        self.findings.merge(&found);
        (found.action() != Some(Action::Alert)).then_some(out)
    }

    /// A line of COPY: its fields one by one, where they are parted by tabs.
    pub(crate) fn line(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        let fields = line.trim_ascii_end();
        let mut out: Option<Vec<u8>> = None;
        let mut at = 0;
        for field in fields.split_inclusive(|byte| *byte == b'\t') {
            let value = field.strip_suffix(b"\t").unwrap_or(field);
            let seen = self.text(value, Kinds::NONE);
            if seen.is_some() && out.is_none() {
                out = Some(line.get(..at).unwrap_or_default().to_vec());
            }
            if let Some(out) = &mut out {
                out.extend_from_slice(seen.as_deref().unwrap_or(value));
                out.extend_from_slice(field.get(value.len()..).unwrap_or_default());
            }
            at += field.len();
        }
        let rest = line.get(at..).unwrap_or_default();
        out.map(|out| [&out, rest].concat())
    }

    fn or_null(&mut self, text: &[u8], given: Kinds) -> Seen {
        self.text(text, given).map_or(Seen::Same, |_| Seen::Null)
    }

    /// `out` has what stands before the document.
    fn json(&mut self, document: &[u8], mut out: Vec<u8>) -> Result<Seen, Unreadable> {
        let mut eraser = Eraser::new(&[], Some(self.screen));
        eraser.document(document, &mut out)?;
        self.findings.merge(&eraser.findings);
        let changed = !matches!(eraser.findings.action(), None | Some(Action::Alert));
        Ok(if changed { Seen::Value(out) } else { Seen::Same })
    }
}

#[cfg(test)]
mod tests;
