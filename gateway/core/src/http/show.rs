//! An answer on its way to an agent, with what must not be seen hidden. What nothing can look into does not pass where something
//! is to be hidden.

use std::sync::Arc;

use bytes::Bytes;
use tallyport_detect::{Action, Findings, Kinds, Screen, Stream};
use tallyport_schemas::{Finding, FindingAction};

use super::found::{hidden, listed};
use super::heads::{charset, coded, is_two_things, links};
use super::{Fields, Media, field, media_of};
use crate::json::{BadJson, Document, Eraser, Hide};
use crate::target::Protocol;

/// The longest value, or line, that is looked into.
const MAX_VALUE_BYTES: usize = 16 * 1024 * 1024;
/// So much of a document waits for its end: what is found in it until then is told in place of it.
const HELD_BACK_BYTES: usize = 1024 * 1024;

/// What of an answer may be seen.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What is hidden in its documents.
    pub hides: Arc<[Hide]>,
    /// What is looked for in it.
    pub screen: Option<Screen>,
    /// Bytes that nothing can look into pass.
    pub opaque: bool,
    /// It is one document a line, whatever its type says.
    pub lines: bool,
    /// It is text, whatever its type says: rules cannot mean it.
    pub text: bool,
    /// It answers `HEAD`: a type is told, and nothing comes.
    pub is_head: bool,
}

/// What may be shown of an answer: nothing else goes to an agent. Made here alone.
#[derive(Debug)]
pub struct Shown {
    pub(crate) head: Option<Answered>,
    pub(crate) bytes: Bytes,
}

/// Status and fields of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The fields.
    pub fields: Fields,
}

/// An answer that may not be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotShown {
    /// It is encoded although that was not asked for.
    #[error("it is encoded as `{0}`, and what is to be hidden in it cannot be found")]
    Encoded(String),
    /// Its type says nothing of how it is read.
    #[error("it is `{0}`, and what is to be hidden in it cannot be found")]
    Opaque(String),
    /// It is not what its type says.
    #[error("it is not what its type says: {0}")]
    Json(#[from] BadJson),
    /// Too long to be looked into.
    #[error("it has a value or line of more than {MAX_VALUE_BYTES} bytes")]
    Long,
    /// There is one where its head says that there is none.
    #[error("it has a body, and its head says that it has none")]
    Unannounced,
    /// A detector keeps it back.
    #[error("it holds {0}")]
    Kept(String),
}

/// An answer that is shown.
#[derive(Debug)]
pub struct Show {
    plan: Plan,
    head: Option<Answered>,
    form: Form,
    buffer: Vec<u8>,
    findings: Findings,
    masked: u64,
}

#[derive(Debug)]
enum Form {
    /// Nothing is looked for.
    Plain,
    /// Its head says that there is none, which counts for nothing: RFC 9112 section 6.3, and over HTTP/2 a 204 can have one.
    Nothing,
    /// One document; what may be seen of it and was not shown yet is in the buffer.
    Document(Box<Document>),
    /// A document a line.
    Lines,
    Text(Box<Stream>),
}

impl Shown {
    /// A refusal in the gateway's own words.
    #[must_use]
    pub fn own(protocol: &dyn Protocol, status: u16, code: &str, message: &str) -> Self {
        let (media, body) = protocol.refusal(status, code, message);
        let fields = vec![
            ("content-type".to_owned(), media.to_owned()),
            ("cache-control".to_owned(), "no-store".to_owned()),
        ];
        Self { head: Some(Answered { status, fields }), bytes: body.into() }
    }

    /// That the connection becomes one of streams (RFC 9110 section 15.2.2).
    #[must_use]
    pub fn switching(protocol: String) -> Self {
        let fields = vec![("sec-websocket-protocol".to_owned(), protocol)];
        Self { head: Some(Answered { status: 101, fields }), bytes: Bytes::new() }
    }

    /// The end of what was shown before.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { head: None, bytes: Bytes::new() }
    }

    /// For the fuzz targets alone: nobody else reads it before it is on record.
    #[cfg(feature = "fuzz")]
    #[must_use]
    pub const fn seen(&self) -> (Option<&Answered>, &Bytes) {
        (self.head.as_ref(), &self.bytes)
    }

    /// Puts what follows behind it.
    pub fn join(&mut self, next: Self) {
        self.head = self.head.take().or(next.head);
        if self.bytes.is_empty() {
            self.bytes = next.bytes;
        } else if !next.bytes.is_empty() {
            let mut all = Vec::with_capacity(self.bytes.len() + next.bytes.len());
            all.extend_from_slice(&self.bytes);
            all.extend_from_slice(&next.bytes);
            self.bytes = all.into();
        }
    }

    /// How many bytes of a body it has.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it shows nothing at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.head.is_none() && self.bytes.is_empty()
    }
}

impl Show {
    /// Begins with status and fields.
    ///
    /// # Errors
    /// [`NotShown`], in words of which none is the target's but names of types.
    pub fn begin(
        plan: Plan,
        protocol: &dyn Protocol,
        status: u16,
        fields: &Fields,
    ) -> Result<Self, NotShown> {
        let looks = !plan.hides.is_empty() || plan.screen.is_some();
        let has_body = !plan.is_head
            && !matches!(status, 204 | 304)
            && field(fields, "content-length") != Some("0");
        let unseen = if looks { Form::Nothing } else { Form::Plain };
        let form = if looks && has_body { form_of(&plan, fields)? } else { unseen };
        let mut show = Self {
            plan,
            head: None,
            form,
            buffer: Vec::new(),
            findings: Findings::default(),
            masked: 0,
        };
        let passed = show.fields(protocol, fields, looks);
        show.head = Some(Answered { status, fields: passed });
        show.judged()?;
        Ok(show)
    }

    /// What of the fields passes. One that tells of the whole body would tell of what is hidden.
    fn fields(&mut self, protocol: &dyn Protocol, fields: &Fields, looks: bool) -> Fields {
        let mut passed = Fields::new();
        for (name, value) in fields {
            let tells = matches!(name.as_str(), "etag" | "last-modified" | "content-encoding");
            if (tells && looks) || !(protocol.passes(name) || name == "content-encoding") {
                continue;
            }
            let value = match name.as_str() {
                "location" => protocol.located(value),
                "link" => Some(links(protocol, value)),
                _ => Some(value.clone()),
            };
            if let Some(value) = value {
                passed.push((name.clone(), self.screened(&value)));
            }
        }
        passed
    }

    fn screened(&mut self, value: &str) -> String {
        let Some(screen) = &self.plan.screen else { return value.to_owned() };
        let mut out = Vec::with_capacity(value.len());
        self.findings.merge(&screen.mask(value.as_bytes(), Kinds::NONE, &mut out));
        String::from_utf8(out).unwrap_or_default()
    }

    /// Takes what came, and gives what may be shown by now; nothing before the first byte of it is known to pass.
    ///
    /// # Errors
    /// [`NotShown`]: nothing more of it may pass.
    pub fn feed(&mut self, bytes: &Bytes) -> Result<Option<Shown>, NotShown> {
        let mut out = Vec::new();
        match &mut self.form {
            Form::Plain => return Ok(Some(Shown { head: self.head.take(), bytes: bytes.clone() })),
            Form::Nothing if bytes.is_empty() => return Ok(None),
            Form::Nothing => return Err(NotShown::Unannounced),
            Form::Text(stream) => stream.push(bytes, &mut out),
            Form::Document(document) => {
                let mut eraser = Eraser::new(&self.plan.hides, self.plan.screen.as_ref());
                document.feed(&mut eraser, bytes, &mut self.buffer)?;
                self.masked += eraser.hidden;
                self.findings.merge(&eraser.findings);
                bounded(document.held())?;
                if self.head.is_none() || self.buffer.len() >= HELD_BACK_BYTES {
                    out = std::mem::take(&mut self.buffer);
                }
            }
            Form::Lines => {
                self.buffer.extend_from_slice(bytes);
                if let Some(end) = self.buffer.iter().rposition(|it| *it == b'\n') {
                    let rest = self.buffer.split_off(end + 1);
                    let whole = std::mem::replace(&mut self.buffer, rest);
                    self.lines(&whole, &mut out)?;
                }
                bounded(self.buffer.len())?;
            }
        }
        self.judged()?;
        Ok(self.shown(out))
    }

    /// Shows what is held back of a text that pauses.
    ///
    /// # Errors
    /// [`NotShown`]
    pub fn pause(&mut self) -> Result<Option<Shown>, NotShown> {
        let mut out = Vec::new();
        if let Form::Text(stream) = &mut self.form {
            stream.flush(&mut out);
        }
        self.judged()?;
        Ok(self.shown(out))
    }

    /// Whether something is held back that a pause would show.
    #[must_use]
    pub fn holds(&self) -> bool {
        matches!(&self.form, Form::Text(stream) if stream.held() > 0)
    }

    /// The answer is over: the rest of it.
    ///
    /// # Errors
    /// [`NotShown`]: the rest may not pass.
    pub fn finish(&mut self) -> Result<Shown, NotShown> {
        let mut out = Vec::new();
        match &mut self.form {
            Form::Plain | Form::Nothing => {}
            Form::Text(stream) => stream.finish(&mut out),
            Form::Document(document) if document.is_empty() => {}
            Form::Document(document) => {
                let mut eraser = Eraser::new(&self.plan.hides, self.plan.screen.as_ref());
                document.finish(&mut eraser, &mut self.buffer)?;
                self.masked += eraser.hidden;
                self.findings.merge(&eraser.findings);
                out = std::mem::take(&mut self.buffer);
            }
            Form::Lines => {
                let whole = std::mem::take(&mut self.buffer);
                self.lines(&whole, &mut out)?;
            }
        }
        self.judged()?;
        Ok(Shown { head: self.head.take(), bytes: out.into() })
    }

    fn lines(&mut self, whole: &[u8], out: &mut Vec<u8>) -> Result<(), NotShown> {
        for line in whole.split_inclusive(|it| *it == b'\n') {
            if line.trim_ascii().is_empty() {
                out.extend_from_slice(line);
            } else {
                self.document(line, out)?;
            }
        }
        Ok(())
    }

    fn document(&mut self, document: &[u8], out: &mut Vec<u8>) -> Result<(), NotShown> {
        let mut eraser = Eraser::new(&self.plan.hides, self.plan.screen.as_ref());
        eraser.document(document, out)?;
        self.masked += eraser.hidden;
        self.findings.merge(&eraser.findings);
        Ok(())
    }

    fn shown(&mut self, out: Vec<u8>) -> Option<Shown> {
        if out.is_empty() && !matches!(self.form, Form::Text(_) | Form::Lines) {
            return None;
        }
        let shown = Shown { head: self.head.take(), bytes: out.into() };
        (!shown.is_empty()).then_some(shown)
    }

    /// Whether a detector keeps it back.
    fn judged(&self) -> Result<(), NotShown> {
        let of_text = match &self.form {
            Form::Text(stream) => stream.findings().action(),
            _ => None,
        };
        if self.findings.action() != Some(Action::Deny) && of_text != Some(Action::Deny) {
            return Ok(());
        }
        let denied = self.findings();
        let denied = denied.iter().filter(|it| it.action == FindingAction::Deny);
        let kinds: Vec<String> =
            denied.map(|it| format!("{} ({})", it.detector, it.count)).collect();
        Err(NotShown::Kept(kinds.join(", ")))
    }

    /// What the detectors found.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let Some(screen) = &self.plan.screen else { return Vec::new() };
        let mut all = self.findings.clone();
        if let Form::Text(stream) = &self.form {
            all.merge(stream.findings());
        }
        listed(screen, &all)
    }

    /// How many values are hidden in what was shown.
    #[must_use]
    pub fn masked_values(&self) -> u64 {
        self.masked + hidden(&self.findings())
    }
}

const fn bounded(bytes: usize) -> Result<(), NotShown> {
    if bytes > MAX_VALUE_BYTES { Err(NotShown::Long) } else { Ok(()) }
}

fn form_of(plan: &Plan, fields: &Fields) -> Result<Form, NotShown> {
    let passes = plan.opaque && plan.hides.is_empty();
    // A client gets the letters as they are, and nothing that says how bytes are packed.
    let encoded = coded(fields).or_else(|| charset(fields).filter(|_| !passes));
    if let Some(encoding) = encoded {
        return Err(NotShown::Encoded(encoding.chars().take(32).collect()));
    }
    let said = media_of(fields);
    let media = Media::read(&said);
    if is_two_things(fields) {
        return Err(NotShown::Opaque(said.chars().take(64).collect()));
    }
    if charset(fields).is_some() {
        return Ok(Form::Plain);
    }
    let is_json = media.as_ref().is_some_and(Media::is_json);
    let media = media.as_ref().map_or("", |it| it.name.as_str());
    let is_lines =
        matches!(media, "application/x-ndjson" | "application/jsonl" | "application/x-jsonlines");
    let is_text = plan.text
        || media.starts_with("text/")
        || matches!(media, "application/xml" | "application/yaml");
    match &plan.screen {
        _ if plan.lines || is_lines => Ok(Form::Lines),
        _ if is_json && !plan.text => {
            let eraser = Eraser::new(&plan.hides, plan.screen.as_ref());
            Ok(Form::Document(Box::new(Document::new(&eraser, MAX_VALUE_BYTES))))
        }
        Some(screen) if is_text && plan.hides.is_empty() => {
            Ok(Form::Text(Box::new(screen.stream(Kinds::NONE))))
        }
        _ if passes => Ok(Form::Plain),
        _ => Err(NotShown::Opaque(said.chars().take(64).collect())),
    }
}

#[cfg(test)]
mod tests;
