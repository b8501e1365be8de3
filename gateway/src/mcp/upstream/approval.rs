//! Calls that policy permits only with an approval: asked for on the control log, waited for, and used up by one call.
//!
//! Nothing is kept of a call that waits but the request: the same call of the same caller, made again at any gateway, finds
//! it. What was approved is marked as used on the control log, and that is read back, before the call goes its way: it runs at
//! most once, with exactly the arguments that were approved, of the tool as it was defined then.

use std::time::Duration;

use gateway_core::approval::{CallBond, NotCounted, State, call_digest};
use gateway_core::mcp::RpcError;
use gateway_core::passage::Note;
use gateway_core::passage::call::Request;
use gateway_core::passage::held::MAX_REVIEWED_BYTES;
use gateway_core::verdict::Verdict;
use jiff::{SignedDuration, Timestamp};
use tallyport_access::policy::ApprovalDemand;
use tallyport_schemas::{
    Approval, ApprovalId, ApprovalRequest, ApprovalScope, Asked, AskedCommand, Body, Decision,
    Draft, Effect, SharedContext,
};
use tokio::time::{Instant, timeout_at};

use super::exchange::not_on_record;
use super::question::Admitted;
use crate::mcp::tools::Progress;
use crate::mcp::waiting::Awaited;

/// How often it is told that it waits on.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// A call that may not go now.
#[derive(Debug)]
pub(super) enum NotAllowed {
    /// It could not be decided, or not be put on record.
    Error(RpcError),
    /// It may not go: policy or a limit says so.
    Refused(RpcError),
    /// It waits for somebody who must agree.
    Waits(Awaited),
}

/// What comes of a wait.
pub(super) enum Leave {
    /// It is used up by this call.
    Given(ApprovalId),
    /// It will not be given, for this reason.
    Denied(String),
    /// Something has changed: it is to be decided anew.
    Again,
}

/// For how long, and who is told meanwhile.
pub(super) struct Patience<'a> {
    pub(super) until: Instant,
    pub(super) progress: &'a Progress,
}

impl From<RpcError> for NotAllowed {
    fn from(error: RpcError) -> Self {
        Self::Error(error)
    }
}

impl Admitted {
    /// Finds the approval of a call, or asks for it and waits.
    ///
    /// # Cancel safety
    /// A dropped call may leave a request that waits, which the same call finds.
    pub(super) async fn approval(
        &self,
        (verdict, demand): (&Verdict, &ApprovalDemand),
        request: &Request,
        context: &SharedContext,
        patience: &Patience<'_>,
    ) -> Result<Leave, NotAllowed> {
        let decision = &verdict.decision;
        if demand.scope() != ApprovalScope::Once {
            let why =
                "policy demands an approval for a session, and calls of MCP servers have none";
            return Ok(Leave::Denied(why.to_owned()));
        }
        let digest = call_digest(&CallBond {
            who: context,
            policy_version: &decision.policy_version,
            demand,
            functions: &verdict.facts.functions,
            definition_sha256: request.definition_sha256.as_deref(),
            statement: &request.statement,
        });
        let control = &self.inner.control;
        let standing = control
            .book()
            .standing(&digest, None, Timestamp::now())
            .map(|(case, state)| (case.request().approval_id, state));
        match standing {
            Some((approval_id, State::Approved)) => {
                let used = Approval::Used { approval_id, command_id: request.command_id, digest };
                // A crash right here leaves an approval used up by a call that never ran: at most once, not at least.
                Ok(match self.tell(context, used).await? {
                    Ok(()) => Leave::Given(approval_id),
                    Err(_another_was_first) => Leave::Again,
                })
            }
            Some((approval_id, _)) => self.wait(approval_id, (demand, context), patience).await,
            None => match self
                .request(decision, demand, (request, &verdict.facts), (digest, context))
                .await?
            {
                Ok(approval_id) => self.wait(approval_id, (demand, context), patience).await,
                Err(why) => Ok(Leave::Denied(why)),
            },
        }
    }

    /// Puts the pause on record, and asks; or says why it cannot be asked.
    async fn request(
        &self,
        decision: &Decision,
        demand: &ApprovalDemand,
        (request, facts): (&Request, &gateway_core::verdict::Facts),
        (digest, context): (String, &SharedContext),
    ) -> Result<Result<ApprovalId, String>, RpcError> {
        if request.statement.len() > MAX_REVIEWED_BYTES {
            return Ok(Err(format!(
                "it needs an approval ({demand}) and its arguments are longer than the {MAX_REVIEWED_BYTES} bytes that a reviewer is shown"
            )));
        }
        let principal = &self.welcome.caller.identity().principal;
        // Looked at before, so that a flood leaves no requests on the log that do not count.
        if let Err(why) = self.inner.control.book().may_ask(principal, Timestamp::now()) {
            return Ok(Err(why.to_string()));
        }
        let pause = Decision { command_id: Some(request.command_id), ..decision.clone() };
        let note = Note::new(vec![Draft::new(context.clone(), None, Body::Decision(pause))]);
        // A crash right here leaves a pause on record that nobody was asked about.
        let _on_record =
            self.inner.appender.commit(note).await.map_err(|error| not_on_record(&error))?;
        let approval_id = ApprovalId::new();
        let within = SignedDuration::try_from(demand.within()).unwrap_or_default();
        let asked = AskedCommand {
            command_id: request.command_id,
            statement: request.statement.clone(),
            parameters: Vec::new(),
            kinds: Vec::new(),
            tables: Vec::new(),
            columns: Vec::new(),
            functions: facts.functions.clone(),
            labels: facts.labels.clone(),
            read_only: facts.read_only,
            opaque: facts.opaque,
            has_where: false,
            by_key: false,
            estimated_rows: None,
        };
        let wish = ApprovalRequest {
            approval_id,
            digest,
            session_bound: false,
            scope: demand.scope(),
            requirements: demand.requirements().to_vec(),
            policy_ids: decision.policy_ids.clone(),
            policy_version: decision.policy_version.clone(),
            reasons: decision.reasons.clone(),
            asked: Asked::Command(Box::new(asked)),
            expires_at: Timestamp::now().checked_add(within).unwrap_or(Timestamp::UNIX_EPOCH),
        };
        let applied = self.tell(context, Approval::Requested(Box::new(wish))).await?;
        Ok(applied.map(|()| approval_id).map_err(|why| why.to_string()))
    }

    /// Waits until it is decided, or for as long as anybody waits for the answer.
    async fn wait(
        &self,
        approval_id: ApprovalId,
        (demand, context): (&ApprovalDemand, &SharedContext),
        patience: &Patience<'_>,
    ) -> Result<Leave, NotAllowed> {
        let mut changes = self.inner.control.changes();
        let began = Instant::now();
        loop {
            changes.mark_unchanged();
            let welcome = self.inner.still_welcome(self.welcome.caller.identity());
            welcome.map_err(|refusal| RpcError::ended(refusal.message))?;
            let Some(now) = self.decided(approval_id) else { return Ok(Leave::Again) };
            let until = match now {
                Now::Waits(until) => until,
                Now::Denied(why) => return Ok(Leave::Denied(why)),
                Now::Changed => return Ok(Leave::Again),
                Now::Lapsed => {
                    let _counted_once =
                        self.tell(context, Approval::Expired { approval_id }).await?;
                    let why = format!(
                        "approval {approval_id} was not given in time; call again to ask for another one"
                    );
                    return Ok(Leave::Denied(why));
                }
            };
            if Instant::now() >= patience.until {
                return Err(NotAllowed::Waits(Awaited {
                    approval_id,
                    demand: demand.to_string(),
                    until,
                }));
            }
            let words = format!(
                "waits for approval {approval_id} ({demand}), until {}",
                until.strftime("%H:%M:%S UTC")
            );
            // Smaller than whatever its server will tell of its own progress.
            patience.progress.tell(began.elapsed().as_secs_f64() / 1e6, &words);
            let next = patience.until.min(Instant::now() + TELL_EVERY);
            let _changed_or_not = timeout_at(next, changes.changed()).await;
        }
    }

    /// What the book says of it; `None` where it knows it no more.
    fn decided(&self, approval_id: ApprovalId) -> Option<Now> {
        let case = self.inner.control.case(approval_id)?;
        let now = Timestamp::now();
        Some(match case.state(now) {
            State::Pending => Now::Waits(case.stands_until()),
            State::Expired if case.ended_at().is_none() => Now::Lapsed,
            State::Approved | State::Used | State::Withdrawn(_) | State::Expired => Now::Changed,
            State::Denied => {
                let vote = case.votes().iter().find(|vote| !vote.agrees);
                let by = vote.map_or("a reviewer", |vote| &vote.reviewer.display_name);
                let said = vote.and_then(|vote| vote.comment.as_ref());
                let said = said.map_or_else(String::new, |said| format!(": {said}"));
                Now::Denied(format!("approval {approval_id} was denied by {by}{said}"))
            }
        })
    }

    async fn tell(
        &self,
        context: &SharedContext,
        approval: Approval,
    ) -> Result<Result<(), NotCounted>, RpcError> {
        let draft = Draft::new(context.clone(), None, Body::Approval(approval));
        self.inner.control.commit(draft).await.map_err(|error| {
            tracing::error!(%error, "what was asked of an approval may not count");
            RpcError::ended(
                "the control log did not confirm in time; nothing was called, try again later",
            )
        })
    }
}

enum Now {
    Waits(Timestamp),
    Lapsed,
    Denied(String),
    Changed,
}

/// The decision, once it is known what becomes of it.
pub(super) fn left(verdict: &mut Verdict, leave: &Leave) {
    let decision = &mut verdict.decision;
    (decision.effect, decision.reasons) = match leave {
        Leave::Given(approval_id) => (Effect::Allow, vec![format!("approved: {approval_id}")]),
        Leave::Denied(why) => (Effect::Deny, vec![why.clone()]),
        Leave::Again => return,
    };
}
