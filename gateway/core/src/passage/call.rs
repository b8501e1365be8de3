//! The mint of [`Authorized<Call>`] and [`Masked<Reply>`]: requests to MCP servers, and what these say.
//!
//! Such a request belongs to no session of its own: its events say by their command id what belongs together.

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tallyport_eventlog::Durable;
use tallyport_schemas::{
    Body, Command as CommandEvent, CommandId, Content, ContentError, Decision, Disposition, Draft,
    Effect, Finding, Phase, Recording, Response as ResponseEvent, ResponseStatus, ResponseSummary,
    SharedContext,
};

use super::batch::CHUNK_BYTES;
use super::own::own_decision;
use super::span::{blank, cut};
use super::{Authorized, Masked, Note};
use crate::mcp::Screened;
use crate::target::Question;
use crate::verdict::{Facts, Verdict};

/// The exact bytes of one message for a server.
#[derive(Debug)]
pub struct Call {
    bytes: Bytes,
}

/// The exact bytes of one message for a client.
#[derive(Debug)]
pub struct Reply {
    bytes: Bytes,
}

/// The bytes for the server, once the intent is on record.
pub fn to_server(call: Durable<Authorized<Call>>) -> Bytes {
    call.into_inner().value.bytes
}

/// The bytes for the client, once the outcome is on record.
pub fn to_client(reply: Durable<Masked<Reply>>) -> Bytes {
    reply.into_inner().value.bytes
}

/// What is to be sent, and how it is put on record.
#[derive(Debug)]
pub struct Request {
    /// Names it.
    pub command_id: CommandId,
    /// What it does.
    pub phase: Phase,
    /// The message; null where HTTP says it all.
    pub message: Value,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Ruled {
    /// It may pass.
    Passes(Authorized<Call>),
    /// It may not; the events that say so, and why.
    Refused(Note, Vec<String>),
}

/// What the gateway asks of a server by itself.
#[derive(Clone, Debug, PartialEq)]
pub enum OwnRequest<'a> {
    /// What it is, in the revisions without sessions.
    Discover,
    /// The same in those with sessions.
    Initialize,
    /// That the session has begun.
    Initialized,
    /// That nobody waits for the answer any more.
    Cancelled {
        /// To the request of this id.
        id: Value,
    },
    /// That what it asks for cannot be had.
    Unable {
        /// By the question of this id.
        id: Value,
    },
    /// That the session ends.
    End,
    /// Its tools, from this cursor on.
    Tools {
        /// As the server gave it.
        cursor: Option<&'a str>,
    },
}

impl Ruled {
    /// Of a request that was judged.
    ///
    /// # Errors
    /// When its bytes cannot be recorded: then nothing passes.
    pub fn of(
        verdict: Verdict,
        question: &Question,
        request: &Request,
        context: &SharedContext,
    ) -> Result<Self, ContentError> {
        let decision = verdict.decision;
        let (effect, reasons) = (decision.effect, decision.reasons.clone());
        let passes = effect == Effect::Allow;
        let disposition = if passes { Disposition::Forwarded } else { Disposition::Refused };
        let bytes = bytes_of(&request.message);
        let drafts = drafts(decision, question, request, (&bytes, disposition), context)?;
        Ok(if passes {
            Self::Passes(Authorized { value: Call { bytes }, drafts })
        } else {
            Self::Refused(Note::new(drafts), reasons)
        })
    }
}

impl OwnRequest<'_> {
    /// The request, in the gateway's own words, with `message` around them as the revision has it; on record as by a rule of
    /// the gateway's own.
    ///
    /// # Errors
    /// When its bytes cannot be recorded.
    pub fn authorized(
        &self,
        command_id: CommandId,
        policy_version: &str,
        context: &SharedContext,
        id: Option<&Value>,
        meta: Option<&Value>,
    ) -> Result<Authorized<Call>, ContentError> {
        let message = self.message(id, meta);
        let method = message
            .get("method")
            .and_then(Value::as_str)
            .unwrap_or("what answers nothing")
            .to_owned();
        let question = Question {
            statement: format!("-- the gateway asks: {method}"),
            facts: Facts { read_only: true, ..Facts::default() },
            ..Question::default()
        };
        let request = Request { command_id, phase: Phase::Control, message };
        let decision = own_decision("tallyport:definitions", policy_version, command_id);
        let bytes = bytes_of(&request.message);
        let disposition = Disposition::Forwarded;
        let drafts = drafts(decision, &question, &request, (&bytes, disposition), context)?;
        Ok(Authorized { value: Call { bytes }, drafts })
    }

    /// The message itself; null for the end of a session.
    #[must_use]
    pub fn message(&self, id: Option<&Value>, meta: Option<&Value>) -> Value {
        let client = json!({ "name": "tallyport", "version": env!("CARGO_PKG_VERSION") });
        let (method, mut params) = match self {
            Self::Discover => ("server/discover", json!({})),
            Self::Initialize => {
                let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
                ("initialize", params)
            }
            Self::End => return Value::Null,
            Self::Unable { id } => {
                let error = json!({ "code": -32601, "message": "the client cannot do that" });
                return json!({ "jsonrpc": "2.0", "id": id, "error": error });
            }
            Self::Cancelled { id } => ("notifications/cancelled", json!({ "requestId": id })),
            Self::Initialized => ("notifications/initialized", json!({})),
            Self::Tools { cursor: None } => ("tools/list", json!({})),
            Self::Tools { cursor: Some(cursor) } => ("tools/list", json!({ "cursor": cursor })),
        };
        if let (Some(meta), Value::Object(params)) = (meta, &mut params) {
            params.insert("_meta".to_owned(), meta.clone());
        }
        match id {
            Some(id) => json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }),
            None => json!({ "jsonrpc": "2.0", "method": method, "params": params }),
        }
    }
}

/// A request without a message is one of HTTP alone.
fn bytes_of(message: &Value) -> Bytes {
    if message.is_null() { Bytes::new() } else { message.to_string().into() }
}

fn drafts(
    decision: Decision,
    question: &Question,
    request: &Request,
    (bytes, disposition): (&Bytes, Disposition),
    context: &SharedContext,
) -> Result<Vec<Draft>, ContentError> {
    let Request { command_id, phase, .. } = request;
    let Question { statement, facts, definition_sha256, .. } = question;
    let mut chunks = bytes.chunks(CHUNK_BYTES);
    let head = CommandEvent {
        statement_sha256: Some(hex::encode(Sha256::digest(statement))),
        statement: Some(cut(statement, CommandEvent::MAX_STATEMENT_BYTES).to_owned()),
        functions: facts.functions.clone(),
        labels: facts.labels.clone(),
        read_only: facts.read_only,
        opaque: facts.opaque,
        definition_sha256: definition_sha256.clone(),
        ..blank(*command_id, *phase, chunks.next().unwrap_or_default(), disposition)
    };
    let decision = Decision { command_id: Some(*command_id), ..decision };
    let draft = |body| Draft::new(context.clone(), None, body);
    let mut drafts = vec![draft(Body::Decision(decision)), draft(Body::Command(Box::new(head)))];
    for (place, bytes) in chunks.enumerate() {
        let event = CommandEvent {
            content: Some(Content::record(bytes)?),
            chunk: Some(place as u64 + 1),
            ..blank(*command_id, *phase, bytes, disposition)
        };
        drafts.push(draft(Body::Command(Box::new(event))));
    }
    Ok(drafts)
}

/// What of a response is put on record beside what it says.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// Who asked, of which server.
    pub context: &'a SharedContext,
    /// What it answers.
    pub command_id: CommandId,
    /// How much of it is recorded.
    pub recording: Recording,
    /// From sending the request to here, in microseconds.
    pub duration_us: u64,
}

impl Answered<'_> {
    /// The answer, which is the last of what the server says to the request.
    ///
    /// # Errors
    /// When it cannot be recorded: then it does not pass.
    pub fn reply(&self, screened: Screened) -> Result<Masked<Reply>, ContentError> {
        let status = if screened.is_error() { ResponseStatus::Error } else { ResponseStatus::Ok };
        self.completed(screened, status)
    }

    /// The request did not come to its end; what is told of it.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub fn interrupted(&self, told: Screened) -> Result<Masked<Reply>, ContentError> {
        self.completed(told, ResponseStatus::Interrupted)
    }

    /// The server took it, and has nothing to say.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub fn taken(&self) -> Result<Masked<Reply>, ContentError> {
        self.recorded_as(Bytes::new(), ResponseStatus::Ok, (0, Vec::new()))
    }

    fn completed(
        &self,
        screened: Screened,
        status: ResponseStatus,
    ) -> Result<Masked<Reply>, ContentError> {
        let Screened { message, masked_values, findings, withheld: _ } = screened;
        self.recorded_as(message.to_string().into(), status, (masked_values, findings))
    }

    fn recorded_as(
        &self,
        bytes: Bytes,
        status: ResponseStatus,
        (masked_values, findings): (u64, Vec<Finding>),
    ) -> Result<Masked<Reply>, ContentError> {
        let mut pieces: Vec<&[u8]> = bytes.chunks(CHUNK_BYTES).collect();
        let last = pieces.pop().unwrap_or_default();
        let mut drafts = Vec::with_capacity(pieces.len() + 1);
        let chunks = pieces.len() as u64 + 1;
        for (place, piece) in pieces.into_iter().enumerate() {
            let chunk = ResponseEvent::Chunk {
                command_id: Some(self.command_id),
                chunk: place as u64,
                rows: 0,
                wire_bytes: piece.len() as u64,
                wire_sha256: hex::encode(Sha256::digest(piece)),
                content: self.content(piece)?,
            };
            drafts.push(self.draft(chunk));
        }
        let summary = ResponseSummary {
            command_id: self.command_id,
            status,
            tag: None,
            sqlstate: None,
            rows: 0,
            bytes: bytes.len() as u64,
            sha256: hex::encode(Sha256::digest(&bytes)),
            columns: Vec::new(),
            masked_values,
            recording: self.recorded(),
            chunks,
            wire_bytes: last.len() as u64,
            wire_sha256: hex::encode(Sha256::digest(last)),
            content: self.content(last)?,
            duration_us: self.duration_us,
            findings,
        };
        drafts.push(self.draft(ResponseEvent::Completed(summary)));
        Ok(Masked { value: Reply { bytes }, drafts })
    }

    /// What the server says before it answers, or asks of the client.
    ///
    /// # Errors
    /// When it cannot be recorded, being longer than one event: then it does not pass.
    pub fn aside(&self, screened: Screened) -> Result<Masked<Reply>, ContentError> {
        let method = screened.message.get("method").and_then(Value::as_str).unwrap_or("kept back");
        let kinds = vec![cut(method, MAX_KIND_BYTES).to_owned()];
        let bytes = Bytes::from(screened.message.to_string());
        if bytes.len() > CHUNK_BYTES {
            return Err(ContentError::TooLarge { bytes: bytes.len() });
        }
        let event = ResponseEvent::Unsolicited {
            kinds,
            wire_bytes: bytes.len() as u64,
            wire_sha256: hex::encode(Sha256::digest(&bytes)),
            content: self.content(&bytes)?,
            findings: screened.findings,
        };
        Ok(Masked { value: Reply { bytes }, drafts: vec![self.draft(event)] })
    }

    /// There are no rows to record the first of.
    const fn recorded(&self) -> Recording {
        match self.recording {
            Recording::Full => Recording::Full,
            Recording::Head(_) | Recording::Digest => Recording::Digest,
        }
    }

    fn content(&self, piece: &[u8]) -> Result<Option<Content>, ContentError> {
        match self.recorded() {
            Recording::Full => Content::record(piece).map(Some),
            Recording::Head(_) | Recording::Digest => Ok(None),
        }
    }

    fn draft(&self, event: ResponseEvent) -> Draft {
        Draft::new(self.context.clone(), None, Body::Response(Box::new(event)))
    }
}

/// The longest name of a method that an event repeats.
const MAX_KIND_BYTES: usize = 128;

#[cfg(test)]
mod tests;
