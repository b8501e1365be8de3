//! What can go wrong between the log and the lake.

use std::io::ErrorKind;

use deltalake::{DeltaTableError, ObjectStoreError};
use tallyport_eventlog::ReadError;
use url::Url;

/// The recorder could not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The lake cannot be written.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// Log and lake do not fit together: something was removed or replaced.
    #[error("integrity violation: {0}")]
    Integrity(#[from] IntegrityError),
    /// A bound of the configuration makes no sense.
    #[error("bad recorder configuration: {0}")]
    Config(String),
    /// The last records could not be written before the time to stop was over. They are still on the log.
    #[error(
        "partition {partition} was stopped with records not yet in the lake; they stay on the log and are recorded at the next start"
    )]
    Unfinished {
        /// The partition.
        partition: u32,
    },
    /// The log has more partitions than when it was opened.
    #[error(
        "the log has {found} partitions now, and {known} when this recorder started: it ends, since it would not record the others; its next start takes up all. Restart query services, then gateways, too: they use none of the new ones until then"
    )]
    PartitionsAdded {
        /// When it started.
        known: u32,
        /// Now.
        found: u32,
    },
    /// A task of the recorder ended by itself.
    #[error("a recorder task ended unexpectedly: {0}; this is a defect, please report it")]
    Task(String),
}

impl RecorderError {
    /// Whether log and lake contradict each other: the command line ends with exit code 4 then.
    #[must_use]
    pub const fn is_integrity(&self) -> bool {
        matches!(
            self,
            Self::Integrity(_) | Self::Lake(LakeError::OtherLog(_) | LakeError::RowsRemoved(_))
        )
    }
}

/// Log and lake contradict each other. The recorder stops rather than leave a silent hole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntegrityError {
    /// The lake was recorded from another log: its positions mean nothing here, and going on from them would leave out
    /// what this log has before them.
    #[error(
        "table {table} was recorded from {}, and this is the log {ours}. Point log.url to the log that the lake belongs to (restore it where it was lost), or give this log a lake of its own with lake.url", found.as_ref().map_or_else(|| "an unknown log".to_owned(), |found| format!("the log {found}"))
    )]
    OtherLog {
        /// The table.
        table: &'static str,
        /// The log that it names; absent where it names none.
        found: Option<String>,
        /// The log that was to be recorded.
        ours: String,
    },
    /// The log dropped records that the lake does not have.
    #[error(
        "partition {partition}: the lake has everything before offset {recorded}, but the log begins at {earliest}; the records between are lost. Restore the log, or accept the hole by starting with `accept_missing_history`"
    )]
    LogTruncated {
        /// The partition.
        partition: u32,
        /// The first offset that is not in the lake.
        recorded: u64,
        /// The first offset the log keeps.
        earliest: u64,
    },
    /// The lake has records that the log never had: it is another log, or it was reset.
    #[error(
        "partition {partition}: the lake has everything before offset {recorded}, but the log ends at {latest}; this lake belongs to another log, or the log was reset. Point the recorder to the right log, or give it a new lake"
    )]
    LakeAheadOfLog {
        /// The partition.
        partition: u32,
        /// The first offset that is not in the lake.
        recorded: u64,
        /// The offset after the log's last record.
        latest: u64,
    },
    /// The disk under the log lost records that it had confirmed, before they were recorded.
    #[error(
        "partition {partition}: the disk under the log lost the records from offset {first} to {last} after it had confirmed them, and the lake does not have them. Look at the disk; restore the log, or accept the hole by starting with `accept_missing_history`"
    )]
    LogLost {
        /// The partition.
        partition: u32,
        /// The first of them that the lake does not have.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// The log has another record where the lake's last one was.
    #[error(
        "partition {partition}: the log has another record at offset {offset} than the lake recorded from there; the topic was deleted and made anew, or the log was restored from elsewhere. Find out who did it; give the log that is there now a lake of its own"
    )]
    OtherRecord {
        /// The partition.
        partition: u32,
        /// Where the lake's last record was.
        offset: u64,
    },
    /// The lake's own position went back: the table was restored, replaced or rewritten by someone else.
    #[error(
        "partition {partition}: table {table} says offset {found:?} where this recorder had committed {ours}; the table was restored or replaced. Find out who did it, then restart the recorder: it goes on from what the table says"
    )]
    PositionWentBack {
        /// The partition.
        partition: u32,
        /// The table.
        table: &'static str,
        /// What this recorder had committed.
        ours: u64,
        /// What the table says now.
        found: Option<u64>,
    },
    /// Somebody else took rows out of the lake.
    #[error(
        "version {version} of {url} is a {operation} that another program made: it took {files} files with their rows out of the table, and the position stayed behind them, so that nothing puts them back. Find out who did it. The files are there until a VACUUM; what the log still has a new lake gets again. To go on without the rows, start with `accept_missing_history`"
    )]
    RowsRemoved {
        /// The table, as its URL.
        url: String,
        /// The commit.
        version: u64,
        /// What it calls itself.
        operation: String,
        /// How many files it took out.
        files: usize,
    },
    /// The log has the record, but not as it was appended.
    #[error(
        "partition {partition}: the record at offset {offset} is damaged on the log: {reason}; everything before it is in the lake"
    )]
    LogDamaged {
        /// The partition.
        partition: u32,
        /// The damaged record.
        offset: u64,
        /// What the log said.
        reason: String,
    },
    /// The log gave records out of order or twice.
    #[error(
        "partition {partition}: the log gave offset {offset} where {expected} or later was due; the log is damaged"
    )]
    OutOfOrder {
        /// The partition.
        partition: u32,
        /// What it gave.
        offset: u64,
        /// The least that was due.
        expected: u64,
    },
}

/// The lake cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// Not a URL of a lake.
    #[error("`{url}` is no lake URL: {reason}; use file:///DIR or s3://BUCKET/PREFIX")]
    BadUrl {
        /// What was given.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The storage did not answer, or not in a useful way.
    #[error(
        "the lake at {url} cannot be reached: {reason}; check the endpoint, the network and that the bucket exists"
    )]
    Unreachable {
        /// The table.
        url: Url,
        /// What the storage said.
        reason: String,
    },
    /// The storage refused.
    #[error(
        "the lake at {url} denied access: {reason}; the recorder needs list, read and write below that URL"
    )]
    Denied {
        /// The table.
        url: Url,
        /// What the storage said.
        reason: String,
    },
    /// There is no lake yet.
    #[error("there is no lake at {url}: the recorder makes it when it starts; check lake.url")]
    Absent {
        /// The table.
        url: Url,
    },
    /// It was there when the recorder started.
    #[error(
        "the lake at {url} is not there any more; mount it or put it back where it was, and the recorder goes on"
    )]
    Gone {
        /// The table.
        url: Url,
    },
    /// Files that were written for a commit are not there when it is made: what is there is a copy of before.
    #[error("files that were just written to {url} are not there any more; they are written anew")]
    FilesGone {
        /// The table.
        url: Url,
    },
    /// What is there now is another log's.
    #[error("integrity violation: {0}")]
    OtherLog(IntegrityError),
    /// Rows of it were removed.
    #[error("integrity violation: {0}")]
    RowsRemoved(IntegrityError),
    /// There is something else at that place.
    #[error("{url} has files but is no Delta table; give the lake a place of its own")]
    NotATable {
        /// The table.
        url: Url,
    },
    /// The table's columns contradict ours.
    #[error("{url} does not have the columns of this build: {details}")]
    SchemaMismatch {
        /// The table.
        url: Url,
        /// Each difference.
        details: String,
    },
    /// The table has columns that this build does not know.
    #[error(
        "{url} was written by a newer Tallyport: column {columns} is unknown to this build; upgrade this recorder"
    )]
    NewerSchema {
        /// The table.
        url: Url,
        /// The columns.
        columns: String,
    },
    /// The table was altered to need what this recorder does not write.
    #[error(
        "{url} needs the Delta table feature {feature}, which the recorder does not write; remove the feature or use a new lake"
    )]
    UnsupportedFeature {
        /// The table.
        url: Url,
        /// The feature.
        feature: String,
    },
    /// Others committed to the table all the time.
    #[error("no commit to {url} won within {tries} tries; too many writers share this table")]
    Contended {
        /// The table.
        url: Url,
        /// Tries made.
        tries: u32,
    },
    /// A file that was being rewritten is no longer one of the table's.
    #[error(
        "{url}: somebody else replaced files while they were being rewritten; of these nothing was changed. Rewrite with one process at a time: run it again"
    )]
    Replaced {
        /// The table.
        url: Url,
    },
    /// Files could not be read or put in order.
    #[error(
        "files of {url} could not be rewritten: {reason}; they stay as they are, what was rewritten before stays rewritten"
    )]
    Rewrite {
        /// The table.
        url: Url,
        /// What the engine said.
        reason: String,
    },
    /// Files do not have as many rows as the log of the table says.
    #[error(
        "{url}: the files that were to be rewritten have {found} rows, not {said} as the table's log says; they stay as they are. Compare them with a backup"
    )]
    RowsDiffer {
        /// The table.
        url: Url,
        /// As the log of the table says.
        said: u64,
        /// As they are.
        found: u64,
    },
    /// What is in the table's log cannot be read.
    #[error("the Delta log of {url} cannot be read: {reason}")]
    Damaged {
        /// The table.
        url: Url,
        /// What is wrong.
        reason: String,
    },
    /// Rows could not be made into Parquet.
    #[error("rows could not be encoded: {0}")]
    Encode(#[from] arrow::error::ArrowError),
}

impl LakeError {
    /// Whether waiting may help: the recorder retries these for ever and says so, and ends on the others.
    pub(crate) const fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Denied { .. }
                | Self::Contended { .. }
                | Self::Gone { .. }
                | Self::FilesGone { .. }
        )
    }

    /// What an error of the Delta library means for the table at `url`.
    pub(crate) fn of(url: &Url, error: &DeltaTableError) -> Self {
        let url = url.clone();
        let reason = error.to_string();
        match error {
            DeltaTableError::NotATable(_) => Self::NotATable { url },
            DeltaTableError::SchemaMismatch { msg } => {
                Self::SchemaMismatch { url, details: msg.clone() }
            }
            DeltaTableError::InvalidJsonLog { .. } | DeltaTableError::MetadataError(_) => {
                Self::Damaged { url, reason }
            }
            other if is_denied(other) => Self::Denied { url, reason },
            _ => Self::Unreachable { url, reason },
        }
    }

    /// The same of a table that was open already: what is no table now was one.
    pub(crate) fn once_open(self) -> Self {
        match self {
            Self::NotATable { url } | Self::Absent { url } => Self::Gone { url },
            other => other,
        }
    }

    pub(crate) fn of_store(url: &Url, error: ObjectStoreError) -> Self {
        Self::of(url, &DeltaTableError::ObjectStore { source: error })
    }
}

/// What an HTTP store answers when it knows the request and refuses it.
const REFUSALS: [&str; 2] = ["status code: 403", "status code: 401"];

/// Looks for a refusal anywhere in the chain of causes: it is wrapped differently by each layer, and a refused list
/// has no kind of its own, only its text.
fn is_denied(error: &DeltaTableError) -> bool {
    let text = error.to_string();
    if REFUSALS.iter().any(|refusal| text.contains(refusal)) {
        return true;
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        let denied = current.downcast_ref::<ObjectStoreError>().is_some_and(|error| {
            matches!(
                error,
                ObjectStoreError::PermissionDenied { .. }
                    | ObjectStoreError::Unauthenticated { .. }
            )
        });
        let forbidden = current
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == ErrorKind::PermissionDenied);
        if denied || forbidden {
            return true;
        }
        cause = current.source();
    }
    false
}
