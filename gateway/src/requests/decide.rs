//! What policy, people and limits say of a request. What does not pass is on record before it is told.

use gateway_core::passage::Authorized;
use gateway_core::passage::request::{Ruled, Wanted};
use gateway_core::target::{NotTaken, Question};
use gateway_core::verdict::{Verdict, judge_question, not_taken};
use tallyport_eventlog::{Auditable, CommitError, Durable};
use tallyport_schemas::{CommandId, Effect, Recording};
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use super::session::Session;
use crate::approval::Leave;
use crate::gate::{Pass, Shut, asker};

/// What becomes of a request.
pub(super) enum Decided {
    Passes(Box<Allowed>),
    Refused {
        status: u16,
        code: &'static str,
        message: String,
        /// After how many seconds it may be asked again.
        again: Option<u64>,
    },
    /// It could not be put on record: nothing may be told but that.
    Log,
}

/// What may go.
pub(super) struct Allowed {
    pub(super) request: Authorized<Wanted>,
    pub(super) pass: Pass,
    pub(super) recording: Recording,
}

/// Why it may not, beside what the decision says.
struct Why {
    status: u16,
    code: &'static str,
    message: Option<String>,
    again: Option<u64>,
}

impl Session {
    /// Decides. What policy permits only with an approval waits for it, until `until`.
    ///
    /// # Cancel safety
    /// A dropped call may leave a request for an approval, which the same one finds, or one that was used up.
    pub(super) async fn decide(
        &self,
        mut question: Question,
        wanted: Result<Wanted, NotTaken>,
        command_id: CommandId,
        until: Instant,
    ) -> Decided {
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(why) if why.after_policy => {
                return self.told_after_policy(why, question, command_id).await;
            }
            Err(why) => {
                let policy = self.tunnel.inner.policy.current();
                let verdict = not_taken(&why, &question, policy.version());
                let NotTaken { status, code, message, .. } = why;
                let why = Why { status, code, message: Some(message), again: None };
                return self.refuse(verdict, &question, command_id, why).await;
            }
        };
        let (mut verdict, way) = match self.agreed(&mut question, command_id, until).await {
            Ok(agreed) => agreed,
            Err(decided) => return decided,
        };
        let may_go = verdict.is_allowed() || matches!(way, Some(Err(_)));
        if !may_go {
            let why = Why { status: 403, code: "denied_by_policy", message: None, again: None };
            return self.refuse(verdict, &question, command_id, why).await;
        }
        let way =
            way.unwrap_or_else(|| self.target.gate.pass(asker(&self.tunnel.identity.principal)));
        let pass = match way {
            Ok(pass) => pass,
            Err(shut) => {
                shut.settle(&mut verdict.decision);
                let (status, code) = shut.http();
                let why =
                    Why { status, code, message: Some(shut.to_string()), again: shut.again() };
                return self.refuse(verdict, &question, command_id, why).await;
            }
        };
        let recording = verdict.plan.recording;
        let ruled =
            Ruled::of(verdict, &question, Some(wanted), command_id, &mut self.scribe.lock());
        match ruled {
            Ok(Ruled::Passes(request)) => {
                Decided::Passes(Box::new(Allowed { request, pass, recording }))
            }
            Ok(Ruled::Refused(..)) => Decided::Log,
            Err(error) => {
                tracing::error!(%error, "a request cannot be put on record");
                Decided::Log
            }
        }
    }

    /// Refuses what cannot pass in this way, and tells what policy says of it, where that is more.
    async fn told_after_policy(
        &self,
        why: NotTaken,
        mut question: Question,
        command_id: CommandId,
    ) -> Decided {
        let verdict = self.judge(&question, command_id);
        if verdict.decision.effect == Effect::Deny {
            let why = Why { status: 403, code: "denied_by_policy", message: None, again: None };
            return self.refuse(verdict, &question, command_id, why).await;
        }
        let NotTaken { status, code, mut message, .. } = why.clone();
        if let (Effect::Pause, Some(demand)) = (verdict.decision.effect, &verdict.approval)
            && let Ok(pin) = self.pin(&question).await
        {
            question.definition_sha256 = pin;
            if let Some(waits) = self.waits((&verdict, demand), &question) {
                message = waits;
            }
        }
        let policy = self.tunnel.inner.policy.current();
        let verdict = not_taken(&why, &question, policy.version());
        let why = Why { status, code, message: Some(message), again: None };
        self.refuse(verdict, &question, command_id, why).await
    }

    /// What policy says, once people said what they say where it asks for that; with the way through the gate where they did.
    async fn agreed(
        &self,
        question: &mut Question,
        command_id: CommandId,
        until: Instant,
    ) -> Result<(Verdict, Option<Result<Pass, Shut>>), Decided> {
        loop {
            let mut verdict = self.judge(question, command_id);
            let Some(demand) = verdict.approval.take() else { return Ok((verdict, None)) };
            if verdict.decision.effect != Effect::Pause {
                return Ok((verdict, None));
            }
            question.definition_sha256 = match self.pin(question).await {
                Ok(pin) => pin,
                Err(why) => {
                    verdict.decision.effect = Effect::Deny;
                    verdict.decision.reasons = vec![why];
                    return Ok((verdict, None));
                }
            };
            let leave = self.approval((&verdict, &demand), question, command_id, until).await?;
            if !matches!(leave, Leave::Again) {
                leave.settle(&mut verdict.decision);
                return Ok((verdict, leave.way()));
            }
        }
    }

    /// By what policy says now: it may have changed since the session began.
    fn judge(&self, question: &Question, command_id: CommandId) -> Verdict {
        let tunnel = &self.tunnel;
        let asker = tunnel.inner.policy.current().asker(&tunnel.identity);
        let reference = self.target.reference();
        let recording = self.target.config.recording;
        let context = tunnel.ask_context();
        judge_question(&asker, reference, question, &context, recording, Some(command_id))
    }

    /// Puts it on record that nothing passes.
    async fn refuse(
        &self,
        verdict: Verdict,
        question: &Question,
        command_id: CommandId,
        why: Why,
    ) -> Decided {
        let ruled = Ruled::of(verdict, question, None, command_id, &mut self.scribe.lock());
        let (note, reasons) = match ruled {
            Ok(Ruled::Refused(note, reasons)) => (note, reasons),
            Ok(Ruled::Passes(_)) => return Decided::Log,
            Err(error) => {
                tracing::error!(%error, "a refusal cannot be put on record");
                return Decided::Log;
            }
        };
        if let Err(error) = self.tunnel.inner.appender.commit(note).await {
            return self.off_record(&error);
        }
        self.stats.lock().refused += 1;
        self.tunnel.entry.meters.denied.increment(1);
        let Why { status, code, message, again } = why;
        let message = message.unwrap_or_else(|| reasons.join("; "));
        Decided::Refused {
            status,
            code,
            message: format!("{message} (command {command_id})"),
            again,
        }
    }

    /// Puts on record what may pass then; where that fails, nothing more passes in this session.
    pub(super) async fn on_record<T: Auditable>(&self, what: T, span: Span) -> Option<Durable<T>> {
        let recorded = self.tunnel.inner.appender.commit(what).instrument(span).await;
        recorded.inspect_err(|error| _ = self.off_record(error)).ok()
    }

    /// Nothing more passes in this session.
    pub(super) fn off_record(&self, error: &CommitError) -> Decided {
        self.unrecorded.cancel();
        let session = self.tunnel.session_id;
        tracing::error!(%session, %error, "a request is not on record, and does not pass");
        Decided::Log
    }
}
