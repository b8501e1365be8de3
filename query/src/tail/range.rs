//! A piece of the log, read while the query runs.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;
use tallyport_eventlog::{Log, Position, Topic};

use super::{decode, held};
use crate::error::QueryError;
use crate::table::full_schema;

/// What one read asks for, in bytes.
const READ_BYTES: usize = 1024 * 1024;
/// How long one read waits. Everything before the goal is durable, so a wait means a log in trouble.
const READ_WAIT: Duration = Duration::from_secs(2);
/// Reads that may give nothing in a row before the query gives up.
const MAX_EMPTY_READS: u32 = 5;

/// Offsets `from..goal` of one partition.
#[derive(Clone, Debug)]
pub(crate) struct LogRange {
    log: Arc<dyn Log>,
    partition: u32,
    from: u64,
    goal: u64,
    schema: SchemaRef,
}

impl LogRange {
    pub(super) fn new(log: Arc<dyn Log>, partition: u32, from: u64, goal: u64) -> Self {
        Self { log, partition, from, goal, schema: full_schema() }
    }

    /// The next rows from `from` on, and where to read on; nothing at the end.
    async fn next(&self, mut from: u64) -> Result<Option<(RecordBatch, u64)>, QueryError> {
        let mut empty = 0;
        while from < self.goal {
            let position = Position { partition: self.partition, offset: from };
            let entries = self.log.read(Topic::Audit, position, READ_BYTES, READ_WAIT).await?;
            let Some(last) = entries.last() else {
                empty += 1;
                if empty >= MAX_EMPTY_READS {
                    return Err(self.silent(from));
                }
                continue;
            };
            let next = last.position.offset.saturating_add(1);
            let decoded = tokio::task::spawn_blocking(move || decode::rows(&entries)).await;
            if let Some(batch) = decoded.map_err(|_| QueryError::Internal)?? {
                return Ok(Some((held::between(&batch, from, self.goal), next)));
            }
            from = next;
        }
        Ok(None)
    }

    fn silent(&self, from: u64) -> QueryError {
        let (partition, goal) = (self.partition, self.goal);
        tracing::error!(partition, from, goal, "the log does not give what it says it has");
        QueryError::Integrity {
            reason: format!(
                "the log ends at offset {goal} of partition {partition} but gives nothing from {from} on"
            ),
        }
    }
}

impl PartitionStream for LogRange {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let range = self.clone();
        let rows = stream::try_unfold(self.from, move |from| {
            let range = range.clone();
            async move { Ok(range.next(from).await?) }
        });
        Box::pin(RecordBatchStreamAdapter::new(full_schema(), rows))
    }
}
