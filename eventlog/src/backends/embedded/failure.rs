//! A commit that failed: whether anything of it can be there, and what to do.

use rusqlite::ErrorCode;

use crate::AppendError;

/// A commit failed.
#[derive(Debug)]
pub(super) struct CommitFailure {
    /// Nothing of it is in the database, now or after any crash.
    pub(super) certain: bool,
    pub(super) reason: String,
}

impl From<CommitFailure> for AppendError {
    fn from(CommitFailure { certain, reason }: CommitFailure) -> Self {
        if certain { Self::Refused { reason } } else { Self::Unknown { reason } }
    }
}

pub(super) fn refused(error: &rusqlite::Error) -> CommitFailure {
    CommitFailure { certain: true, reason: what_to_do(error) }
}

pub(super) fn what_to_do(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => format!("the disk is full ({error}); free some of it"),
        Some(ErrorCode::SystemIoFailure) => format!("{error}; check the disk and the kernel's log"),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            format!("{error}; keep a copy of the log and restore it from a backup")
        }
        _ => error.to_string(),
    }
}
