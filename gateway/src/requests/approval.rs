//! A request that policy permits only with an approval, and what is told of it while it waits.

use std::time::Duration;

use gateway_core::target::Question;
use gateway_core::verdict::Verdict;
use jiff::Timestamp;
use tallyport_access::policy::ApprovalDemand;
use tallyport_schemas::{ApprovalId, CommandId, SharedContext};
use tokio::time::{Instant, timeout_at};

use super::decide::Decided;
use super::session::Session;
use crate::approval::{Leave, Now, OffRecord, Sought};

/// How often it is looked whether the time for it ran out.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Session {
    /// Finds the approval of a request, or asks for it and waits, for as long as the target's configuration lets requests wait.
    pub(super) async fn approval(
        &self,
        (verdict, demand): (&Verdict, &ApprovalDemand),
        question: &Question,
        command_id: CommandId,
        until: Instant,
    ) -> Result<Leave, Decided> {
        let context = self.context();
        let sought = self.sought((verdict, demand), question, command_id, &context);
        let mut changes = self.tunnel.inner.control.changes();
        let sought_now = sought.seek(|event| self.scribe.lock().draft(event)).await;
        let mut now = sought_now.map_err(|why| self.no_approval(why))?;
        loop {
            let (approval_id, stands_until) = match now {
                Now::Over(leave) => return Ok(leave),
                Now::Waits(approval_id, stands_until) => (approval_id, stands_until),
            };
            if Instant::now() >= until {
                let message = waits(approval_id, demand, stands_until);
                let code = "waits_for_approval";
                return Err(Decided::Refused { status: 403, code, message, again: Some(5) });
            }
            let next = until.min(Instant::now() + LOOK_EVERY);
            let _changed_or_not = timeout_at(next, changes.changed()).await;
            changes.mark_unchanged();
            now = sought.look(approval_id).await.map_err(|why| self.no_approval(why))?;
        }
    }

    /// What is told of a request that waits, where it does.
    pub(super) fn waits(
        &self,
        (verdict, demand): (&Verdict, &ApprovalDemand),
        question: &Question,
    ) -> Option<String> {
        let context = self.context();
        let sought = self.sought((verdict, demand), question, CommandId::new(), &context);
        let (approval_id, until) = sought.pending()?;
        Some(waits(approval_id, demand, until))
    }

    fn sought<'a>(
        &'a self,
        (verdict, demand): (&'a Verdict, &'a ApprovalDemand),
        question: &'a Question,
        command_id: CommandId,
        context: &'a SharedContext,
    ) -> Sought<'a> {
        Sought {
            inner: &self.tunnel.inner,
            gate: &self.target.gate,
            principal: &self.tunnel.identity.principal,
            context,
            verdict,
            demand,
            command_id,
            statement: &question.statement,
            definition_sha256: question.definition_sha256.as_deref(),
            unseen_sha256: question.unseen_sha256.as_deref(),
        }
    }

    fn no_approval(&self, why: OffRecord) -> Decided {
        match why {
            OffRecord::Pause(error) => self.off_record(&error),
            OffRecord::Control => Decided::Log,
        }
    }

    fn context(&self) -> SharedContext {
        self.scribe.lock().context().clone()
    }
}

fn waits(approval_id: ApprovalId, demand: &ApprovalDemand, until: Timestamp) -> String {
    format!(
        "policy demands that somebody else agrees before this goes on ({demand}); they were asked as {approval_id}, until {}. Once \
         it is approved, send exactly the same request again: then it goes, once",
        until.strftime("%Y-%m-%dT%H:%M:%SZ")
    )
}
