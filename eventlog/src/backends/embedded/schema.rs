//! The database file: its tables, its settings, and what a row is.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use super::EmbeddedError;
use crate::{LogId, Topic};

/// "TaLg": marks the file as ours for `file(1)` and for us.
const APPLICATION_ID: i32 = 0x5461_4c67;
/// 2: blocks of records. 1, of builds before the first release: a row for each record.
const FORMAT: i32 = 2;
/// How long the writer waits for readers when a checkpoint has to.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Of pages, in KiB (SQLite's negative number).
const CACHE_KIB: i64 = 16 * 1024;

// A row is a block of records, see `block`: `first` and `next` are offsets, `data` is compressed.
const SCHEMA: &str = "
    CREATE TABLE audit (
        first INTEGER PRIMARY KEY, next INTEGER NOT NULL, raw_bytes INTEGER NOT NULL,
        data BLOB NOT NULL, appended_at_ms INTEGER NOT NULL, crc32 INTEGER NOT NULL) STRICT;
    CREATE TABLE control (
        first INTEGER PRIMARY KEY, next INTEGER NOT NULL, raw_bytes INTEGER NOT NULL,
        data BLOB NOT NULL, appended_at_ms INTEGER NOT NULL, crc32 INTEGER NOT NULL) STRICT;
    CREATE TABLE identity (log_id TEXT NOT NULL) STRICT;
    CREATE TABLE earliest (topic TEXT PRIMARY KEY, offset INTEGER NOT NULL) STRICT;
    CREATE TABLE lost (topic TEXT NOT NULL, first INTEGER NOT NULL, next INTEGER NOT NULL) STRICT;
    INSERT INTO earliest VALUES ('audit', 0), ('control', 0);";

/// SQLite's way to the file where one process has it alone, which `LOCK` sees to: its index of the write-ahead log is in
/// this process's memory and its locks are there, too, instead of six calls of the system for each commit. Every connection
/// must be opened this way. Other programs cannot open the database meanwhile.
pub(super) const ALONE: &str = "unix-excl";

/// The writer's connection.
pub(super) fn connect(path: &Path) -> Result<Connection, EmbeddedError> {
    let failed = |reason: String| EmbeddedError::Database { path: path.to_owned(), reason };
    let open = || -> rusqlite::Result<(Connection, String, i64, i32)> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags_and_vfs(path, flags, ALONE)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        let mode = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        // FULL: every commit syncs the write-ahead log before it returns. This is what "durable" rests on.
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "wal_autocheckpoint", 0)?;
        db.pragma_update(None, "cache_size", -CACHE_KIB)?;
        let synchronous = db.pragma_query_value(None, "synchronous", |row| row.get(0))?;
        let format = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok((db, mode, synchronous, format))
    };
    let (db, mode, synchronous, format) = open().map_err(|error| failed(error.to_string()))?;
    if mode != "wal" || synchronous != 2 {
        return Err(failed(format!(
            "SQLite runs with journal_mode={mode}, synchronous={synchronous} there, not with wal and \
             FULL; use a local file system"
        )));
    }
    match format {
        FORMAT => Ok(db),
        0 => create(&db).map(|()| db).map_err(|error| failed(error.to_string())),
        other => Err(failed(format!(
            "its format is {other} and this build knows {FORMAT}; use the build that wrote it"
        ))),
    }
}

/// The id that the log got when it was made.
pub(super) fn identity(db: &Connection) -> rusqlite::Result<LogId> {
    let id: String = db.query_row("SELECT log_id FROM identity", [], |row| row.get(0))?;
    Ok(LogId::new("embedded", &id))
}

fn create(db: &Connection) -> rusqlite::Result<()> {
    // One transaction: a crash in the middle leaves an empty file, which is created again.
    let id = Uuid::new_v4();
    db.execute_batch(&format!(
        "BEGIN IMMEDIATE; {SCHEMA} INSERT INTO identity VALUES ('{id}'); PRAGMA application_id = {APPLICATION_ID}; \
         PRAGMA user_version = {FORMAT}; COMMIT;"
    ))
}

/// The table of a topic.
pub(super) const fn table(topic: Topic) -> &'static str {
    match topic {
        Topic::Audit => "audit",
        Topic::Control => "control",
    }
}

/// SQLite's integers are signed; offsets stay far below 2^63.
pub(super) fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or_default()
}
