//! Events that every gateway reads: on the audit topic as all events are, then on the control topic in one order.

use std::sync::Arc;

use tallyport_schemas::Draft;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::{Appender, CommitError};
use crate::log::{AppendError, Position, Record, Topic};

impl Appender {
    /// Puts one event on the audit topic and, once it is durable there, the same bytes on the control topic. Returns its
    /// place there. What it means is decided by what stands before it: read it back.
    ///
    /// A crash in between leaves an event on record that had no effect: it can be told from others, since the control
    /// topic does not have it, and whoever waited for it was not told that it was done.
    ///
    /// # Errors
    /// As [`Appender::commit`]. It may be on record, and may yet come to have its effect, unless the error says
    /// [`AppendError::Refused`].
    ///
    /// # Cancel safety
    /// A dropped call may still put the event on both topics, or on the audit topic alone.
    pub async fn commit_control(&self, draft: Draft) -> Result<Position, CommitError> {
        let mut copies = Vec::new();
        let _on_record = self.append(vec![(Topic::Audit, draft)], Some(&mut copies)).await?;
        let records = copies.into_iter().map(|record| Record { topic: Topic::Control, ..record });
        let waited = self.inner.options.append_timeout;
        let unknown = |_| AppendError::Unknown {
            reason: format!("the control topic did not answer within {} ms", waited.as_millis()),
        };
        let positions = timeout(waited, self.append_aside(records.collect())).await;
        let positions = positions.map_err(unknown)??;
        positions.into_iter().next().ok_or_else(super::nothing_recorded)
    }

    /// Appends beside the committer; never on a thread of the runtime where that would block it.
    async fn append_aside(&self, records: Vec<Record>) -> Result<Vec<Position>, AppendError> {
        let log = Arc::clone(&self.inner.log);
        if !log.append_blocks() {
            return log.append(records).await;
        }
        let runtime = Handle::current();
        let blocking = move || runtime.block_on(log.append(records));
        let gone = |_| AppendError::Unknown { reason: "the append was cut short".to_owned() };
        tokio::task::spawn_blocking(blocking).await.map_err(gone)?
    }
}
