//! What the gateway itself is told of a session that it runs on somebody's behalf, beside the bytes: what it waits for, and how
//! each command ended. Nothing of any content.

use std::collections::VecDeque;

use jiff::Timestamp;
use parking_lot::Mutex;
use tallyport_schemas::{ApprovalId, CommandId, OutputColumn, ResponseSummary};
use tokio::sync::Notify;

/// Ends of commands that wait to be asked for.
const MAX_OUTCOMES: usize = 16;

/// Told by a session, asked by whoever runs it.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    told: Mutex<Told>,
    waits: Notify,
}

#[derive(Debug, Default)]
struct Told {
    waiting: Vec<Waiting>,
    outcomes: VecDeque<Outcome>,
}

/// An approval that a session waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub approval_id: ApprovalId,
    /// Who must agree, such as `2 of dba`.
    pub demand: String,
    pub until: Timestamp,
    /// It is of no use to another session.
    pub session_bound: bool,
}

/// How a command ended.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub command_id: CommandId,
    pub columns: Vec<OutputColumn>,
    pub masked_values: u64,
}

impl From<&ResponseSummary> for Outcome {
    fn from(summary: &ResponseSummary) -> Self {
        Self {
            command_id: summary.command_id,
            columns: summary.columns.clone(),
            masked_values: summary.masked_values,
        }
    }
}

impl Tap {
    /// The session waits for these, and for nothing else any more.
    pub(super) fn waits_for(&self, waiting: Vec<Waiting>) {
        self.told.lock().waiting = waiting;
        self.waits.notify_one();
    }

    /// Commands ended, which is on record; their bytes come after this.
    pub(super) fn ended(&self, outcomes: Vec<Outcome>) {
        let mut told = self.told.lock();
        told.outcomes.extend(outcomes);
        let surplus = told.outcomes.len().saturating_sub(MAX_OUTCOMES);
        told.outcomes.drain(..surplus);
    }

    /// Waits until the session waits for somebody.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn waiting(&self) -> Vec<Waiting> {
        loop {
            self.waits.notified().await;
            let waiting = self.told.lock().waiting.clone();
            if !waiting.is_empty() {
                return waiting;
            }
        }
    }

    /// How the last command ended, once.
    pub(crate) fn last_outcome(&self) -> Option<Outcome> {
        self.told.lock().outcomes.drain(..).next_back()
    }
}
