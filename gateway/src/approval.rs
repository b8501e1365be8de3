//! Commands that policy permits only with an approval, where each is asked for by itself: asked for on the control log, looked
//! after, and used up by one command.
//!
//! Nothing is kept of a command that waits but what was asked of people: the same one of the same principal, asked again of any
//! gateway, finds it. What was approved is marked as used on the control log, and that is read back, before the command goes
//! its way: it goes at most once, in exactly the words that were approved.

use std::sync::Arc;

use gateway_core::approval::{CallBond, NotCounted, State, call_digest};
use gateway_core::passage::Note;
use gateway_core::passage::held::MAX_REVIEWED_BYTES;
use gateway_core::verdict::Verdict;
use jiff::{SignedDuration, Timestamp};
use tallyport_access::policy::ApprovalDemand;
use tallyport_eventlog::CommitError;
use tallyport_schemas::{
    Approval, ApprovalId, ApprovalRequest, ApprovalScope, Asked, AskedCommand, Body, CommandId,
    Decision, Draft, Effect, Principal, SharedContext,
};

use crate::gate::{Gate, Pass, Shut, asker};
use crate::service::Inner;

/// An approval that is sought.
pub(crate) struct Sought<'a> {
    pub(crate) inner: &'a Inner,
    /// What it is for.
    pub(crate) gate: &'a Arc<Gate>,
    pub(crate) principal: &'a Principal,
    pub(crate) context: &'a SharedContext,
    pub(crate) verdict: &'a Verdict,
    pub(crate) demand: &'a ApprovalDemand,
    pub(crate) command_id: CommandId,
    pub(crate) statement: &'a str,
    pub(crate) definition_sha256: Option<&'a str>,
    /// Of what reviewers are not shown.
    pub(crate) unseen_sha256: Option<&'a str>,
}

/// What comes of seeking it.
#[derive(Debug)]
pub(crate) enum Leave {
    /// It is used up by this command, which may go.
    Given(ApprovalId, Pass),
    /// It is given, and stands: the command may not go now.
    Shut(Shut),
    /// It will not be given, for this reason.
    Denied(String),
    /// Something has changed: it is to be decided anew.
    Again,
}

/// What is known of it now.
pub(crate) enum Now {
    /// People may decide until then.
    Waits(ApprovalId, Timestamp),
    /// It is over.
    Over(Leave),
}

/// It could not be put on record.
pub(crate) enum OffRecord {
    /// That it pauses.
    Pause(CommitError),
    /// What is asked of people, or that it is used up.
    Control,
}

impl Sought<'_> {
    /// Finds it, or asks for it. `pause` makes the event that says the command waits.
    ///
    /// # Cancel safety
    /// A dropped call may leave a request that waits, which the same command finds, or an approval that was used up.
    pub(crate) async fn seek(&self, pause: impl FnOnce(Body) -> Draft) -> Result<Now, OffRecord> {
        if self.demand.scope() != ApprovalScope::Once {
            let why = "policy demands an approval for a session, and what is asked of this kind of target is approved one by one";
            return Ok(Now::Over(Leave::Denied(why.to_owned())));
        }
        let digest = self.digest();
        let Some((approval_id, state)) = self.standing(&digest) else {
            return match self.ask_people(digest, pause).await? {
                Ok(approval_id) => self.look(approval_id).await,
                Err(why) => Ok(Now::Over(Leave::Denied(why))),
            };
        };
        if state != State::Approved {
            return self.look(approval_id).await;
        }
        // First, so that nobody's approval is used up by what cannot go.
        let pass = match self.gate.pass(asker(self.principal)) {
            Ok(pass) => pass,
            Err(shut) => return Ok(Now::Over(Leave::Shut(shut))),
        };
        let used = Approval::Used { approval_id, command_id: self.command_id, digest };
        // A crash right here leaves an approval used up by a command that never went: at most once, not at least.
        Ok(Now::Over(match self.tell(used).await? {
            Ok(()) => Leave::Given(approval_id, pass),
            Err(_another_was_first) => Leave::Again,
        }))
    }

    /// Looks after it. One that nobody decided in time is put on record as that.
    ///
    /// # Cancel safety
    /// A dropped call may have put that on record, which counts once.
    pub(crate) async fn look(&self, approval_id: ApprovalId) -> Result<Now, OffRecord> {
        let now = Timestamp::now();
        let leave = {
            let Some(case) = self.inner.control.case(approval_id) else {
                return Ok(Now::Over(Leave::Again));
            };
            match case.state(now) {
                State::Pending => return Ok(Now::Waits(approval_id, case.stands_until())),
                State::Expired if case.ended_at().is_none() => None,
                State::Approved | State::Used | State::Withdrawn(_) | State::Expired => {
                    Some(Leave::Again)
                }
                State::Denied => {
                    let vote = case.votes().iter().find(|vote| !vote.agrees);
                    let by = vote.map_or("a reviewer", |vote| &vote.reviewer.display_name);
                    let said = vote.and_then(|vote| vote.comment.as_ref());
                    let said = said.map_or_else(String::new, |said| format!(": {said}"));
                    Some(Leave::Denied(format!("approval {approval_id} was denied by {by}{said}")))
                }
            }
        };
        if let Some(leave) = leave {
            return Ok(Now::Over(leave));
        }
        let _counted_once = self.tell(Approval::Expired { approval_id }).await?;
        Ok(Now::Over(Leave::Denied(format!(
            "approval {approval_id} was not given in time; asked once more, exactly the same asks for another one"
        ))))
    }

    /// The one that waits for people already, and until when.
    pub(crate) fn pending(&self) -> Option<(ApprovalId, Timestamp)> {
        let (approval_id, state) = self.standing(&self.digest())?;
        let case = self.inner.control.case(approval_id)?;
        (state == State::Pending).then(|| (approval_id, case.stands_until()))
    }

    fn standing(&self, digest: &str) -> Option<(ApprovalId, State)> {
        let book = self.inner.control.book();
        let standing = book.standing(digest, None, Timestamp::now());
        standing.map(|(case, state)| (case.request().approval_id, state))
    }

    /// What it is bound to.
    fn digest(&self) -> String {
        call_digest(&CallBond {
            who: self.context,
            policy_version: &self.verdict.decision.policy_version,
            demand: self.demand,
            functions: &self.verdict.facts.functions,
            definition_sha256: self.definition_sha256,
            unseen_sha256: self.unseen_sha256,
            statement: self.statement,
        })
    }

    /// Puts the pause on record, and asks; or says why it cannot be asked.
    async fn ask_people(
        &self,
        digest: String,
        pause: impl FnOnce(Body) -> Draft,
    ) -> Result<Result<ApprovalId, String>, OffRecord> {
        let Self { demand, command_id, .. } = *self;
        if self.statement.len() > MAX_REVIEWED_BYTES {
            return Ok(Err(format!(
                "it needs an approval ({demand}) and is longer than the {MAX_REVIEWED_BYTES} bytes that a reviewer is shown"
            )));
        }
        // Looked at before, so that a flood leaves no requests on the log that do not count.
        if let Err(why) = self.inner.control.book().may_ask(self.principal, Timestamp::now()) {
            return Ok(Err(why.to_string()));
        }
        let decision = &self.verdict.decision;
        let event = Decision { command_id: Some(command_id), ..decision.clone() };
        let note = Note::new(vec![pause(Body::Decision(event))]);
        // A crash right here leaves a pause on record that nobody was asked about.
        let _on_record = self.inner.appender.commit(note).await.map_err(OffRecord::Pause)?;
        let approval_id = ApprovalId::new();
        let within = SignedDuration::try_from(demand.within()).unwrap_or_default();
        let facts = &self.verdict.facts;
        let asked = AskedCommand {
            command_id,
            statement: self.statement.to_owned(),
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
        let applied = self.tell(Approval::Requested(Box::new(wish))).await?;
        Ok(applied.map(|()| approval_id).map_err(|why| why.to_string()))
    }

    async fn tell(&self, approval: Approval) -> Result<Result<(), NotCounted>, OffRecord> {
        let draft = Draft::new(self.context.clone(), None, Body::Approval(approval));
        self.inner.control.commit(draft).await.map_err(|error| {
            tracing::error!(%error, "what was asked of an approval may not count");
            OffRecord::Control
        })
    }
}

impl Leave {
    /// The decision, now that it is known what becomes of it.
    pub(crate) fn settle(&self, decision: &mut Decision) {
        (decision.effect, decision.reasons) = match self {
            Self::Given(approval_id, _) => {
                (Effect::Allow, vec![format!("approved: {approval_id}")])
            }
            Self::Denied(why) => (Effect::Deny, vec![why.clone()]),
            Self::Shut(shut) => return shut.settle(decision),
            Self::Again => return,
        };
    }

    /// Its way through the gate; absent where it was not looked for.
    pub(crate) fn way(self) -> Option<Result<Pass, Shut>> {
        match self {
            Self::Given(_, pass) => Some(Ok(pass)),
            Self::Shut(shut) => Some(Err(shut)),
            Self::Denied(_) | Self::Again => None,
        }
    }
}
