//! How far the recorder is, for readiness, metrics and tests.

use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::timeout;

/// All partitions of a recorder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// In the order of their numbers.
    pub partitions: Vec<PartitionProgress>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionProgress {
    /// Which one.
    pub partition: u32,
    /// Everything before this offset is in the lake.
    pub recorded: u64,
    /// The offset after the log's last record, when it was last looked at.
    pub log_end: u64,
    /// How long the oldest record that was read and is not in the lake yet has been on the log.
    pub lag: Duration,
    /// When the log took that record.
    pub oldest: Option<SystemTime>,
    /// When the last commit was made by this process.
    pub last_commit: Option<SystemTime>,
    /// Records that went to the table of dead letters since the start of this process.
    pub dead_letters: u64,
    /// What it does.
    pub condition: Condition,
}

/// What a partition's task does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It follows the log.
    Recording,
    /// Log or lake cannot be used now; it tries again until it can.
    Retrying {
        /// Which of them.
        outage: Outage,
        /// Since when.
        since: SystemTime,
        /// What was said.
        reason: String,
    },
    /// It ended, in order or with an error.
    Stopped,
}

/// What a partition's task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// The log cannot be read.
    Log,
    /// The lake cannot be written.
    Lake,
}

/// What was waited for did not come.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// Not in time.
    #[error(
        "partition {partition} is recorded up to {recorded}, not {wanted}, after {} ms: {condition:?}", waited.as_millis()
    )]
    TimedOut {
        /// The partition.
        partition: u32,
        /// What was waited for.
        wanted: u64,
        /// How far it is.
        recorded: u64,
        /// What it does.
        condition: Condition,
        /// How long was waited.
        waited: Duration,
    },
    /// The recorder has no such partition.
    #[error("the recorder does not record partition {0}")]
    NoSuchPartition(u32),
    /// The recorder ended first.
    #[error("the recorder stopped before partition {0} was recorded that far")]
    Stopped(u32),
}

impl Progress {
    /// One partition, if it is recorded here.
    #[must_use]
    pub fn partition(&self, partition: u32) -> Option<&PartitionProgress> {
        self.partitions.iter().find(|one| one.partition == partition)
    }

    /// Records on the log and not in the lake, over all partitions.
    #[must_use]
    pub fn lag_records(&self) -> u64 {
        self.partitions.iter().map(PartitionProgress::lag_records).sum()
    }

    /// Whether every partition follows the log.
    #[must_use]
    pub fn is_recording(&self) -> bool {
        self.partitions.iter().all(|one| one.condition == Condition::Recording)
    }
}

impl PartitionProgress {
    pub(crate) const fn new(partition: u32, recorded: u64, log_end: u64) -> Self {
        Self {
            partition,
            recorded,
            log_end,
            lag: Duration::ZERO,
            oldest: None,
            last_commit: None,
            dead_letters: 0,
            condition: Condition::Recording,
        }
    }

    /// How long the oldest record that was read and is not in the lake yet has been on the log at `now`; it grows while
    /// nothing is recorded.
    #[must_use]
    pub fn lag_at(&self, now: SystemTime) -> Duration {
        self.oldest.and_then(|oldest| now.duration_since(oldest).ok()).unwrap_or_default()
    }

    /// Offsets on the log and not in the lake. Offsets may have holes, so it is an upper bound.
    #[must_use]
    pub const fn lag_records(&self) -> u64 {
        self.log_end.saturating_sub(self.recorded)
    }
}

/// Waits until everything of `partition` before `offset` is in the lake.
pub(crate) async fn wait_until(
    mut progress: watch::Receiver<Progress>,
    partition: u32,
    offset: u64,
    at_most: Duration,
) -> Result<(), WaitError> {
    let reached =
        |all: &Progress| all.partition(partition).is_none_or(|one| one.recorded >= offset);
    let waited = timeout(at_most, progress.wait_for(reached)).await.map(|seen| seen.map(drop));
    let now = progress.borrow().partition(partition).cloned();
    let Some(now) = now else { return Err(WaitError::NoSuchPartition(partition)) };
    match waited {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) if now.recorded >= offset => Ok(()),
        Ok(Err(_)) => Err(WaitError::Stopped(partition)),
        Err(_) => Err(WaitError::TimedOut {
            partition,
            wanted: offset,
            recorded: now.recorded,
            condition: now.condition,
            waited: at_most,
        }),
    }
}

/// One partition's hand on the shared progress.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    partition: u32,
    all: watch::Sender<Progress>,
}

impl Reporter {
    pub(crate) const fn new(partition: u32, all: watch::Sender<Progress>) -> Self {
        Self { partition, all }
    }

    /// Changes what is known and wakes who waits, if it did change.
    pub(crate) fn update(&self, change: impl FnOnce(&mut PartitionProgress)) {
        self.all.send_if_modified(|all| {
            let Some(one) = all.partitions.iter_mut().find(|one| one.partition == self.partition)
            else {
                return false;
            };
            let before = one.clone();
            change(one);
            *one != before
        });
    }

    pub(crate) fn view(&self) -> Option<PartitionProgress> {
        self.all.borrow().partition(self.partition).cloned()
    }

    pub(crate) fn recording(&self) {
        self.update(|one| one.condition = Condition::Recording);
    }

    pub(crate) fn retrying(&self, outage: Outage, reason: &str) {
        self.update(|one| {
            let since = match &one.condition {
                Condition::Retrying { since, .. } => *since,
                _ => SystemTime::now(),
            };
            one.condition = Condition::Retrying { outage, since, reason: reason.to_owned() };
        });
    }
}
