//! Requests that policy permits only with an approval: asked for on the control log, waited for, and used up by one request.
//!
//! Nothing is kept of a request that waits but what was asked of people: the same request of the same principal, sent again to
//! any gateway, finds it. What was approved is marked as used on the control log, and that is read back, before the request goes
//! its way: it is sent at most once.

use std::time::Duration;

use gateway_core::approval::{CallBond, NotCounted, State, call_digest};
use gateway_core::passage::Note;
use gateway_core::passage::held::MAX_REVIEWED_BYTES;
use gateway_core::target::Question;
use gateway_core::verdict::Verdict;
use jiff::{SignedDuration, Timestamp};
use tallyport_access::policy::ApprovalDemand;
use tallyport_schemas::{
    Approval, ApprovalId, ApprovalRequest, ApprovalScope, Asked, AskedCommand, Body, CommandId,
    Decision, Draft, SharedContext,
};
use tokio::time::{Instant, timeout_at};

use super::session::Session;

/// How often it is looked whether whoever asked is still welcome.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What comes of asking for an approval.
pub(super) enum Leave {
    /// It is used up by this request.
    Given(ApprovalId),
    /// It will not be given, for this reason.
    Denied(String),
    /// It is not given yet.
    Waits { message: String },
    /// Something has changed: it is to be decided anew.
    Again,
    /// Nothing can be put on record.
    Log,
}

impl Session {
    /// Finds the approval of a request, or asks for it and waits.
    pub(super) async fn approval(
        &self,
        (verdict, demand): (&Verdict, &ApprovalDemand),
        question: &Question,
        command_id: CommandId,
        until: Instant,
    ) -> Leave {
        if demand.scope() != ApprovalScope::Once {
            let why = "policy demands an approval for a session, and requests of HTTP are approved one by one";
            return Leave::Denied(why.to_owned());
        }
        let context = self.context();
        let digest = digest(&context, (verdict, demand), question);
        let standing = self.standing(&digest);
        let approval_id = match standing {
            Some((approval_id, State::Approved)) => {
                let used = Approval::Used { approval_id, command_id, digest };
                // A crash right here leaves an approval used up by a request that was never sent: at most once, not at least.
                return match self.tell(&context, used).await {
                    Some(Ok(())) => Leave::Given(approval_id),
                    Some(Err(_another_was_first)) => Leave::Again,
                    None => Leave::Log,
                };
            }
            Some((approval_id, _)) => approval_id,
            None => {
                let asked =
                    self.ask_people((verdict, demand), question, (command_id, digest), &context);
                match asked.await {
                    Ok(approval_id) => approval_id,
                    Err(leave) => return leave,
                }
            }
        };
        self.wait(approval_id, demand, &context, until).await
    }

    fn standing(&self, digest: &str) -> Option<(ApprovalId, State)> {
        let book = self.tunnel.inner.control.book();
        let standing = book.standing(digest, None, Timestamp::now());
        standing.map(|(case, state)| (case.request().approval_id, state))
    }

    /// What is told of a request that waits, where it does.
    pub(super) fn waits(
        &self,
        (verdict, demand): (&Verdict, &ApprovalDemand),
        question: &Question,
    ) -> Option<String> {
        let digest = digest(&self.context(), (verdict, demand), question);
        let (approval_id, state) = self.standing(&digest)?;
        let case = self.tunnel.inner.control.case(approval_id)?;
        (state == State::Pending).then(|| waits(approval_id, demand, case.stands_until()))
    }

    /// Puts the pause on record, and asks; or says why it cannot be asked.
    async fn ask_people(
        &self,
        (verdict, demand): (&Verdict, &ApprovalDemand),
        question: &Question,
        (command_id, digest): (CommandId, String),
        context: &SharedContext,
    ) -> Result<ApprovalId, Leave> {
        if question.statement.len() > MAX_REVIEWED_BYTES {
            return Err(Leave::Denied(format!(
                "it needs an approval ({demand}) and is longer than the {MAX_REVIEWED_BYTES} bytes that a reviewer is shown"
            )));
        }
        let inner = &self.tunnel.inner;
        let principal = &self.tunnel.identity.principal;
        // Looked at before, so that a flood leaves no requests on the log that do not count.
        let may = inner.control.book().may_ask(principal, Timestamp::now());
        may.map_err(|why| Leave::Denied(why.to_string()))?;
        let pause = Decision { command_id: Some(command_id), ..verdict.decision.clone() };
        let draft = self.scribe.lock().draft(Body::Decision(pause));
        // A crash right here leaves a pause on record that nobody was asked about.
        let recorded = inner.appender.commit(Note::new(vec![draft])).await;
        let _on_record = recorded.map_err(|error| {
            let _told = self.off_record(&error);
            Leave::Log
        })?;
        let approval_id = ApprovalId::new();
        let within = SignedDuration::try_from(demand.within()).unwrap_or_default();
        let facts = &verdict.facts;
        let asked = AskedCommand {
            command_id,
            statement: question.statement.clone(),
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
            policy_ids: verdict.decision.policy_ids.clone(),
            policy_version: verdict.decision.policy_version.clone(),
            reasons: verdict.decision.reasons.clone(),
            asked: Asked::Command(Box::new(asked)),
            expires_at: Timestamp::now().checked_add(within).unwrap_or(Timestamp::UNIX_EPOCH),
        };
        match self.tell(context, Approval::Requested(Box::new(wish))).await {
            Some(Ok(())) => Ok(approval_id),
            Some(Err(why)) => Err(Leave::Denied(why.to_string())),
            None => Err(Leave::Log),
        }
    }

    /// Waits until it is decided, or for as long as the target's configuration lets requests wait.
    async fn wait(
        &self,
        approval_id: ApprovalId,
        demand: &ApprovalDemand,
        context: &SharedContext,
        until: Instant,
    ) -> Leave {
        let control = &self.tunnel.inner.control;
        let mut changes = control.changes();
        loop {
            changes.mark_unchanged();
            let now = Timestamp::now();
            let stands_until = {
                let Some(case) = control.case(approval_id) else { return Leave::Again };
                match case.state(now) {
                    State::Pending => Some(case.stands_until()),
                    State::Expired if case.ended_at().is_none() => None,
                    State::Approved | State::Used | State::Withdrawn(_) | State::Expired => {
                        return Leave::Again;
                    }
                    State::Denied => {
                        let vote = case.votes().iter().find(|vote| !vote.agrees);
                        let by = vote.map_or("a reviewer", |vote| &vote.reviewer.display_name);
                        let said = vote.and_then(|vote| vote.comment.as_ref());
                        let said = said.map_or_else(String::new, |said| format!(": {said}"));
                        return Leave::Denied(format!(
                            "approval {approval_id} was denied by {by}{said}"
                        ));
                    }
                }
            };
            let Some(stands_until) = stands_until else {
                let Some(_counted_once) =
                    self.tell(context, Approval::Expired { approval_id }).await
                else {
                    return Leave::Log;
                };
                let why = format!(
                    "approval {approval_id} was not given in time; send the request again to ask for another one"
                );
                return Leave::Denied(why);
            };
            if Instant::now() >= until {
                return Leave::Waits { message: waits(approval_id, demand, stands_until) };
            }
            let next = until.min(Instant::now() + LOOK_EVERY);
            let _changed_or_not = timeout_at(next, changes.changed()).await;
        }
    }

    fn context(&self) -> SharedContext {
        self.scribe.lock().context().clone()
    }

    /// None where it may not count.
    async fn tell(
        &self,
        context: &SharedContext,
        approval: Approval,
    ) -> Option<Result<(), NotCounted>> {
        let draft = Draft::new(context.clone(), None, Body::Approval(approval));
        match self.tunnel.inner.control.commit(draft).await {
            Ok(applied) => Some(applied),
            Err(error) => {
                tracing::error!(%error, "what was asked of an approval may not count");
                None
            }
        }
    }
}

/// What an approval of a request is bound to.
fn digest(
    context: &SharedContext,
    (verdict, demand): (&Verdict, &ApprovalDemand),
    question: &Question,
) -> String {
    call_digest(&CallBond {
        who: context,
        policy_version: &verdict.decision.policy_version,
        demand,
        functions: &verdict.facts.functions,
        definition_sha256: question.definition_sha256.as_deref(),
        statement: &question.statement,
    })
}

fn waits(approval_id: ApprovalId, demand: &ApprovalDemand, until: Timestamp) -> String {
    format!(
        "policy demands that somebody else agrees before this goes on ({demand}); they were asked as {approval_id}, until {}. Once \
         it is approved, send exactly the same request again: then it goes, once",
        until.strftime("%Y-%m-%dT%H:%M:%SZ")
    )
}
