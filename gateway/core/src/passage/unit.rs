//! The mint of [`Authorized<Command>`](Authorized): a unit of commands, each span judged before a byte of it is in.

use bytes::BytesMut;
use tallyport_access::policy::AskContext;
use tallyport_schemas::{Body, CommandId, ContentError, Decision, Disposition, Effect, Phase};

use super::held::{self, Covered, Ground, Held, Settled};
pub use super::span::Detail;
use super::span::{SPAN_EVENT_BYTES, Span};
use super::{Authorized, Bench, Command, Denial, Note, Scribe};
use crate::sql::{Parsed, SessionState};
use crate::verdict::{ResponsePlan, Verdict};

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

/// What a statement is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// Who judges.
    pub bench: &'a Bench,
    /// The facts of the moment.
    pub context: &'a AskContext,
    /// The session's state.
    pub state: &'a SessionState,
    /// Grows whenever the state changes within the unit.
    pub state_version: u64,
    /// What it stands on where it needs an approval.
    pub ground: Ground<'a>,
    /// Only what is proven to read may run, whatever policy permits.
    pub reads_only: bool,
}

/// What judging a span gave.
#[derive(Debug)]
pub struct Judged {
    /// Names the command.
    pub command_id: CommandId,
    /// What is demanded of its response.
    pub plan: ResponsePlan,
    /// The approval that it runs with.
    pub covered: Option<Covered>,
    /// Whether the session is not as it was once it ran.
    pub touches: bool,
    /// It may change what later statements mean.
    pub shifts: bool,
}

/// A unit, judged.
#[derive(Debug)]
pub enum Sealed {
    /// Every span may pass.
    Authorized(Authorized<Command>),
    /// At least one waits for an approval, and none may not: nothing passes yet.
    Held(Vec<Held>),
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

    /// Begins the span of a statement: the judge decides now.
    pub fn statement(&mut self, moment: &Moment<'_>, phase: Phase, detail: Detail) -> Judged {
        let mut command_id = CommandId::new();
        let Moment { bench, state, state_version, context, ground, reads_only } = moment;
        let Some(parsed) = &detail.parsed else {
            let reason = "the statement is not known".to_owned();
            return self.deny(bench, phase, detail, Denial::Gateway { sqlstate: "26000", reason });
        };
        let verdict = self
            .last_verdict(parsed, *state_version, command_id)
            .unwrap_or_else(|| bench.verdict(parsed, state, context, command_id));
        // What needs an approval is asked for anew: to be prepared it needs none, to run it does.
        self.last = verdict.approval.is_none().then(|| LastVerdict {
            parsed: parsed.clone(),
            state_version: *state_version,
            span: self.spans.len(),
            plan: verdict.plan,
        });
        let Verdict { mut decision, facts, plan, approval, .. } = verdict;
        let (mut denied, mut waits, mut covered) = (None, None, None);
        if decision.effect == Effect::Deny {
            denied = Some(Denial::Policy(decision.reasons.clone()));
        } else if *reads_only && !facts.read_only {
            let reason = "only statements that read run here; this one may write".to_owned();
            decision = held::decided(decision, Effect::Deny, reason.clone());
            denied = Some(Denial::Gateway { sqlstate: "25006", reason });
        } else if let Some(demand) = approval {
            let demanded = demand.clone();
            let asked = ((&decision, &facts), demand, (ground, *state), (command_id, phase));
            match held::settle(asked.0, asked.1, asked.2, asked.3, &detail) {
                Settled::Runs { command_id: id, approval_id, reason } => {
                    command_id = id;
                    decision = held::decided(decision, Effect::Allow, reason);
                    covered = approval_id.map(|approval_id| Covered {
                        approval_id,
                        policy_version: decision.policy_version.clone(),
                        demand: demanded,
                        meaning: state.meaning(),
                    });
                }
                Settled::Waits(ask) => waits = Some(ask),
                Settled::Denied { command_id: id, denial } => {
                    command_id = id;
                    decision = held::decided(decision, Effect::Deny, denial.reasons().join("; "));
                    denied = Some(denial);
                }
            }
        } else if decision.effect != Effect::Allow {
            denied = Some(Denial::Policy(decision.reasons.clone()));
        }
        decision.command_id = Some(command_id);
        let (touches, shifts) = (held::touches(&facts), held::shifts_meaning(&facts));
        self.open(command_id, phase, Some(decision), denied, detail);
        if let Some(span) = self.spans.last_mut() {
            span.facts = Some(facts);
            span.waits = waits;
        }
        Judged { command_id, plan, covered, touches, shifts }
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
        Some(Verdict { decision, facts, plan: last.plan, approval: None, grant: None })
    }

    /// Begins the span of messages without a statement: they need what the session needed to open.
    pub fn control(&mut self, bench: &Bench, context: &AskContext) -> Judged {
        let command_id = CommandId::new();
        let verdict = bench.connect(context, Some(command_id));
        let denied = (verdict.decision.effect != Effect::Allow)
            .then(|| Denial::Policy(verdict.decision.reasons.clone()));
        self.open(command_id, Phase::Control, Some(verdict.decision), denied, Detail::default());
        Judged { command_id, plan: verdict.plan, covered: None, touches: false, shifts: false }
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
        Judged {
            command_id,
            plan: ResponsePlan::default(),
            covered: None,
            touches: false,
            shifts: false,
        }
    }

    /// What waits, as it is put on record and asked for. Nothing else of the unit is on record before it is decided.
    fn held(self) -> Vec<Held> {
        let held = |span: Span| {
            let (ask, decision) = span.waits.zip(span.decision)?;
            Some(Held { ask: *ask, decision })
        };
        self.spans.into_iter().filter_map(held).collect()
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
            waits: None,
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

    /// Whether a span waits for an approval and none may not pass.
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.is_denied() && self.spans.iter().any(|span| span.waits.is_some())
    }

    /// Turns the unit into what passes, or into the record of its refusal.
    ///
    /// # Errors
    /// When the bytes cannot be recorded: then nothing passes.
    pub fn seal(self, scribe: &mut Scribe) -> Result<Sealed, ContentError> {
        if self.is_held() {
            return Ok(Sealed::Held(self.held()));
        }
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
