//! A statement that waits for an approval: asked for on the control log, told to the agent, and run at most once.
//!
//! The target sees nothing of it meanwhile. It ends by the reviewers' answer, by time, by the agent's cancel request, or
//! with the session. What was approved is marked as used on the control log, and that is read back, before the statement
//! goes its ordinary way: judged anew, put on record, sent. Who loses a race there asks anew.

mod ask;

use futures::FutureExt as _;
use gateway_core::approval::{GIVEN_BACK, NotCounted, State};
use gateway_core::passage::Denial;
use gateway_core::passage::held::{Held, Leave};
use gateway_core::pg::session::{AgentStep, Ending};
use gateway_core::pg::write::ErrorReply;
use jiff::Timestamp;
use tallyport_schemas::{Approval, ApprovalId, ApprovalScope, Body, CommandId, Draft};
use tokio::io::{AsyncReadExt as _, ReadHalf};

use self::ask::Unasked;
use super::Lifetime;
use super::live::{Live, Stop};
use super::read_buffer::ReadBuffer;
use crate::control::ControlError;
use crate::tunnel::TunnelIo;

/// So much is read of an agent that goes on sending while its statement waits; then it is left to wait, too.
const MAX_READ_AHEAD_BYTES: usize = 64 * 1024;

/// A request that a held command waits for.
struct Asked {
    approval_id: ApprovalId,
    digest: String,
    command_id: CommandId,
    lifetime: Lifetime,
}

/// How a wait ends.
enum Outcome {
    /// All are approved.
    Approved,
    /// None of them runs.
    Refused(Denial),
    /// One of them is no longer there to be waited for: it is asked for anew.
    Gone,
}

impl From<ControlError> for Stop {
    fn from(error: ControlError) -> Self {
        let reply = ErrorReply::fatal(
            "58030",
            "tallyport: the control log did not take the record; the session was ended",
        )
        .hint("Nothing runs without a record. Try again later.");
        Self::Ended(Ending::Lost {
            cause: "log_unavailable".to_owned(),
            message: error.to_string(),
            farewell: Some(reply),
        })
    }
}

impl Live {
    /// Sees held commands through to their end; gives the step that the session goes on with.
    pub(super) async fn hold(
        &self,
        held: Vec<Held>,
        reader: &mut ReadHalf<Box<dyn TunnelIo>>,
        buffer: &mut ReadBuffer,
    ) -> Result<AgentStep, Stop> {
        let _holding = self.registered.holds();
        let mut held = held;
        loop {
            let leaves = match self.ask_all(&held).await {
                Err(Unasked::Stop(stop)) => return Err(stop),
                Err(Unasked::Denied(denial)) => refused(&held, &denial),
                Ok(asked) => match self.until_decided(&asked, reader, buffer).await? {
                    Outcome::Gone => continue,
                    Outcome::Refused(denial) => {
                        self.withdraw_all(&asked, "superseded").await;
                        refused(&held, &denial)
                    }
                    Outcome::Approved => {
                        // What it means may have changed while it waited: policy, the catalog.
                        match self.agent_step(&self.benches.refreshed().await?)? {
                            AgentStep::Hold(now) if is_same(&now, &held) => {}
                            AgentStep::Hold(now) => {
                                self.withdraw_all(&asked, "superseded").await;
                                held = now;
                                continue;
                            }
                            other => {
                                self.withdraw_all(&asked, "superseded").await;
                                return Ok(other);
                            }
                        }
                        match self.use_all(&asked).await? {
                            Some(leaves) => leaves,
                            None => continue,
                        }
                    }
                },
            };
            self.forget_what_is_over();
            self.machine.lock().decide(leaves);
            match self.agent_step(&self.benches.newest().await?)? {
                AgentStep::Hold(now) => held = now,
                other => return Ok(other),
            }
        }
    }

    /// Waits for the answers. Meanwhile the agent is read, within bounds, so that its leaving is seen.
    async fn until_decided(
        &self,
        asked: &[Asked],
        reader: &mut ReadHalf<Box<dyn TunnelIo>>,
        buffer: &mut ReadBuffer,
    ) -> Result<Outcome, Stop> {
        let mut changes = self.tunnel.inner.control.changes();
        let mut read_ahead = 0;
        loop {
            changes.mark_unchanged();
            // Before the answer: who cancels at the same moment is heard.
            if self.registered.hold_cancelled().now_or_never().is_some() {
                return Ok(self.cancelled(asked).await);
            }
            if let Some(outcome) = self.decided(asked) {
                return Ok(outcome);
            }
            let over = asked.iter().map(|one| Box::pin(one.lifetime.over(Timestamp::now)));
            tokio::select! {
                // The sender lives as long as the gateway.
                _changed = changes.changed() => {}
                (_, index, _) = futures::future::select_all(over) => {
                    let Some(lapsed) = asked.get(index) else { continue };
                    return self.lapse(lapsed).await;
                }
                () = self.registered.hold_cancelled() => {
                    return Ok(self.cancelled(asked).await);
                }
                read = reader.read_buf(buffer.emptied()), if read_ahead < MAX_READ_AHEAD_BYTES => match read {
                    Ok(1..) => {
                        read_ahead += buffer.bytes().len();
                        self.machine.lock().agent_bytes(buffer.bytes());
                    }
                    Ok(0) | Err(_) => return Err(Stop::client_gone()),
                },
            }
        }
    }

    async fn cancelled(&self, asked: &[Asked]) -> Outcome {
        self.withdraw_all(asked, "cancelled").await;
        let reason = "canceling statement due to user request".to_owned();
        Outcome::Refused(Denial::Gateway { sqlstate: "57014", reason })
    }

    /// What the book says of all of them together; `None` while it says nothing final.
    fn decided(&self, asked: &[Asked]) -> Option<Outcome> {
        let now = Timestamp::now();
        let book = self.tunnel.inner.control.book();
        let mut all_approved = true;
        for one in asked {
            let Some(case) = book.case(one.approval_id) else { return Some(Outcome::Gone) };
            let id = one.approval_id;
            match case.state(now) {
                State::Approved => {}
                // Time is told by the clocks of the wait, and put on record there.
                State::Pending | State::Expired if case.ended_at().is_none() => {
                    all_approved = false;
                }
                State::Denied => {
                    let vote = case.votes().iter().find(|vote| !vote.agrees);
                    let by = vote.map_or("a reviewer", |vote| &vote.reviewer.display_name);
                    let said = vote.and_then(|vote| vote.comment.as_ref());
                    let said = said.map_or_else(String::new, |said| format!(": {said}"));
                    return Some(refusal(format!("approval {id} was denied by {by}{said}")));
                }
                State::Expired | State::Pending => return Some(in_vain(id)),
                State::Withdrawn(cause) if cause == GIVEN_BACK => {
                    return Some(refusal(format!("approval {id} was withdrawn by whoever asked")));
                }
                // Another session of the same principal used it, or gave it up.
                State::Used | State::Withdrawn(_) => return Some(Outcome::Gone),
            }
        }
        all_approved.then_some(Outcome::Approved)
    }

    async fn lapse(&self, asked: &Asked) -> Result<Outcome, Stop> {
        let approval_id = asked.approval_id;
        let lapsed = self.tell_of(Approval::Expired { approval_id }).await?;
        if lapsed == Err(NotCounted::NotLapsed) {
            // By the wall clock there is time left: it was set back. By the other there is none.
            let cause = "expired".to_owned();
            let _now_over = self.tell_of(Approval::Withdrawn { approval_id, cause }).await?;
        }
        Ok(in_vain(approval_id))
    }

    /// Marks all as used; `None` when one of them was not there to be used any more.
    async fn use_all(&self, asked: &[Asked]) -> Result<Option<Vec<Leave>>, Stop> {
        let mut leaves = Vec::with_capacity(asked.len());
        for one in asked {
            let &Asked { approval_id, command_id, .. } = one;
            let digest = one.digest.clone();
            let used = Approval::Used { approval_id, command_id, digest: digest.clone() };
            // A crash right here leaves an approval used up by a command that never ran: at most once, not at least.
            if let Err(not_counted) = self.tell_of(used).await? {
                tracing::info!(approval = %approval_id, why = %not_counted, "an approval was not there to be used");
                return Ok(None);
            }
            leaves.push(Leave { digest, command_id, outcome: Ok(approval_id) });
        }
        Ok(Some(leaves))
    }

    fn forget_what_is_over(&self) {
        let control = &self.tunnel.inner.control;
        let is_open =
            |id: &ApprovalId| control.case(*id).is_none_or(|case| case.ended_at().is_none());
        self.asked.lock().retain(is_open);
    }

    /// What stands for the session goes on standing: it is not for this one wait.
    async fn withdraw_all(&self, asked: &[Asked], cause: &str) {
        for one in asked {
            let stands = self.tunnel.inner.control.case(one.approval_id).is_some_and(|case| {
                case.request().scope == ApprovalScope::Session && case.approved_at().is_some()
            });
            if !stands {
                self.withdraw(one.approval_id, cause).await;
            }
        }
    }

    /// Says that nobody waits for it any more, where that is still open.
    async fn withdraw(&self, approval_id: ApprovalId, cause: &str) {
        let open = self
            .tunnel
            .inner
            .control
            .case(approval_id)
            .is_some_and(|case| case.ended_at().is_none());
        if !open {
            return;
        }
        let withdrawn = Approval::Withdrawn { approval_id, cause: cause.to_owned() };
        if let Err(error) = self.tell(withdrawn).await {
            tracing::warn!(approval = %approval_id, %error, "a withdrawal is not on record; the request lapses by itself");
        }
    }

    /// What the session asked for and nobody can use once it is over, or may: the rest stays, so that the same statement
    /// of the same principal finds it when it comes again.
    pub(super) async fn withdraw_asked(&self, ending: &Ending) {
        let asked = std::mem::take(&mut *self.asked.lock());
        for approval_id in asked {
            let useless = self.tunnel.inner.control.case(approval_id).is_some_and(|case| {
                let request = case.request();
                request.session_bound || request.scope == ApprovalScope::Session
            });
            if useless || matches!(ending, Ending::Revoked { .. }) {
                self.withdraw(approval_id, "session_ended").await;
            }
        }
    }

    async fn tell_of(&self, approval: Approval) -> Result<Result<(), NotCounted>, Stop> {
        self.tell(approval).await.map_err(Stop::from)
    }

    async fn tell(&self, approval: Approval) -> Result<Result<(), NotCounted>, ControlError> {
        let draft: Draft = self.machine.lock().scribe().draft(Body::Approval(approval));
        self.tunnel.inner.control.commit(draft).await
    }
}

fn is_same(now: &[Held], then: &[Held]) -> bool {
    let digests = |held: &[Held]| held.iter().map(|one| one.ask.digest.clone()).collect::<Vec<_>>();
    digests(now) == digests(then)
}

fn refused(held: &[Held], denial: &Denial) -> Vec<Leave> {
    let leave = |held: &Held| Leave {
        digest: held.ask.digest.clone(),
        command_id: held.ask.command.command_id,
        outcome: Err(denial.clone()),
    };
    held.iter().map(leave).collect()
}

fn refusal(reason: String) -> Outcome {
    Outcome::Refused(Denial::Gateway { sqlstate: "42501", reason })
}

fn in_vain(id: ApprovalId) -> Outcome {
    refusal(format!(
        "approval {id} was not given in time; send the statement again to ask for another one"
    ))
}
