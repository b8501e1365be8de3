//! What can go wrong between the log and the lake.

mod integrity;

use std::io::ErrorKind;

use deltalake::{DeltaTableError, ObjectStoreError};
use tallyport_eventlog::ReadError;
use url::Url;

pub use integrity::IntegrityError;

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
            Self::Integrity(_) | Self::Lake(LakeError::OtherLog(_) | LakeError::Violated(_))
        )
    }
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
    /// It is not what the recorders made of it.
    #[error("integrity violation: {0}")]
    Violated(IntegrityError),
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
