//! The live tail: what is on the log and not yet in the lake.
//!
//! Followers keep it in memory, which is a cache and nothing more: whatever of a query's range they do not hold is read
//! from the log itself. So an answer never depends on how far they are, only its speed does. They hold the bytes of
//! the log; the first question that needs them makes rows of them, and those are held in their place.

mod decode;
mod follow;
mod held;
mod range;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::record_batch::RecordBatch;
use futures::future::try_join_all;
use metrics::{Gauge, gauge};
use parking_lot::Mutex;
use tallyport_eventlog::{Log, ReadError, Topic};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::QueryError;
use crate::lake::Snapshot;
use held::{Held, Slice, between};
pub(crate) use range::LogRange;

/// The tail of every partition.
#[derive(Debug)]
pub(crate) struct Tail {
    log: Arc<dyn Log>,
    followers: Vec<Arc<Follower>>,
    events: Gauge,
}

/// Bytes of the log that questions may have to decode, over all partitions: what is beyond is decoded as it arrives.
/// This bounds what a question waits for after a burst.
const MAX_UNDECODED_BYTES: usize = 16 * 1024 * 1024;

/// What is held of one partition.
#[derive(Debug)]
pub(crate) struct Follower {
    partition: u32,
    held: Mutex<Held>,
    /// Held by who decodes, so that nobody else decodes the same.
    decoding: tokio::sync::Mutex<()>,
    max_undecoded: usize,
    /// Said when something was dropped and there is room again.
    room: Notify,
    max_bytes: usize,
    /// The last read of the log failed.
    failing: AtomicBool,
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
        let max_undecoded = MAX_UNDECODED_BYTES / partitions as usize;
        let follow = |partition| {
            let follower = Arc::new(Follower {
                partition,
                held: Mutex::new(Held::default()),
                decoding: tokio::sync::Mutex::default(),
                max_undecoded,
                room: Notify::new(),
                max_bytes,
                failing: AtomicBool::new(false),
            });
            tasks.spawn(follow::run(Arc::clone(&follower), Arc::clone(&log), stop.clone()));
            follower
        };
        let followers = (0..partitions).map(follow).collect();
        Self { log, followers, events: gauge!("tallyport_query_tail_events") }
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

    /// Whether every follower could read the log when it last tried.
    pub(crate) fn is_following(&self) -> bool {
        self.followers.iter().all(|follower| !follower.failing.load(Ordering::Relaxed))
    }

    /// How many offsets are held.
    pub(crate) fn events(&self) -> u64 {
        self.followers.iter().map(|follower| follower.held.lock().offsets()).sum()
    }

    /// Tells operators how many.
    pub(crate) fn show(&self) {
        self.events.set(self.events() as f64);
    }

    /// What `snapshot` lacks, up to the end of the log as it is now.
    pub(crate) async fn pin(&self, snapshot: &Snapshot) -> Result<PinnedTail, TailError> {
        let recorded = |partition: u32| snapshot.next.get(partition as usize).copied().flatten();
        // All at once: where a partition ends is a question to a broker.
        let partitions = 0..self.log.partitions(Topic::Audit);
        let pieces = partitions.map(|partition| self.pin_partition(partition, recorded(partition)));
        let mut pinned = PinnedTail::default();
        for piece in try_join_all(pieces).await? {
            pinned.batches.extend(piece.batches);
            pinned.ranges.extend(piece.ranges);
        }
        Ok(pinned)
    }

    async fn pin_partition(
        &self,
        partition: u32,
        recorded: Option<u64>,
    ) -> Result<PinnedTail, TailError> {
        let goal = self.log.latest(Topic::Audit, partition).await?;
        let from = recorded.unwrap_or_default();
        if goal < from {
            return Err(TailError::Query(QueryError::Integrity {
                reason: format!(
                    "the lake has partition {partition} up to offset {from}, but the log ends at {goal}: the log was replaced, or it is not the log of this lake"
                ),
            }));
        }
        let piece = match self.followers.get(partition as usize) {
            Some(follower) => follower.rows(from, goal).await.map_err(TailError::Query)?,
            None => Slice::nothing(from),
        };
        let range = |from, goal| LogRange::new(Arc::clone(&self.log), partition, from, goal);
        let missing = [(from, piece.from), (piece.goal, goal)];
        let missing: Vec<_> = missing.into_iter().filter(|(from, goal)| from < goal).collect();
        if let Some((wanted, _)) = missing.first() {
            let earliest = self.log.earliest(Topic::Audit, partition).await?;
            if *wanted < earliest {
                return Err(TailError::Moved { partition, wanted: *wanted, earliest });
            }
        }
        let ranges = missing.into_iter().map(|(from, goal)| range(from, goal)).collect();
        Ok(PinnedTail { batches: piece.batches, ranges })
    }
}

impl Follower {
    /// What is held of `from..goal`, as rows. What had to be decoded for it is held as rows from now on, if there is
    /// room.
    ///
    /// # Cancel safety
    /// A dropped call changes nothing; its decoding ends by itself.
    async fn rows(&self, from: u64, goal: u64) -> Result<Slice, QueryError> {
        let slice = self.held.lock().slice(from, goal);
        if slice.groups.is_empty() {
            return Ok(slice);
        }
        let _turn = self.decoding.lock().await;
        // Somebody may have decoded it meanwhile.
        let mut slice = self.held.lock().slice(from, goal);
        for group in std::mem::take(&mut slice.groups) {
            // Away from the tasks that serve readers.
            let decoding = tokio::task::spawn_blocking(move || {
                let rows = decode::rows(group.entries.iter().flat_map(|entries| entries.iter()));
                (group, rows)
            });
            let (group, rows) = decoding.await.map_err(|_| QueryError::Internal)?;
            let rows = rows?;
            slice.batches.extend(rows.as_ref().map(|rows| between(rows, slice.from, slice.goal)));
            self.held.lock().adopt(&group, rows, self.max_bytes);
        }
        slice.batches.retain(|batch| batch.num_rows() > 0);
        Ok(slice)
    }
}

impl From<ReadError> for TailError {
    fn from(error: ReadError) -> Self {
        Self::Query(error.into())
    }
}
