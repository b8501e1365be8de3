//! The mint of [`Authorized<Wanted>`] and [`Masked<Part>`]: requests of HTTP, and what comes back.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tallyport_eventlog::Durable;
use tallyport_schemas::{
    Body, Command as CommandEvent, CommandId, Content, ContentError, Decision, Disposition, Draft,
    Effect, Finding, Phase, Recording, Response as ResponseEvent, ResponseStatus, ResponseSummary,
};

use super::batch::CHUNK_BYTES;
use super::span::{blank, cut};
use super::{Authorized, Masked, Note, Scribe};
use crate::http::{Answered, Fields, Shown};
use crate::target::Question;
use crate::verdict::Verdict;

/// What the target is to get. What is in it can be had only of [`to_service`].
#[derive(Debug)]
pub struct Wanted {
    outgoing: Outgoing,
    /// The body as it goes on record.
    recorded: Bytes,
}

/// What the target gets.
#[derive(Debug)]
pub struct Outgoing {
    /// In upper case.
    pub method: String,
    /// A path, and a query where there is one.
    pub target: String,
    /// What goes with it; never a credential.
    pub fields: Fields,
    /// The body.
    pub body: Bytes,
}

/// Leave to send more to what a request began.
#[derive(Debug)]
pub struct Inputs {
    command_id: CommandId,
    sent: u64,
}

/// What goes to what runs already.
#[derive(Debug)]
pub struct Input(Bytes);

/// What an agent gets next.
#[derive(Debug)]
pub struct Part {
    /// Before the first byte.
    pub head: Option<Answered>,
    /// The next bytes of the body.
    pub bytes: Bytes,
}

/// The request for the target, once the intent is on record.
pub fn to_service(wanted: Durable<Authorized<Wanted>>) -> Outgoing {
    wanted.into_inner().value.outgoing
}

/// The same for a request that begins streams, with leave to send into them.
pub fn to_streams(
    wanted: Durable<Authorized<Wanted>>,
    command_id: CommandId,
) -> (Outgoing, Inputs) {
    (to_service(wanted), Inputs { command_id, sent: 0 })
}

/// The next bytes for what runs, once they are on record.
pub fn to_running(input: Durable<Authorized<Input>>) -> Bytes {
    input.into_inner().value.0
}

impl Inputs {
    /// The next bytes for what runs.
    ///
    /// # Errors
    /// When they cannot be recorded: then they do not pass.
    pub fn next(
        &mut self,
        bytes: Bytes,
        scribe: &mut Scribe,
    ) -> Result<Authorized<Input>, ContentError> {
        let mut drafts = Vec::new();
        for piece in bytes.chunks(CHUNK_BYTES) {
            self.sent += 1;
            let event = CommandEvent {
                content: Some(Content::record(piece)?),
                chunk: Some(self.sent),
                ..blank(self.command_id, Phase::Input, piece, Disposition::Forwarded)
            };
            drafts.push(scribe.draft(Body::Command(Box::new(event))));
        }
        Ok(Authorized { value: Input(bytes), drafts })
    }
}

/// What the agent gets, once the outcome is on record.
pub fn to_client(part: Durable<Masked<Part>>) -> Part {
    part.into_inner().value
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Ruled {
    /// It may pass.
    Passes(Authorized<Wanted>),
    /// It may not; the events that say so, and why.
    Refused(Note, Vec<String>),
}

impl Wanted {
    /// A request in these words.
    #[must_use]
    pub fn new(method: &str, target: String, fields: Fields, body: Bytes) -> Self {
        let recorded = body.clone();
        Self { outgoing: Outgoing { method: method.to_owned(), target, fields, body }, recorded }
    }

    /// With this on record in place of the body, where something in it must not be seen.
    #[must_use]
    pub fn recorded_as(self, recorded: Bytes) -> Self {
        Self { recorded, ..self }
    }

    /// As it would stand on the wire (RFC 9112), without what only the connection needs, and without the credential.
    fn recorded(&self) -> Bytes {
        let Outgoing { method, target, fields, .. } = &self.outgoing;
        let mut bytes = head(&format!("{method} {target} HTTP/1.1"), fields).into_bytes();
        bytes.extend_from_slice(&self.recorded);
        bytes.into()
    }
}

impl Ruled {
    /// Of a request that was judged; one without `wanted` is refused whatever was said.
    ///
    /// # Errors
    /// When its bytes cannot be recorded: then nothing passes.
    pub fn of(
        verdict: Verdict,
        question: &Question,
        wanted: Option<Wanted>,
        command_id: CommandId,
        scribe: &mut Scribe,
    ) -> Result<Self, ContentError> {
        let mut decision = verdict.decision;
        if wanted.is_none() {
            decision.effect = Effect::Deny;
        }
        let reasons = decision.reasons.clone();
        let passes = decision.effect == Effect::Allow;
        let disposition = if passes { Disposition::Forwarded } else { Disposition::Refused };
        let bytes = wanted.as_ref().map(Wanted::recorded).unwrap_or_default();
        let drafts = drafts(decision, question, (command_id, disposition), &bytes, scribe)?;
        Ok(match wanted.filter(|_| passes) {
            Some(value) => Self::Passes(Authorized { value, drafts }),
            None => Self::Refused(Note::new(drafts), reasons),
        })
    }
}

/// What the gateway asks of the target by itself, by a rule of its own.
///
/// # Errors
/// When it cannot be recorded.
pub fn own_request(
    (rule, policy_version): (&str, &str),
    wanted: Wanted,
    command_id: CommandId,
    scribe: &mut Scribe,
) -> Result<Authorized<Wanted>, ContentError> {
    let decision = super::own::own_decision(rule, policy_version, command_id);
    let question = Question {
        statement: format!(
            "-- the gateway asks: {} {}",
            wanted.outgoing.method, wanted.outgoing.target
        ),
        facts: crate::verdict::Facts { read_only: true, ..Default::default() },
        ..Question::default()
    };
    let bytes = wanted.recorded();
    let drafts = drafts(decision, &question, (command_id, Disposition::Forwarded), &bytes, scribe)?;
    Ok(Authorized { value: wanted, drafts })
}

fn drafts(
    decision: Decision,
    question: &Question,
    (command_id, disposition): (CommandId, Disposition),
    bytes: &Bytes,
    scribe: &mut Scribe,
) -> Result<Vec<Draft>, ContentError> {
    let Question { statement, facts, definition_sha256, .. } = question;
    let mut chunks = bytes.chunks(CHUNK_BYTES);
    let first = chunks.next().unwrap_or_default();
    let head = CommandEvent {
        statement_sha256: Some(hex::encode(Sha256::digest(statement))),
        statement: Some(cut(statement, CommandEvent::MAX_STATEMENT_BYTES).to_owned()),
        functions: facts.functions.clone(),
        labels: facts.labels.clone(),
        read_only: facts.read_only,
        opaque: facts.opaque,
        definition_sha256: definition_sha256.clone(),
        content: if first.is_empty() { None } else { Some(Content::record(first)?) },
        ..blank(command_id, Phase::Request, first, disposition)
    };
    let decision = Decision { command_id: Some(command_id), ..decision };
    let mut drafts =
        vec![scribe.draft(Body::Decision(decision)), scribe.draft(Body::Command(Box::new(head)))];
    for (place, bytes) in chunks.enumerate() {
        let event = CommandEvent {
            content: Some(Content::record(bytes)?),
            chunk: Some(place as u64 + 1),
            ..blank(command_id, Phase::Request, bytes, disposition)
        };
        drafts.push(scribe.draft(Body::Command(Box::new(event))));
    }
    Ok(drafts)
}

fn head(first: &str, fields: &Fields) -> String {
    let mut text = format!("{first}\r\n");
    for (name, value) in fields {
        text.push_str(name);
        text.push_str(": ");
        text.push_str(value);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text
}

/// How an answer ended.
#[derive(Clone, Debug)]
pub struct Closing {
    /// How.
    pub status: ResponseStatus,
    /// How many values are hidden in it.
    pub masked_values: u64,
    /// What the detectors found.
    pub findings: Vec<Finding>,
    /// From sending the request to here, in microseconds.
    pub duration_us: u64,
}

/// An answer, as it goes on record piece by piece.
#[derive(Debug)]
pub struct Answering {
    command_id: CommandId,
    recording: Recording,
    tag: Option<String>,
    hash: Sha256,
    bytes: u64,
    chunks: u64,
}

impl Answering {
    /// Nothing came yet. Of an answer without rows there is no first part of them to record.
    #[must_use]
    pub fn new(command_id: CommandId, recording: Recording) -> Self {
        let recording = match recording {
            Recording::Full => Recording::Full,
            Recording::Head(_) | Recording::Digest => Recording::Digest,
        };
        Self { command_id, recording, tag: None, hash: Sha256::new(), bytes: 0, chunks: 0 }
    }

    /// Says in a word how it ended.
    pub fn tagged(&mut self, tag: String) {
        self.tag = Some(tag);
    }

    /// The next of it, of which more follows.
    ///
    /// # Errors
    /// When it cannot be recorded: then it does not pass.
    pub fn part(
        &mut self,
        shown: Shown,
        scribe: &mut Scribe,
    ) -> Result<Masked<Part>, ContentError> {
        let recorded = self.recorded(&shown);
        let mut drafts = Vec::new();
        for piece in recorded.chunks(CHUNK_BYTES) {
            drafts.push(scribe.draft(self.chunk(piece)?));
        }
        Ok(Masked { value: Part { head: shown.head, bytes: shown.bytes }, drafts })
    }

    /// The last of it.
    ///
    /// # Errors
    /// When it cannot be recorded: then it does not pass.
    pub fn last(
        mut self,
        shown: Shown,
        closing: Closing,
        scribe: &mut Scribe,
    ) -> Result<Masked<Part>, ContentError> {
        let recorded = self.recorded(&shown);
        let mut pieces: Vec<&[u8]> = recorded.chunks(CHUNK_BYTES).collect();
        let last = pieces.pop().unwrap_or_default();
        let mut drafts = Vec::with_capacity(pieces.len() + 1);
        for piece in pieces {
            drafts.push(scribe.draft(self.chunk(piece)?));
        }
        self.bytes += last.len() as u64;
        self.hash.update(last);
        let content = self.content(last)?;
        let summary = ResponseSummary {
            command_id: self.command_id,
            status: closing.status,
            tag: self.tag,
            sqlstate: None,
            rows: 0,
            bytes: self.bytes,
            sha256: hex::encode(self.hash.finalize()),
            columns: Vec::new(),
            masked_values: closing.masked_values,
            recording: self.recording,
            chunks: self.chunks + 1,
            wire_bytes: last.len() as u64,
            wire_sha256: hex::encode(Sha256::digest(last)),
            content,
            duration_us: closing.duration_us,
            findings: closing.findings,
        };
        let event = ResponseEvent::Completed(summary);
        drafts.push(scribe.draft(Body::Response(Box::new(event))));
        Ok(Masked { value: Part { head: shown.head, bytes: shown.bytes }, drafts })
    }

    /// As it would stand on the wire, without what only the connection needs.
    fn recorded(&mut self, shown: &Shown) -> Bytes {
        let Some(answered) = &shown.head else { return shown.bytes.clone() };
        self.tag = Some(format!("HTTP {}", answered.status));
        let mut bytes =
            head(&format!("HTTP/1.1 {}", answered.status), &answered.fields).into_bytes();
        bytes.extend_from_slice(&shown.bytes);
        bytes.into()
    }

    fn chunk(&mut self, piece: &[u8]) -> Result<Body, ContentError> {
        let event = ResponseEvent::Chunk {
            command_id: Some(self.command_id),
            chunk: self.chunks,
            rows: 0,
            wire_bytes: piece.len() as u64,
            wire_sha256: hex::encode(Sha256::digest(piece)),
            content: self.content(piece)?,
        };
        self.hash.update(piece);
        self.bytes += piece.len() as u64;
        self.chunks += 1;
        Ok(Body::Response(Box::new(event)))
    }

    fn content(&self, piece: &[u8]) -> Result<Option<Content>, ContentError> {
        match self.recording {
            Recording::Full => Content::record(piece).map(Some),
            Recording::Head(_) | Recording::Digest => Ok(None),
        }
    }
}
