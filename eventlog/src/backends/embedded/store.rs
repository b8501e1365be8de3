//! The database: tables, commits, space.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use super::EmbeddedError;
use super::dir::LogDir;
use super::mark::Mark;
use crate::backends::{PerTopic, unix_time_ms};
use crate::{Position, Record, Topic};

/// What is kept of a topic: offsets `earliest..next`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) earliest: u64,
    pub(super) next: u64,
}

/// Ranges `[first, next)` that were acknowledged and lost.
pub(super) type Lost = PerTopic<Vec<(u64, u64)>>;

/// The only writer of the database.
#[derive(Debug)]
pub(super) struct Store {
    db: Connection,
    path: PathBuf,
    wal: PathBuf,
    mark: Mark,
    kept: PerTopic<Span>,
    /// Rows below `earliest` up to here may still be in the table.
    leftovers: PerTopic<bool>,
    lost: Lost,
    max_bytes: u64,
    /// Disk in use, as far as nothing changed since it was measured.
    used_bytes: Option<u64>,
}

/// A commit failed.
#[derive(Debug)]
pub(super) struct CommitFailure {
    /// Nothing of it is in the database, now or after any crash.
    pub(super) certain: bool,
    pub(super) reason: String,
}

/// "TaLg": marks the file as ours for `file(1)` and for us.
const APPLICATION_ID: i32 = 0x5461_4c67;
const FORMAT: i32 = 1;
/// The write-ahead log is moved into the database when it has grown by this.
const CHECKPOINT_BYTES: u64 = 4 * 1024 * 1024;
/// From here on a checkpoint waits for readers, so that the write-ahead log is bounded.
const MAX_WAL_BYTES: u64 = 64 * 1024 * 1024;
/// How long the writer waits for readers then.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Released rows are deleted in slices, so that appends never wait long for space to be freed.
const DELETE_SLICE: u64 = 2048;
/// What a row costs beyond its bytes, rather too much.
const ROW_OVERHEAD_BYTES: u64 = 128;

const SCHEMA: &str = "
    CREATE TABLE audit (
        offset INTEGER PRIMARY KEY, key BLOB NOT NULL, value BLOB NOT NULL,
        appended_at_ms INTEGER NOT NULL, crc32 INTEGER NOT NULL) STRICT;
    CREATE TABLE control (
        offset INTEGER PRIMARY KEY, key BLOB NOT NULL, value BLOB NOT NULL,
        appended_at_ms INTEGER NOT NULL, crc32 INTEGER NOT NULL) STRICT;
    CREATE TABLE earliest (topic TEXT PRIMARY KEY, offset INTEGER NOT NULL) STRICT;
    CREATE TABLE lost (topic TEXT NOT NULL, first INTEGER NOT NULL, next INTEGER NOT NULL) STRICT;
    INSERT INTO earliest VALUES ('audit', 0), ('control', 0);";

impl Store {
    pub(super) fn open(dir: &LogDir, max_bytes: u64) -> Result<Self, EmbeddedError> {
        let path = dir.database();
        let database_error = |error: rusqlite::Error| EmbeddedError::Database {
            path: path.clone(),
            reason: error.to_string(),
        };
        let mark = Mark::new(dir.open_mark()?);
        let db = connect(&path)?;
        let mut store = Self {
            db,
            path: path.clone(),
            wal: dir.wal(),
            mark,
            kept: PerTopic::default(),
            leftovers: PerTopic { audit: true, control: true },
            lost: Lost::default(),
            max_bytes,
            used_bytes: None,
        };
        store.load_kept().map_err(database_error)?;
        store.note_lost_tail().map_err(database_error)?;
        store.load_lost().map_err(database_error)?;
        Ok(store)
    }

    pub(super) const fn kept(&self) -> PerTopic<Span> {
        self.kept
    }

    pub(super) const fn lost(&self) -> &Lost {
        &self.lost
    }

    /// Whether `bytes` more, in `rows` rows, stay within the bound. Frees released rows first where that is needed.
    pub(super) fn has_room(&mut self, bytes: u64, rows: u64) -> Result<(), CommitFailure> {
        // Once in the write-ahead log and once in the database.
        let wanted = 2 * (bytes + rows * ROW_OVERHEAD_BYTES);
        let fits = |used: u64, max: u64| used.saturating_add(wanted) <= max;
        let refuse = |error: rusqlite::Error| refused(&error);
        if fits(self.used_bytes().map_err(refuse)?, self.max_bytes) {
            return Ok(());
        }
        while self.sweep().map_err(refuse)? {}
        self.checkpoint(true);
        let used = self.used_bytes().map_err(refuse)?;
        if fits(used, self.max_bytes) {
            return Ok(());
        }
        let reason = format!(
            "the log uses {used} of max_bytes={} and the append needs {wanted} more; let the \
             recorder catch up (what is in the lake is released), or raise max_bytes in the log's URL",
            self.max_bytes
        );
        Err(CommitFailure { certain: true, reason })
    }

    /// Puts all batches into one transaction; durable when it returns `Ok`.
    pub(super) fn commit(
        &mut self,
        batches: &[&[Record]],
    ) -> Result<Vec<Vec<Position>>, CommitFailure> {
        self.begin().map_err(|error| refused(&error))?;
        let mut kept = self.kept;
        let inserted = insert(&self.db, &mut kept, batches);
        let positions = match inserted {
            Ok(positions) => positions,
            Err(error) => {
                self.roll_back();
                return Err(refused(&error));
            }
        };
        // A crash before COMMIT leaves nothing of it; a crash inside leaves all or nothing, and nobody was told.
        if let Err(error) = self.db.execute_batch("COMMIT") {
            self.roll_back();
            return Err(self.commit_failed(&error));
        }
        self.kept = kept;
        self.used_bytes = None;
        self.mark.write(PerTopic { audit: kept.audit.next, control: kept.control.next });
        // A crash right here leaves a durable append that nobody was told of: its caller says "unknown".
        Ok(positions)
    }

    /// Forgets the offsets below `upto`. They are gone at once; their space is freed by [`Self::sweep`].
    pub(super) fn release(&mut self, topic: Topic, upto: u64) -> rusqlite::Result<()> {
        let Span { earliest, next } = *self.kept.get(topic);
        let upto = upto.min(next);
        if upto <= earliest {
            return Ok(());
        }
        let sql = "UPDATE earliest SET offset = ?2 WHERE topic = ?1";
        self.db.execute(sql, params![table(topic), signed(upto)])?;
        self.kept.get_mut(topic).earliest = upto;
        *self.leftovers.get_mut(topic) = true;
        Ok(())
    }

    /// Deletes one slice of released rows; false when there is none left.
    pub(super) fn sweep(&mut self) -> rusqlite::Result<bool> {
        self.used_bytes = None;
        for topic in Topic::ALL {
            if !*self.leftovers.get(topic) {
                continue;
            }
            let table = table(topic);
            let sql = format!(
                "DELETE FROM {table} WHERE offset IN \
                 (SELECT offset FROM {table} WHERE offset < ?1 ORDER BY offset LIMIT ?2)"
            );
            let earliest = signed(self.kept.get(topic).earliest);
            let deleted =
                self.db.prepare_cached(&sql)?.execute(params![earliest, signed(DELETE_SLICE)])?;
            if deleted > 0 {
                return Ok(true);
            }
            *self.leftovers.get_mut(topic) = false;
        }
        Ok(false)
    }

    pub(super) const fn has_leftovers(&self) -> bool {
        self.leftovers.audit || self.leftovers.control
    }

    /// Moves the write-ahead log into the database when it has grown, or when `now`.
    pub(super) fn checkpoint(&mut self, now: bool) {
        let wal_bytes = self.wal_bytes();
        if wal_bytes < CHECKPOINT_BYTES && !now {
            return;
        }
        self.used_bytes = None;
        // TRUNCATE waits for readers, bounded by the busy timeout; PASSIVE does what it can without waiting.
        let mode = if now || wal_bytes >= MAX_WAL_BYTES { "TRUNCATE" } else { "PASSIVE" };
        let done = self.db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
        if let Err(error) = done {
            // Nothing is lost: all of it stays in the write-ahead log.
            tracing::warn!(%error, "the log's checkpoint failed; it is tried again");
        }
    }

    fn wal_bytes(&self) -> u64 {
        std::fs::metadata(&self.wal).map_or(0, |found| found.len())
    }

    fn used_bytes(&mut self) -> rusqlite::Result<u64> {
        if let Some(known) = self.used_bytes {
            return Ok(known);
        }
        let pragma = |name: &str| {
            self.db.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map(unsigned)
        };
        let pages = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
        let used = pages * pragma("page_size")? + self.wal_bytes();
        self.used_bytes = Some(used);
        Ok(used)
    }

    fn begin(&mut self) -> rusqlite::Result<()> {
        if !self.db.is_autocommit() {
            // An earlier roll-back failed: only a fresh connection is known to be clean.
            self.reconnect()?;
        }
        self.db.execute_batch("BEGIN IMMEDIATE")
    }

    fn roll_back(&mut self) {
        if !self.db.is_autocommit()
            && let Err(error) = self.db.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a failed append could not be rolled back; the database is opened anew");
        }
        // Whatever happened, the database knows what is in it.
        if let Err(error) = self.load_kept() {
            tracing::warn!(%error, "the log database cannot be read");
        }
    }

    fn reconnect(&mut self) -> rusqlite::Result<()> {
        let fresh = connect(&self.path).map_err(|error| {
            let failure = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
            rusqlite::Error::SqliteFailure(failure, Some(error.to_string()))
        })?;
        self.db = fresh;
        self.load_kept()
    }

    /// What a failed COMMIT means. A full disk fails in the write of the commit frame, which is then torn and void;
    /// any other error may come after the frame, from the sync, and the frame may survive a crash.
    fn commit_failed(&self, error: &rusqlite::Error) -> CommitFailure {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy) => refused(error),
            _ => CommitFailure { certain: false, reason: what_to_do(error) },
        }
    }

    fn load_kept(&mut self) -> rusqlite::Result<()> {
        for topic in Topic::ALL {
            let table = table(topic);
            let earliest = self.db.query_row(
                "SELECT offset FROM earliest WHERE topic = ?1",
                [table],
                |row| row.get::<_, i64>(0),
            )?;
            let sql = format!(
                "SELECT max(coalesce((SELECT max(offset) + 1 FROM {table}), 0), \
                 coalesce((SELECT max(next) FROM lost WHERE topic = ?1), 0), ?2)"
            );
            let next = self.db.query_row(&sql, params![table, earliest], |row| row.get(0))?;
            *self.kept.get_mut(topic) = Span { earliest: unsigned(earliest), next: unsigned(next) };
        }
        Ok(())
    }

    /// Compares with the mark: offsets that were acknowledged and are gone must never be used again, else readers that
    /// passed them would take other events for the lost ones.
    fn note_lost_tail(&mut self) -> rusqlite::Result<()> {
        let marked = self.mark.read();
        for topic in Topic::ALL {
            let (next, marked) = (self.kept.get(topic).next, *marked.get(topic));
            if marked <= next {
                continue;
            }
            tracing::error!(
                topic = topic.name(),
                first = next,
                next = marked,
                "the disk lost events that it had confirmed; their offsets stay empty"
            );
            let sql = "INSERT INTO lost VALUES (?1, ?2, ?3)";
            self.db.execute(sql, params![table(topic), signed(next), signed(marked)])?;
            self.kept.get_mut(topic).next = marked;
        }
        Ok(())
    }

    fn load_lost(&mut self) -> rusqlite::Result<()> {
        let sql = "SELECT first, next FROM lost WHERE topic = ?1 ORDER BY first";
        for topic in Topic::ALL {
            let mut select = self.db.prepare(sql)?;
            let ranges = select.query_map([table(topic)], |row| {
                Ok((unsigned(row.get(0)?), unsigned(row.get(1)?)))
            })?;
            *self.lost.get_mut(topic) = ranges.collect::<rusqlite::Result<_>>()?;
        }
        Ok(())
    }
}

/// The table of a topic.
pub(super) const fn table(topic: Topic) -> &'static str {
    match topic {
        Topic::Audit => "audit",
        Topic::Control => "control",
    }
}

/// Covers everything of a row, so that no part of it can change unnoticed.
pub(super) fn row_crc32(offset: u64, appended_at_ms: i64, key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&offset.to_le_bytes());
    hasher.update(&appended_at_ms.to_le_bytes());
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

/// SQLite's integers are signed; offsets stay far below 2^63.
pub(super) fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or_default()
}

fn insert(
    db: &Connection,
    kept: &mut PerTopic<Span>,
    batches: &[&[Record]],
) -> rusqlite::Result<Vec<Vec<Position>>> {
    let appended_at_ms = unix_time_ms();
    let mut put = |record: &Record| {
        let span = kept.get_mut(record.topic);
        let offset = span.next;
        let sql = match record.topic {
            Topic::Audit => "INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5)",
            Topic::Control => "INSERT INTO control VALUES (?1, ?2, ?3, ?4, ?5)",
        };
        let crc32 = row_crc32(offset, appended_at_ms, &record.key, &record.value);
        db.prepare_cached(sql)?.execute(params![
            signed(offset),
            &record.key[..],
            &record.value[..],
            appended_at_ms,
            crc32
        ])?;
        span.next += 1;
        Ok(Position { partition: 0, offset })
    };
    batches.iter().map(|batch| batch.iter().map(&mut put).collect()).collect()
}

fn connect(path: &std::path::Path) -> Result<Connection, EmbeddedError> {
    let failed = |reason: String| EmbeddedError::Database { path: path.to_owned(), reason };
    let open = || -> rusqlite::Result<(Connection, String, i64, i32)> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(BUSY_TIMEOUT)?;
        let mode = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        // FULL: every commit syncs the write-ahead log before it returns. This is what "durable" rests on.
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "wal_autocheckpoint", 0)?;
        db.pragma_update(None, "journal_size_limit", signed(MAX_WAL_BYTES))?;
        db.pragma_update(None, "cache_size", -16_384)?;
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

fn create(db: &Connection) -> rusqlite::Result<()> {
    // One transaction: a crash in the middle leaves an empty file, which is created again.
    db.execute_batch(&format!(
        "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; \
         PRAGMA user_version = {FORMAT}; COMMIT;"
    ))
}

fn refused(error: &rusqlite::Error) -> CommitFailure {
    CommitFailure { certain: true, reason: what_to_do(error) }
}

fn what_to_do(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => format!("the disk is full ({error}); free some of it"),
        Some(ErrorCode::SystemIoFailure) => format!("{error}; check the disk and the kernel's log"),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            format!("{error}; keep a copy of the log and restore it from a backup")
        }
        _ => error.to_string(),
    }
}
