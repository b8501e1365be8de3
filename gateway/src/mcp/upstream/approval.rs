//! A call that policy permits only with an approval, and who is told of it while it waits.

use std::time::Duration;

use gateway_core::mcp::RpcError;
use gateway_core::target::Question;
use gateway_core::verdict::Verdict;
use tallyport_access::policy::ApprovalDemand;
use tallyport_schemas::{CommandId, Draft, SharedContext};
use tokio::time::{Instant, timeout_at};

use super::exchange::not_on_record;
use super::question::Admitted;
use crate::approval::{Leave, Now, OffRecord, Sought};
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
    /// Finds the approval of a call, or asks for it and waits, for as long as anybody waits for the answer.
    ///
    /// # Cancel safety
    /// A dropped call may leave a request that waits, which the same call finds.
    pub(super) async fn approval(
        &self,
        (verdict, demand): (&Verdict, &ApprovalDemand),
        (question, command_id): (&Question, CommandId),
        context: &SharedContext,
        patience: &Patience<'_>,
    ) -> Result<Leave, NotAllowed> {
        let sought = Sought {
            inner: &self.inner,
            gate: &self.upstream.gate,
            principal: &self.welcome.caller.identity().principal,
            context,
            verdict,
            demand,
            command_id,
            statement: &question.statement,
            definition_sha256: question.definition_sha256.as_deref(),
            unseen_sha256: question.unseen_sha256.as_deref(),
        };
        let mut changes = self.inner.control.changes();
        let began = Instant::now();
        let mut now =
            sought.seek(|event| Draft::new(context.clone(), None, event)).await.map_err(untold)?;
        loop {
            let (approval_id, until) = match now {
                Now::Over(leave) => return Ok(leave),
                Now::Waits(approval_id, until) => (approval_id, until),
            };
            if Instant::now() >= patience.until {
                let demand = demand.to_string();
                return Err(NotAllowed::Waits(Awaited { approval_id, demand, until }));
            }
            let words = format!(
                "waits for approval {approval_id} ({demand}), until {}",
                until.strftime("%H:%M:%S UTC")
            );
            // Smaller than whatever its server will tell of its own progress.
            patience.progress.tell(began.elapsed().as_secs_f64() / 1e6, &words);
            let next = patience.until.min(Instant::now() + TELL_EVERY);
            let _changed_or_not = timeout_at(next, changes.changed()).await;
            changes.mark_unchanged();
            let welcome = self.inner.still_welcome(self.welcome.caller.identity());
            welcome.map_err(|refusal| RpcError::ended(refusal.message))?;
            now = sought.look(approval_id).await.map_err(untold)?;
        }
    }
}

fn untold(why: OffRecord) -> RpcError {
    match why {
        OffRecord::Pause(error) => not_on_record(&error),
        OffRecord::Control => RpcError::ended(
            "the control log did not confirm in time; nothing was called, try again later",
        ),
    }
}
