//! The mint of [`Authorized<Command>`](Authorized): a unit of commands, each span judged before a byte of it is in.

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use tallyport_access::policy::AskContext;
use tallyport_schemas::{
    Body, Command as CommandEvent, CommandId, Content, ContentError, Decision, Disposition, Effect,
    Parameter, Phase,
};

use super::{Authorized, Bench, Command, Denial, Note, Scribe};
use crate::sql::{Parsed, SessionState};
use crate::verdict::{Facts, ResponsePlan, Verdict};

/// The most bytes that one command event stands for.
const SPAN_EVENT_BYTES: usize = Content::MAX_BYTES;

/// Spans of one unit, in order. Their bytes partition the unit's.
#[derive(Debug, Default)]
pub struct Unit {
    spans: Vec<Span>,
    bytes: BytesMut,
    last: Option<LastVerdict>,
}

/// The last verdict of this unit: a Parse and the Bind behind it ask the same question at the same moment.
#[derive(Debug)]
struct LastVerdict {
    parsed: Parsed,
    state_version: u64,
    /// Its span, which has decision and facts.
    span: usize,
    plan: ResponsePlan,
}

#[derive(Debug)]
struct Span {
    command_id: CommandId,
    phase: Phase,
    decision: Option<Decision>,
    denied: Option<Denial>,
    detail: Detail,
    facts: Option<Facts>,
    from: usize,
    first_chunk: Option<u64>,
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
}

/// What judging a span gave.
#[derive(Debug)]
pub struct Judged {
    /// Names the command.
    pub command_id: CommandId,
    /// What is demanded of its response.
    pub plan: ResponsePlan,
}

/// A unit, judged.
#[derive(Debug)]
pub enum Sealed {
    /// Every span may pass.
    Authorized(Authorized<Command>),
    /// At least one may not: nothing passes.
    Refused {
        /// The events that say so.
        note: Note,
        /// The first denial.
        denial: Denial,
        /// The command of the first denial.
        command_id: CommandId,
    },
}

impl Unit {
    /// An empty unit.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the span of a statement: the judge decides now. `state` comes with a version that grows whenever it
    /// changes within the unit.
    pub fn statement(
        &mut self,
        bench: &Bench,
        (state, state_version): (&SessionState, u64),
        context: &AskContext,
        phase: Phase,
        detail: Detail,
    ) -> Judged {
        let command_id = CommandId::new();
        let Some(parsed) = &detail.parsed else {
            let reason = "the statement is not known".to_owned();
            return self.deny(bench, phase, detail, Denial::Gateway { sqlstate: "26000", reason });
        };
        let verdict = self
            .last_verdict(parsed, state_version, command_id)
            .unwrap_or_else(|| bench.verdict(parsed, state, context, command_id));
        self.last = Some(LastVerdict {
            parsed: parsed.clone(),
            state_version,
            span: self.spans.len(),
            plan: verdict.plan,
        });
        let denied = (verdict.decision.effect != Effect::Allow)
            .then(|| Denial::Policy(verdict.decision.reasons.clone()));
        let Verdict { decision, facts, plan } = verdict;
        self.open(command_id, phase, Some(decision), denied, detail);
        if let Some(span) = self.spans.last_mut() {
            span.facts = Some(facts);
        }
        Judged { command_id, plan }
    }

    /// The verdict on the same text at the same moment, where it was the last one.
    fn last_verdict(
        &self,
        parsed: &Parsed,
        state_version: u64,
        command_id: CommandId,
    ) -> Option<Verdict> {
        let last = self.last.as_ref()?;
        if last.state_version != state_version || !std::ptr::eq(last.parsed.text(), parsed.text()) {
            return None;
        }
        let span = self.spans.get(last.span)?;
        let (decision, facts) = (span.decision.clone()?, span.facts.clone()?);
        let decision = Decision { command_id: Some(command_id), ..decision };
        Some(Verdict { decision, facts, plan: last.plan })
    }

    /// Begins the span of messages without a statement: they need what the session needed to open.
    pub fn control(&mut self, bench: &Bench, context: &AskContext) -> Judged {
        let command_id = CommandId::new();
        let verdict = bench.connect(context, Some(command_id));
        let denied = (verdict.decision.effect != Effect::Allow)
            .then(|| Denial::Policy(verdict.decision.reasons.clone()));
        self.open(command_id, Phase::Control, Some(verdict.decision), denied, Detail::default());
        Judged { command_id, plan: verdict.plan }
    }

    /// Begins a span of a COPY that runs: it was allowed with its statement.
    pub fn copy_data(&mut self, run: &mut CopyRun) {
        self.open(run.command_id, Phase::CopyData, None, None, Detail::default());
        if let Some(span) = self.spans.last_mut() {
            span.first_chunk = Some(run.next_chunk);
        }
    }

    /// Begins a span that may not pass.
    pub fn deny(&mut self, bench: &Bench, phase: Phase, detail: Detail, denial: Denial) -> Judged {
        let command_id = CommandId::new();
        let decision = Decision {
            effect: Effect::Deny,
            actions: Vec::new(),
            resources: Vec::new(),
            policy_ids: Vec::new(),
            policy_version: bench.policy_version().to_owned(),
            obligations: Vec::new(),
            reasons: denial.reasons(),
            command_id: Some(command_id),
        };
        self.open(command_id, phase, Some(decision), Some(denial), detail);
        Judged { command_id, plan: ResponsePlan::default() }
    }

    fn open(
        &mut self,
        command_id: CommandId,
        phase: Phase,
        decision: Option<Decision>,
        denied: Option<Denial>,
        detail: Detail,
    ) {
        let from = self.bytes.len();
        let span = Span {
            command_id,
            phase,
            decision,
            denied,
            detail,
            facts: None,
            from,
            first_chunk: None,
        };
        self.spans.push(span);
    }

    /// Adds bytes to the span begun last. Before the first span there is nothing they could belong to: they are
    /// dropped, and so never sent.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.spans.is_empty() {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Whether a span may not pass.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.spans.iter().any(|span| span.denied.is_some())
    }

    /// Turns the unit into what passes, or into the record of its refusal.
    ///
    /// # Errors
    /// When the bytes cannot be recorded: then nothing passes.
    pub fn seal(self, scribe: &mut Scribe) -> Result<Sealed, ContentError> {
        let first_denial = self
            .spans
            .iter()
            .find_map(|span| span.denied.clone().map(|denial| (denial, span.command_id)));
        let disposition = match first_denial {
            None => Disposition::Forwarded,
            Some(_) => Disposition::Refused,
        };
        let bytes = self.bytes.freeze();
        let ends: Vec<usize> =
            self.spans.iter().skip(1).map(|span| span.from).chain([bytes.len()]).collect();
        let mut drafts = Vec::with_capacity(2 * self.spans.len());
        for (mut span, end) in self.spans.into_iter().zip(ends) {
            let wire = bytes.slice(span.from..end);
            if let Some(decision) = span.decision.take() {
                drafts.push(scribe.draft(Body::Decision(decision)));
            }
            for event in span.events(&wire, disposition)? {
                drafts.push(scribe.draft(Body::Command(Box::new(event))));
            }
        }
        Ok(match first_denial {
            None => Sealed::Authorized(Authorized { value: Command { bytes }, drafts }),
            Some((denial, command_id)) => {
                Sealed::Refused { note: Note::new(drafts), denial, command_id }
            }
        })
    }
}

impl Span {
    /// One event per [`SPAN_EVENT_BYTES`] of the span; the first says what it is, the others carry their bytes.
    fn events(
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

/// A COPY into the target that was allowed: its data belongs to it.
#[derive(Debug)]
pub struct CopyRun {
    command_id: CommandId,
    next_chunk: u64,
}

impl CopyRun {
    /// The COPY of a judged command. Only a unit that passes makes the machine keep it.
    pub(crate) const fn of(judged: &Judged) -> Self {
        Self { command_id: judged.command_id, next_chunk: 0 }
    }

    /// Counts the chunks of `bytes` that went with the last span.
    pub(crate) const fn advance(&mut self, bytes: usize) {
        self.next_chunk += bytes.div_ceil(SPAN_EVENT_BYTES) as u64;
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
    }
}

/// At most `max` bytes of `text`, cut between characters.
fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
