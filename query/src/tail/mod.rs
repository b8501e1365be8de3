//! The live tail: what is on the log and not yet in the lake.
//!
//! Followers keep it decoded in memory, which is a cache and nothing more: whatever of a query's range they do not
//! hold is read from the log itself. So an answer never depends on how far they are, only its speed does.

mod decode;
mod follow;
mod held;
mod range;

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use parking_lot::Mutex;
use tallyport_eventlog::{Log, ReadError, Topic};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::QueryError;
use crate::lake::Snapshot;
use held::Held;
pub(crate) use range::LogRange;

/// The tail of every partition.
#[derive(Debug)]
pub(crate) struct Tail {
    log: Arc<dyn Log>,
    followers: Vec<Arc<Follower>>,
}

/// What is held of one partition.
#[derive(Debug)]
pub(crate) struct Follower {
    partition: u32,
    held: Mutex<Held>,
    /// Said when something was dropped and there is room again.
    room: Notify,
    max_bytes: usize,
}

/// The tail that one query sees: exactly what its snapshot lacks, up to where the log was when it began.
#[derive(Clone, Debug, Default)]
pub(crate) struct PinnedTail {
    /// Held in memory.
    pub(crate) batches: Vec<RecordBatch>,
    /// To be read from the log.
    pub(crate) ranges: Vec<LogRange>,
}

/// The tail of a snapshot cannot be given.
#[derive(Debug)]
pub(crate) enum TailError {
    /// The log no longer has what the snapshot lacks. A newer snapshot may have it.
    Moved { partition: u32, wanted: u64, earliest: u64 },
    /// Anything else.
    Query(QueryError),
}

impl Tail {
    /// Starts one follower per partition, from where `snapshot` ends.
    pub(crate) fn start(
        log: Arc<dyn Log>,
        max_bytes: usize,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        let partitions = log.partitions(Topic::Audit).max(1);
        let max_bytes = max_bytes / partitions as usize;
        let follow = |partition| {
            let follower = Arc::new(Follower {
                partition,
                held: Mutex::new(Held::default()),
                room: Notify::new(),
                max_bytes,
            });
            tasks.spawn(follow::run(Arc::clone(&follower), Arc::clone(&log), stop.clone()));
            follower
        };
        let followers = (0..partitions).map(follow).collect();
        Self { log, followers }
    }

    /// Drops what `snapshot` has.
    pub(crate) fn trim(&self, snapshot: &Snapshot) {
        for (follower, next) in self.followers.iter().zip(&snapshot.next) {
            if let Some(next) = next {
                follower.held.lock().trim(*next);
                follower.room.notify_one();
            }
        }
    }

    /// What `snapshot` lacks, up to the end of the log as it is now.
    pub(crate) async fn pin(&self, snapshot: &Snapshot) -> Result<PinnedTail, TailError> {
        let mut pinned = PinnedTail::default();
        for partition in 0..self.log.partitions(Topic::Audit) {
            let recorded = snapshot.next.get(partition as usize).copied().flatten();
            self.pin_partition(partition, recorded, &mut pinned).await?;
        }
        Ok(pinned)
    }

    async fn pin_partition(
        &self,
        partition: u32,
        recorded: Option<u64>,
        pinned: &mut PinnedTail,
    ) -> Result<(), TailError> {
        let goal = self.log.latest(Topic::Audit, partition).await?;
        let from = recorded.unwrap_or_default();
        if goal < from {
            return Err(TailError::Query(QueryError::Integrity {
                reason: format!(
                    "the lake has partition {partition} up to offset {from}, but the log ends at {goal}: the log was replaced, or it is not the log of this lake"
                ),
            }));
        }
        let piece = self
            .followers
            .get(partition as usize)
            .map(|follower| follower.held.lock().slice(from, goal))
            .unwrap_or_else(|| held::Slice::nothing(from, goal));
        let range = |from, goal| LogRange::new(Arc::clone(&self.log), partition, from, goal);
        let missing = [(from, piece.from), (piece.goal, goal)];
        let missing: Vec<_> = missing.into_iter().filter(|(from, goal)| from < goal).collect();
        if let Some((wanted, _)) = missing.first() {
            let earliest = self.log.earliest(Topic::Audit, partition).await?;
            if *wanted < earliest {
                return Err(TailError::Moved { partition, wanted: *wanted, earliest });
            }
        }
        pinned.batches.extend(piece.batches);
        pinned.ranges.extend(missing.into_iter().map(|(from, goal)| range(from, goal)));
        Ok(())
    }
}

impl From<ReadError> for TailError {
    fn from(error: ReadError) -> Self {
        Self::Query(error.into())
    }
}
