//! Checkpoints of a table's log, so that whoever opens it reads one file and few commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use deltalake::kernel::Version;
use deltalake::{DeltaTable, DeltaTableError, checkpoints};
use tallyport_lake::{PositionsError, newest_checkpoint};
use tokio_util::task::TaskTracker;

use super::definition::CHECKPOINT_INTERVAL;
use super::store::Storage;

/// Commits after a checkpoint that failed until the next try.
const RETRY_AFTER: u64 = 10;

/// No version is ever this: one is being written.
const BEING_WRITTEN: u64 = u64::MAX;

/// When the next one is due, and those being written.
#[derive(Debug)]
pub(super) struct Checkpoints {
    /// The version from which on one is due.
    due: Arc<AtomicU64>,
    background: TaskTracker,
}

/// The right to write one. However it ends, the next one is due at some version.
struct Turn {
    due: Arc<AtomicU64>,
    next: u64,
}

#[derive(Debug, thiserror::Error)]
enum CheckpointError {
    #[error(transparent)]
    Log(#[from] PositionsError),
    #[error(transparent)]
    Delta(#[from] DeltaTableError),
}

impl Checkpoints {
    /// `newest` is the one that was there when the table was opened.
    pub(super) fn new(newest: Option<Version>, background: TaskTracker) -> Self {
        let due = newest.map_or(CHECKPOINT_INTERVAL - 1, |newest| newest + CHECKPOINT_INTERVAL);
        Self { due: Arc::new(AtomicU64::new(due)), background }
    }

    /// A commit of our own made `version`: starts a checkpoint beside the commits, when one is due. A crash or an
    /// error costs readers some time, nothing else; the next try is some commits later.
    pub(super) fn committed(&self, storage: &Storage, table: &'static str, version: Version) {
        let due = self.due.load(Ordering::Acquire);
        let taken = due <= version
            && self
                .due
                .compare_exchange(due, BEING_WRITTEN, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok();
        if !taken {
            return;
        }
        let turn = Turn { due: Arc::clone(&self.due), next: version + RETRY_AFTER };
        let storage = storage.clone();
        self.background.spawn(async move {
            match write(&storage, version).await {
                Ok(newest) => {
                    turn.done(newest);
                    tracing::debug!(table, version, newest, "the table has a checkpoint");
                }
                Err(error) => {
                    tracing::warn!(table, version, %error, "checkpoint not written; the next try is in {RETRY_AFTER} commits");
                    drop(turn);
                }
            }
        });
    }

    /// Waits until none is being written.
    #[cfg(test)]
    pub(super) async fn wait(&self) {
        while self.due.load(Ordering::Acquire) == BEING_WRITTEN {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}

impl Turn {
    /// There is one of version `newest`.
    fn done(mut self, newest: Version) {
        self.next = newest + CHECKPOINT_INTERVAL;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.due.store(self.next, Ordering::Release);
    }
}

/// Writes the checkpoint of `version` unless another recorder of the table wrote one meanwhile; says which is there.
async fn write(storage: &Storage, version: Version) -> Result<Version, CheckpointError> {
    let log = storage.log_store.object_store(None);
    let newest = newest_checkpoint(log.as_ref(), version).await?;
    if let Some(newest) = newest.filter(|newest| version - newest < CHECKPOINT_INTERVAL) {
        return Ok(newest);
    }
    let mut state = DeltaTable::new(storage.log_store.clone());
    state.load_version(version).await?;
    checkpoints::create_checkpoint(&state, None).await?;
    let expired = checkpoints::cleanup_metadata(&state, None).await?;
    tracing::debug!(version, expired, "checkpoint written");
    Ok(version)
}
