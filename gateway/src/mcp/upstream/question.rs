//! Who may ask what of a server: policy, a grant where it demands one, and the limits.

use std::sync::Arc;

use gateway_core::mcp::{RpcError, ServerQuestion};
use gateway_core::passage::Authorized;
use gateway_core::passage::call::{Call, Request, Ruled};
use gateway_core::target::Question;
use gateway_core::verdict::{Verdict, judge_question};
use jiff::Timestamp;
use tallyport_access::policy::{AskContext, Asker, GrantDemand, Resource};
use tallyport_schemas::{
    CallRef, CommandId, Context, Effect, Recording, SharedContext, TargetKind, TargetRef,
};
use tokio::time::Instant;
use tracing::{Instrument as _, debug_span};

use super::Upstream;
use super::approval::{NotAllowed, Patience};
use super::exchange::not_on_record;
use super::welcome::Welcome;
use crate::api::recorded;
use crate::approval::Leave;
use crate::gate::{Pass, asker};
use crate::mcp::tools::Progress;
use crate::service::{Caller, Inner};
use crate::session::SessionGrant;

/// The longest name of a server that is repeated in an event.
const MAX_NAME_CHARS: usize = 128;

/// Somebody who may use a server.
pub(super) struct Admitted {
    pub(super) inner: Arc<Inner>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) welcome: Welcome,
    context: Context,
    facts: AskContext,
    asker: Asker,
}

/// Why somebody may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAdmitted {
    /// There is none of this name, or policy does not let them: which of both is not told.
    Unknown,
    /// Policy demands a grant.
    NeedsGrant,
    /// It is not on record.
    Log,
}

/// What may go.
pub(super) struct Allowed {
    pub(super) call: Authorized<Call>,
    pub(super) pass: Pass,
    pub(super) context: SharedContext,
    pub(super) recording: Recording,
}

/// What is asked, and how it goes on record.
pub(super) struct Wanted {
    pub(super) question: Question,
    /// Why it must not pass, whatever policy says.
    pub(super) objection: Option<&'static str>,
    pub(super) request: Request,
}

impl Admitted {
    /// Lets somebody in who may use the server; that they may not is on record.
    pub(super) async fn of(
        inner: &Arc<Inner>,
        upstream: Option<&Arc<Upstream>>,
        name: &str,
        caller: &Arc<Caller>,
    ) -> Result<Self, NotAdmitted> {
        let name: String = name.chars().take(MAX_NAME_CHARS).collect();
        let target = Some(TargetRef { name: name.clone(), kind: TargetKind::Mcp, database: None });
        let context = Context { target, ..Context::clone(caller.context()) };
        let door = Door::of(inner, &name, caller, &context);
        let (is_allowed, has_demand) = (door.verdict.is_allowed(), door.grant.is_some());
        if let (true, Some(upstream)) = (is_allowed, upstream) {
            return Ok(door.opened(inner, upstream, caller, context));
        }
        let mut decision = door.verdict.decision;
        if is_allowed {
            decision.effect = Effect::Deny;
            decision.reasons = vec!["there is no server of this name".to_owned()];
        }
        let settled = caller.settle(&inner.appender).await.is_ok();
        if !settled || recorded(inner, &context.into(), decision).await.is_err() {
            return Err(NotAdmitted::Log);
        }
        Err(if has_demand && upstream.is_some() {
            NotAdmitted::NeedsGrant
        } else {
            NotAdmitted::Unknown
        })
    }

    /// The same, where nothing is attempted: nothing of it is on record.
    pub(super) fn quietly(
        inner: &Arc<Inner>,
        upstream: &Arc<Upstream>,
        caller: &Arc<Caller>,
    ) -> Option<Self> {
        let context =
            Context { target: Some(upstream.reference()), ..Context::clone(caller.context()) };
        let door = Door::of(inner, upstream.name(), caller, &context);
        door.verdict.is_allowed().then(|| door.opened(inner, upstream, caller, context))
    }

    /// Whether policy lets them ask this now. Nothing of it is on record: nothing happens.
    pub(super) fn may(&self, question: &ServerQuestion<'_>) -> bool {
        let verdict = self.judge(&self.asker, &question.meant(self.upstream.name()), None);
        // What waits for somebody who must agree is there to be asked for.
        verdict.decision.effect != Effect::Deny
    }

    fn judge(&self, asker: &Asker, question: &Question, command_id: Option<CommandId>) -> Verdict {
        let facts = AskContext { now: Timestamp::now(), ..self.facts.clone() };
        let (target, recording) = (self.upstream.reference(), self.upstream.config.recording);
        judge_question(asker, &target, question, &facts, recording, command_id)
    }

    /// Decides; a refusal is on record before it is told. What policy permits only with an approval waits for it, within
    /// `patience`.
    ///
    /// # Cancel safety
    /// A dropped call may leave a request for an approval, which the same one finds, or one that was used up.
    pub(super) async fn decide(
        &self,
        wanted: Wanted,
        patience: &Patience<'_>,
    ) -> Result<Allowed, NotAllowed> {
        self.ruled(wanted, patience).instrument(debug_span!("judge")).await
    }

    async fn ruled(&self, wanted: Wanted, patience: &Patience<'_>) -> Result<Allowed, NotAllowed> {
        let Wanted { question, objection, request } = wanted;
        let command_id = request.command_id;
        let context = self.context_of(&question, command_id);
        let mut way = None;
        let mut verdict = loop {
            // What policy says now: it may have changed while it waited.
            let now = self.inner.policy.current();
            let is_the_same = now.version() == self.asker.policy_set().version();
            let fresh = (!is_the_same).then(|| now.asker(self.welcome.caller.identity()));
            let asker = fresh.as_ref().unwrap_or(&self.asker);
            let mut verdict = self.judge(asker, &question, Some(command_id));
            let Some(demand) = verdict.approval.take() else { break verdict };
            // Nobody is asked to agree to what must not pass.
            if objection.is_some() || verdict.decision.effect != Effect::Pause {
                break verdict;
            }
            self.settle().await?;
            let asked = (&question, command_id);
            let leave = self.approval((&verdict, &demand), asked, &context, patience).await?;
            leave.settle(&mut verdict.decision);
            if !matches!(leave, Leave::Again) {
                way = leave.way();
                break verdict;
            }
        };
        let recording = verdict.plan.recording;
        let is_changed = !self.is_as_it_was(&question);
        let changed = is_changed.then_some("the tool is not defined any more as it was");
        if let Some(objection) = objection.or(changed) {
            verdict.decision.effect = Effect::Deny;
            verdict.decision.reasons = vec![objection.to_owned()];
        }
        let principal = &self.welcome.caller.identity().principal;
        let may_go = || verdict.is_allowed().then(|| self.upstream.gate.pass(asker(principal)));
        // With an approval it was looked for already.
        let pass = way.or_else(may_go).transpose();
        if let Err(shut) = &pass {
            shut.settle(&mut verdict.decision);
        }
        let ruled = Ruled::of(verdict, &question, &request, &context).map_err(|error| {
            tracing::error!(%error, "a request cannot be put on record");
            RpcError::internal()
        })?;
        match (ruled, pass) {
            (Ruled::Passes(call), Ok(Some(pass))) => {
                self.upstream.meters.allowed.increment(1);
                Ok(Allowed { call, pass, context, recording })
            }
            (Ruled::Refused(note, reasons), pass) => {
                self.upstream.meters.denied.increment(1);
                self.settle().await?;
                let recorded = self.inner.appender.commit(note).await;
                let _on_record = recorded.map_err(|error| not_on_record(&error))?;
                // An error of the protocol, as a server says it of a state that is not its own: no tool's words for a model.
                if let Some(objection) = objection {
                    return Err(NotAllowed::Error(RpcError::foreign(objection, command_id)));
                }
                Err(NotAllowed::Refused(match pass {
                    Err(shut) => RpcError::ended(shut.to_string()),
                    Ok(_) => RpcError::refused(&reasons, command_id),
                }))
            }
            (Ruled::Passes(_), _) => Err(NotAllowed::Error(RpcError::internal())),
        }
    }

    /// The check of the caller's token is on record before what follows.
    ///
    /// # Errors
    /// Where the log takes nothing.
    pub(super) async fn settle(&self) -> Result<(), RpcError> {
        let settled = self.welcome.caller.settle(&self.inner.appender).await;
        settled.map_err(|error| not_on_record(&error))
    }

    /// Decides about what is asked of the server itself.
    pub(super) async fn decide_use(
        &self,
        statement: String,
        request: Request,
    ) -> Result<Allowed, RpcError> {
        let question = Question { statement, ..ServerQuestion::Use.meant(self.upstream.name()) };
        self.decide_now(Wanted { question, objection: None, request }).await
    }

    /// The same for what waits for nobody.
    pub(super) async fn decide_now(&self, wanted: Wanted) -> Result<Allowed, RpcError> {
        let (progress, _nobody) = Progress::of(None);
        let patience = Patience { until: Instant::now(), progress: &progress };
        self.decide(wanted, &patience).await.map_err(|why| match why {
            NotAllowed::Error(error) | NotAllowed::Refused(error) => error,
            NotAllowed::Waits(_) => RpcError::internal(),
        })
    }

    /// Whether the tool that is called is defined as it was when it was asked about.
    fn is_as_it_was(&self, question: &Question) -> bool {
        let Some(tool) = called(question) else { return true };
        let now = self.upstream.definitions.now();
        let now = now.and_then(|look| look.tool(&self.inner, &self.upstream, tool));
        now.is_some_and(|now| question.definition_sha256.as_ref() == Some(&now.sha256))
    }

    fn context_of(&self, question: &Question, command_id: CommandId) -> SharedContext {
        let call = called(question).map(|tool| CallRef {
            call_id: command_id,
            server: self.upstream.name().to_owned(),
            tool: tool.to_owned(),
        });
        SharedContext::from(Context { call, ..self.context.clone() })
    }
}

/// The tool that is called.
fn called(question: &Question) -> Option<&str> {
    question.asks.iter().find_map(|(_, resource)| match resource {
        Resource::Tool { name, .. } => Some(name.as_str()),
        _ => None,
    })
}

/// What policy says at the door of a server, with the grant that stands where it demands one.
struct Door {
    verdict: Verdict,
    asker: Asker,
    facts: AskContext,
    grant: Option<GrantDemand>,
    until: Timestamp,
}

impl Door {
    fn of(inner: &Inner, name: &str, caller: &Caller, context: &Context) -> Self {
        let asker = inner.policy.current().asker(caller.identity());
        let mut facts = caller.ask_context();
        let target = TargetRef { name: name.to_owned(), kind: TargetKind::Mcp, database: None };
        let question = ServerQuestion::Use.meant(name);
        let ask = |facts: &AskContext| {
            judge_question(&asker, &target, &question, facts, Recording::Full, None)
        };
        let mut verdict = ask(&facts);
        let grant = verdict.grant.take();
        let mut until = caller.identity().expires_at;
        if let Some(demand) = &grant
            && let Some((SessionGrant { given, .. }, granted_until)) =
                inner.grant_for(context, demand)
        {
            facts.grant = Some(given);
            until = until.min(granted_until);
            verdict = ask(&facts);
        }
        Self { verdict, asker, facts, grant, until }
    }

    fn opened(
        self,
        inner: &Arc<Inner>,
        upstream: &Arc<Upstream>,
        caller: &Arc<Caller>,
        context: Context,
    ) -> Admitted {
        let Self { asker, facts, grant, until, .. } = self;
        let welcome = Welcome { caller: Arc::clone(caller), until, grant };
        Admitted {
            inner: Arc::clone(inner),
            upstream: Arc::clone(upstream),
            welcome,
            context,
            facts,
            asker,
        }
    }
}

impl NotAdmitted {
    /// What is told of it.
    pub(super) fn error(self, name: &str) -> RpcError {
        match self {
            Self::Unknown => {
                RpcError::ended("there is no MCP server of this name, or you may not know of it")
            }
            Self::NeedsGrant => RpcError::ended(format!(
                "policy demands a grant for this server; ask for one: tallyport request {name} --for 30m --reason \"what for\""
            )),
            Self::Log => RpcError::ended(
                "the audit log is not available; nothing passes without a record, try again later",
            ),
        }
    }
}
