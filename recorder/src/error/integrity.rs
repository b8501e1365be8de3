//! What log and lake say against each other.

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
    /// Somebody else put rows into the lake.
    #[error(
        "version {version} of {url} is a {operation} that another program made: it added {files} files with rows of its own, so that events may be there twice, or be none. Find out who did it. To go on with the rows, start with `accept_missing_history`"
    )]
    RowsAdded {
        /// The table, as its URL.
        url: String,
        /// The commit.
        version: u64,
        /// What it calls itself.
        operation: String,
        /// How many files it added.
        files: usize,
    },
    /// The commits since a recorder's last one are not all there.
    #[error(
        "the log of {url} does not reach back from version {version} to the last commit of a recorder, so that nobody can tell whether rows were taken out or put in since. Find out what wrote those versions. To go on without knowing, start with `accept_missing_history`"
    )]
    CommitsGone {
        /// The table, as its URL.
        url: String,
        /// The oldest version that was looked at.
        version: u64,
    },
    /// One of the two tables is not there, and the other one has what was recorded beside it.
    #[error(
        "the table {table} is gone from the lake, and the events that were recorded beside it are there. Put it back; what the log still has a new lake gets again. To begin it anew, start with `accept_missing_history`"
    )]
    TableGone {
        /// The table.
        table: &'static str,
    },
    /// Two of one name are one too many: exactly once rests on that.
    #[error(
        "the object store of {url} took an object under a name that was taken, where only a new one may be made (`If-None-Match: *`): two recorders would overwrite each other's commits. Use a store that refuses it, or a newer version of this one"
    )]
    StoreOverwrites {
        /// The table, as its URL.
        url: String,
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
