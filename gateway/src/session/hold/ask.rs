//! What is asked for when a statement must wait, and how the agent is told.

use gateway_core::approval::{NotCounted, State};
use gateway_core::passage::Denial;
use gateway_core::passage::held::Held;
use gateway_core::pg::session::Violation;
use jiff::{SignedDuration, Timestamp};
use tallyport_schemas::{Approval, ApprovalId, ApprovalRequest, Asked as AskedFor};
use tokio::time::Instant;

use super::super::live::{Live, Stop};
use super::super::{Lifetime, Waiting};
use super::Asked;
use crate::control::ControlError;

/// A command that cannot be asked for, or a session that must end.
pub(super) enum Unasked {
    Denied(Denial),
    Stop(Stop),
}

impl Live {
    /// Puts the pause on record and asks for what is not asked for already; tells the agent what it waits for.
    pub(super) async fn ask_all(&self, held: &[Held]) -> Result<Vec<Asked>, Unasked> {
        let note = self.machine.lock().paused(held);
        // A crash right here leaves a pause on record that nobody was asked about.
        let _on_record = self.tunnel.inner.appender.commit(note).await.map_err(Stop::from)?;
        let mut all = Vec::with_capacity(held.len());
        for one in held {
            let asked = match self.asked_already(one) {
                Some(asked) => asked,
                None => self.request(one).await?,
            };
            self.announce(&asked, one).map_err(Stop::from)?;
            all.push(asked);
        }
        if let Some(tap) = &self.tunnel.tap {
            tap.waits_for(
                all.iter().zip(held).map(|(asked, one)| self.waiting(asked, one)).collect(),
            );
        }
        Ok(all)
    }

    fn waiting(&self, asked: &Asked, held: &Held) -> Waiting {
        let case = self.tunnel.inner.control.case(asked.approval_id);
        Waiting {
            approval_id: asked.approval_id,
            demand: held.ask.demand.to_string(),
            until: asked.lifetime.expires_at(),
            session_bound: case.is_some_and(|case| case.request().session_bound),
        }
    }

    /// A request that stands for exactly this: asked for before by a session that is gone, or approved for this session.
    fn asked_already(&self, held: &Held) -> Option<Asked> {
        let book = self.tunnel.inner.control.book();
        let (case, _) =
            book.standing(&held.ask.digest, Some(self.tunnel.session_id), Timestamp::now())?;
        // What is approved already may stand for longer than it could be answered.
        let asked = Asked::new(case.request().approval_id, held, case.stands_until());
        drop(book);
        self.asked.lock().insert(asked.approval_id);
        Some(asked)
    }

    async fn request(&self, held: &Held) -> Result<Asked, Unasked> {
        let too_many = |why: NotCounted| {
            let (sqlstate, reason) = ("53400", why.to_string());
            Unasked::Denied(Denial::Gateway { sqlstate, reason })
        };
        // Looked at before, so that a flood leaves no requests on the log that do not count.
        let control = &self.tunnel.inner.control;
        let may = control.book().may_ask(&self.tunnel.identity.principal, Timestamp::now());
        may.map_err(too_many)?;
        let approval_id = ApprovalId::new();
        let expires_at = Timestamp::now()
            .checked_add(SignedDuration::try_from(held.ask.demand.within()).unwrap_or_default())
            .unwrap_or(Timestamp::UNIX_EPOCH);
        let ask = held.ask.clone();
        let request = ApprovalRequest {
            approval_id,
            digest: ask.digest,
            session_bound: ask.session_bound,
            scope: ask.demand.scope(),
            requirements: ask.demand.requirements().to_vec(),
            policy_ids: ask.policy_ids,
            policy_version: ask.policy_version,
            reasons: ask.reasons,
            asked: AskedFor::Command(Box::new(ask.command)),
            expires_at,
        };
        // Known before it is on the log: whatever happens from here on, the session's end sees to it.
        self.asked.lock().insert(approval_id);
        let applied = self.tell(Approval::Requested(Box::new(request))).await?;
        applied.map_err(too_many)?;
        Ok(Asked::new(approval_id, held, expires_at))
    }

    fn announce(&self, asked: &Asked, held: &Held) -> Result<(), Violation> {
        let id = asked.approval_id;
        let state = self.tunnel.inner.control.case(id).map(|case| case.state(Timestamp::now()));
        if state == Some(State::Approved) {
            return Ok(());
        }
        let demand = &held.ask.demand;
        let text = format!(
            "tallyport: the statement waits for approval {id} ({demand}), until {}",
            asked.lifetime.expires_at().strftime("%H:%M:%S UTC")
        );
        let hint = format!("A reviewer decides, for example with: tallyport approvals show {id}");
        self.machine.lock().announce(&text, &hint)?;
        self.answer.notify_one();
        Ok(())
    }
}

impl From<ControlError> for Unasked {
    fn from(error: ControlError) -> Self {
        Self::Stop(error.into())
    }
}

impl From<Stop> for Unasked {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl Asked {
    fn new(approval_id: ApprovalId, held: &Held, expires_at: Timestamp) -> Self {
        Self {
            approval_id,
            digest: held.ask.digest.clone(),
            command_id: held.ask.command.command_id,
            lifetime: Lifetime::new(expires_at, Timestamp::now(), Instant::now()),
        }
    }
}
