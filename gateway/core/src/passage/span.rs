//! One command of a unit, and the events that record it.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tallyport_schemas::{
    Command as CommandEvent, CommandId, Content, ContentError, Decision, Disposition, Parameter,
    Phase,
};

use super::Denial;
use super::held::Covered;
use crate::approval::Ask;
use crate::sql::Parsed;
use crate::verdict::Facts;

/// The most bytes that one command event stands for.
pub(super) const SPAN_EVENT_BYTES: usize = Content::MAX_BYTES;

#[derive(Debug)]
pub(super) struct Span {
    pub(super) command_id: CommandId,
    pub(super) phase: Phase,
    pub(super) decision: Option<Decision>,
    pub(super) denied: Option<Denial>,
    pub(super) detail: Detail,
    pub(super) facts: Option<Facts>,
    pub(super) waits: Option<Box<Ask>>,
    pub(super) from: usize,
    pub(super) first_chunk: Option<u64>,
}

/// What a command event says beyond its bytes.
#[derive(Debug, Default)]
pub struct Detail {
    /// The statement.
    pub parsed: Option<Parsed>,
    /// Its text where it could not be parsed.
    pub unparsed: Option<String>,
    /// Bound values.
    pub parameters: Vec<Parameter>,
    /// The prepared statement's name.
    pub prepared: Option<String>,
    /// The portal's name.
    pub portal: Option<String>,
    /// The digest of the exact bound values.
    pub bound: Option<[u8; 32]>,
    /// The approval under which its portal was bound.
    pub covered: Option<Covered>,
}

impl Span {
    /// One event per [`SPAN_EVENT_BYTES`] of the span; the first says what it is, the others carry their bytes.
    pub(super) fn events(
        mut self,
        wire: &Bytes,
        disposition: Disposition,
    ) -> Result<Vec<CommandEvent>, ContentError> {
        let mut events = Vec::new();
        let mut chunks = wire.chunks(SPAN_EVENT_BYTES);
        let mut head = self.event(chunks.next().unwrap_or_default(), disposition);
        let mut chunk = self.first_chunk.unwrap_or_default();
        if let Some(first) = self.first_chunk {
            head.content = Some(Content::record(wire.get(..SPAN_EVENT_BYTES).unwrap_or(wire))?);
            head.chunk = Some(first);
        }
        events.push(head);
        for bytes in chunks {
            chunk += 1;
            events.push(CommandEvent {
                content: Some(Content::record(bytes)?),
                chunk: Some(chunk),
                ..blank(self.command_id, self.phase, bytes, disposition)
            });
        }
        Ok(events)
    }

    fn event(&mut self, wire: &[u8], disposition: Disposition) -> CommandEvent {
        let mut event = blank(self.command_id, self.phase, wire, disposition);
        let text =
            self.detail.parsed.as_ref().map(Parsed::text).or(self.detail.unparsed.as_deref());
        if let Some(text) = text {
            let known = self.detail.parsed.as_ref().map(|parsed| parsed.sha256().to_owned());
            event.statement_sha256 =
                Some(known.unwrap_or_else(|| hex::encode(Sha256::digest(text))));
            event.statement = Some(cut(text, CommandEvent::MAX_STATEMENT_BYTES).to_owned());
        }
        if let Some(facts) = self.facts.take() {
            event.fingerprint = facts.fingerprint;
            event.kinds = facts.kinds;
            event.tables = facts.tables;
            event.columns = facts.columns;
            event.functions = facts.functions;
            event.labels = facts.labels;
            event.read_only = facts.read_only;
            event.opaque = facts.opaque;
        }
        event.parameters = std::mem::take(&mut self.detail.parameters);
        event.prepared = self.detail.prepared.take();
        event.portal = self.detail.portal.take();
        event
    }
}

pub(super) fn blank(
    command_id: CommandId,
    phase: Phase,
    wire: &[u8],
    disposition: Disposition,
) -> CommandEvent {
    CommandEvent {
        command_id,
        phase,
        disposition,
        statement: None,
        statement_sha256: None,
        fingerprint: None,
        kinds: Vec::new(),
        tables: Vec::new(),
        columns: Vec::new(),
        functions: Vec::new(),
        labels: Vec::new(),
        read_only: false,
        opaque: false,
        parameters: Vec::new(),
        prepared: None,
        portal: None,
        wire_bytes: wire.len() as u64,
        wire_sha256: hex::encode(Sha256::digest(wire)),
        content: None,
        chunk: None,
        definition_sha256: None,
    }
}

/// At most `max` bytes of `text`, cut between characters.
pub(super) fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
