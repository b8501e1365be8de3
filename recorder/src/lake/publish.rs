//! One commit of a Delta table, made by compare-and-swap on its version.

use std::io;
use std::time::Duration;

use deltalake::DeltaTableError;
use deltalake::kernel::Version;
use deltalake::kernel::transaction::{CommitData, TransactionError};
use deltalake::logstore::CommitOrBytes;
use uuid::Uuid;

use super::local;
use super::store::{Storage, io_error};
use crate::error::LakeError;

/// Tries to win a version before giving the caller a rest. Each lost try means that another writer's commit won.
pub(super) const MAX_TRIES: u32 = 64;

/// The longest pause between two tries; it grows with the tries, so that writers in step fall out of it.
const MAX_PAUSE: Duration = Duration::from_millis(50);

/// A commit was not made, or nobody knows.
pub(super) enum PublishError {
    /// Another commit has that version.
    Taken,
    /// It may be there, or may yet appear.
    Unknown(LakeError),
}

pub(super) async fn publish(
    storage: &Storage,
    version: Version,
    content: Vec<u8>,
) -> Result<(), PublishError> {
    if let Some(root) = storage.local.clone() {
        let written = on_disk(move || local::publish(&root, version, &content)).await;
        return written.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => PublishError::Taken,
            _ => PublishError::Unknown(io_error(&storage.url, &error)),
        });
    }
    let content = CommitOrBytes::LogBytes(content.into());
    storage.log_store.write_commit_entry(version, content, Uuid::new_v4()).await.map_err(|error| {
        match error {
            TransactionError::VersionAlreadyExists(_) => PublishError::Taken,
            other => PublishError::Unknown(LakeError::of(&storage.url, &other.into())),
        }
    })
}

pub(super) async fn on_disk(
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

pub(super) fn commit_bytes(commit: CommitData) -> Result<Vec<u8>, DeltaTableError> {
    Ok(commit.get_bytes()?.to_vec())
}

/// Waits a little, differently in every process: the bits of a fresh id are the dice.
pub(super) async fn pause(attempt: u32) {
    let most = MAX_PAUSE.min(Duration::from_millis(u64::from(attempt) * 2));
    let dice = u32::from(Uuid::new_v4().as_bytes().first().copied().unwrap_or_default());
    tokio::time::sleep(most * dice / 255).await;
}
