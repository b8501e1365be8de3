//! The lake: two Delta tables, written by compare-and-swap on their logs.

mod checkpoint;
mod definition;
mod foreign;
mod head;
mod local;
#[cfg(test)]
mod place;
mod publish;
mod reconcile;
mod rewrite;
mod store;
mod table;
mod writer;

use tallyport_eventlog::LogId;
use tallyport_schemas::lake;
use tokio_util::task::TaskTracker;

use crate::config::RecorderConfig;
use crate::error::RecorderError;

pub(crate) use definition::{INGEST_DATE, SORTED_BY, TableDefinition};
pub(crate) use rewrite::{LakeFile, MAX_FILE_BYTES, Rewrite};
pub(crate) use store::{Storage, open_storage};
pub(crate) use table::{Change, Outcome, Table};
pub(crate) use writer::{is_sorted, writer_properties};

/// Both tables of a lake, open for writing.
#[derive(Debug)]
pub(crate) struct Lake {
    pub(crate) events: Table,
    pub(crate) dead_letters: Table,
    /// Checkpoints being written; they are waited for at the end.
    background: TaskTracker,
}

impl Lake {
    /// Opens both tables, creates what is missing and adds columns this build has and they lack. Positions mean nothing
    /// without the log that they are of: tables of another one are refused.
    pub(crate) async fn open(
        config: &RecorderConfig,
        partitions: &[u32],
        log: &LogId,
    ) -> Result<Self, RecorderError> {
        let background = TaskTracker::new();
        let open = async |definition: TableDefinition, app_ids: Vec<String>, new: bool| {
            let url = config.lake.table(definition.name)?;
            let storage = open_storage(url, &config.storage_options)?;
            let accept = config.accept_missing_history;
            let may = (accept, accept || new);
            let table =
                Table::open(storage, definition, log, app_ids, may, background.clone()).await?;
            table.check_log(log).await?;
            Ok::<_, RecorderError>(table)
        };
        let ids = |id: fn(u32) -> String| partitions.iter().copied().map(id);
        let of_events = ids(lake::app_id).chain(ids(last_app_id)).collect();
        let events = open(TableDefinition::events(), of_events, true).await?;
        // Both are made before anything is recorded.
        let new = !events.has_positions().await;
        let of_dead_letters = ids(dead_letters_app_id).collect();
        let dead_letters = open(TableDefinition::dead_letters(), of_dead_letters, new).await?;
        Ok(Self { events, dead_letters, background })
    }

    /// Waits for what runs beside the commits. Nothing is lost when it is not waited for.
    pub(crate) async fn close(&self) {
        self.background.close();
        self.background.wait().await;
    }
}

/// The Delta application id of a partition's position in the table of dead letters. Its version means: every dead
/// letter before this offset is in the table. It may be behind or ahead of the position of the events.
pub(crate) fn dead_letters_app_id(partition: u32) -> String {
    format!("tallyport-recorder/dead/{partition}")
}

/// The Delta application id under which the table of events keeps what its last record of a partition was. Its version is
/// the [fingerprint](crate::fingerprint) of the record before the position.
pub(crate) fn last_app_id(partition: u32) -> String {
    format!("tallyport-recorder/last/{partition}")
}
