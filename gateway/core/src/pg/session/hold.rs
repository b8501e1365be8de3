//! A unit that waits for approvals.

use std::collections::BTreeSet;

use super::spans::Verdicts;
use super::{AgentStep, Court, Machine, Violation};
use crate::passage::held::{Held, Leave};
use crate::passage::unit::Sealed;
use crate::passage::{Denial, Note};
use crate::pg::frame::Frame;
use crate::pg::write;
use tallyport_schemas::Body;

/// The most commands of one unit that wait: reviewers are asked for each.
const MAX_HELD: usize = 16;

impl Machine {
    /// Keeps the unit until it is decided. Earlier answers come first, so that nothing is on its way meanwhile.
    pub(super) fn hold(
        &mut self,
        verdicts: Verdicts,
        frames: Vec<Frame>,
        court: &Court<'_>,
    ) -> Result<AgentStep, Violation> {
        if !self.is_drained() {
            return self.wait_with(frames, court);
        }
        let Sealed::Held(mut held) = verdicts.unit.seal(&mut self.scribe)? else {
            return Ok(AgentStep::Wait);
        };
        let digests: BTreeSet<&String> = held.iter().map(|held| &held.ask.digest).collect();
        let twice = digests.len() < held.len();
        if held.len() > MAX_HELD || twice {
            let reason = if twice {
                "one command that needs an approval was sent twice before one Sync; send it again after the first".to_owned()
            } else {
                format!(
                    "more than {MAX_HELD} commands that need an approval were sent at once; send fewer before each Sync"
                )
            };
            let denial = Denial::Gateway { sqlstate: "54000", reason };
            let leave = |held: Held| Leave {
                digest: held.ask.digest,
                command_id: held.ask.command.command_id,
                outcome: Err(denial.clone()),
            };
            self.leaves = held.drain(..).map(leave).collect();
            return self.messages_unit(frames, court);
        }
        self.retained = Some(super::agent::Raw::Messages(frames));
        Ok(AgentStep::Hold(held))
    }

    /// The record of a pause; to be made once for what is held, and committed.
    pub fn paused(&mut self, held: &[Held]) -> Note {
        let drafts =
            held.iter().map(|held| self.scribe.draft(Body::Decision(held.decision.clone())));
        Note::new(drafts.collect())
    }

    /// Tells the agent, while it waits, what for. Goes out as any answer: once it is on record.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub fn announce(&mut self, text: &str, hint: &str) -> Result<(), Violation> {
        Ok(self.batch.put_stray("notice", &write::notice(text, hint), true)?)
    }

    /// What was decided about commands that wait. [`Machine::agent_step`] then goes on: what has leave passes, what was
    /// denied is refused, and the rest waits on.
    pub fn decide(&mut self, leaves: Vec<Leave>) {
        self.leaves = leaves;
    }
}
