//! The database: tables, commits, space.

use std::path::PathBuf;

use rusqlite::{Connection, ErrorCode, params};

use super::EmbeddedError;
use super::dir::LogDir;
use super::mark::Mark;
use super::schema::{connect, row_crc32, signed, table, unsigned};
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
    /// Bytes in use in the database, as far as nothing changed since it was measured.
    live_bytes: Option<u64>,
    /// Roughly what the write-ahead log holds that the database does not.
    wal_pending_bytes: u64,
}

/// A commit failed.
#[derive(Debug)]
pub(super) struct CommitFailure {
    /// Nothing of it is in the database, now or after any crash.
    pub(super) certain: bool,
    pub(super) reason: String,
}

/// The write-ahead log is moved into the database when it has grown by this.
const CHECKPOINT_BYTES: u64 = 4 * 1024 * 1024;
/// The most that the write-ahead log may use of the disk.
const MAX_WAL_BYTES: u64 = 64 * 1024 * 1024;
/// Released rows are deleted in slices, so that appends never wait long for space to be freed.
const DELETE_SLICE: u64 = 2048;
/// What a row costs beyond its bytes, rather too much.
const ROW_OVERHEAD_BYTES: u64 = 128;
/// What a transaction costs at most beyond its rows: the pages around them.
const PAGES_OVERHEAD_BYTES: u64 = 64 * 1024;
/// What a small one costs on average.
const COMMIT_PAGES: u64 = 2;
const PAGE_BYTES: u64 = 4096;

/// The write-ahead log's share of the bound.
fn wal_bound(max_bytes: u64) -> u64 {
    MAX_WAL_BYTES.min(max_bytes / 2)
}

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
            live_bytes: None,
            wal_pending_bytes: 0,
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

    /// Whether `bytes` more, in `rows` rows, stay within the bound; frees what was released where that is needed.
    pub(super) fn check_room(&mut self, bytes: u64, rows: u64) -> Result<(), CommitFailure> {
        // Pages are written whole, and a value may fill its last page by a little.
        let wanted = 2 * (bytes + rows * ROW_OVERHEAD_BYTES) + PAGES_OVERHEAD_BYTES;
        let wal_bound = wal_bound(self.max_bytes);
        let database_bound = self.max_bytes - wal_bound;
        let failed = |error: rusqlite::Error| refused(&error);
        if self.wal_bytes() + wanted > wal_bound {
            self.checkpoint(true);
            let wal_bytes = self.wal_bytes();
            if wal_bytes + wanted > wal_bound {
                let reason = format!(
                    "the append needs {wanted} bytes of the write-ahead log, where {wal_bytes} of \
                     {wal_bound} are in use; append less at once, or raise max_bytes in the log's URL"
                );
                return Err(CommitFailure { certain: true, reason });
            }
        }
        if self.live_bytes().map_err(failed)? + wanted > database_bound {
            while self.sweep().map_err(failed)? {}
        }
        let live = self.live_bytes().map_err(failed)?;
        if live + wanted > database_bound {
            let reason = format!(
                "the log is full: it keeps {live} bytes of max_bytes={} ({wal_bound} of it for its \
                 write-ahead log) and the append needs {wanted}; let the recorder catch up (what is in \
                 the lake is released), or raise max_bytes in the log's URL",
                self.max_bytes
            );
            return Err(CommitFailure { certain: true, reason });
        }
        Ok(())
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
        self.live_bytes = None;
        let bytes: u64 =
            batches.iter().copied().flatten().map(|record| record.bytes() as u64).sum();
        self.wal_pending_bytes += bytes + COMMIT_PAGES * PAGE_BYTES;
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
        self.live_bytes = None;
        self.wal_pending_bytes += COMMIT_PAGES * PAGE_BYTES;
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
    ///
    /// It is left in place and written again from its start, which syncs faster than a file that grows; only one that
    /// has become long is cut.
    pub(super) fn checkpoint(&mut self, now: bool) {
        if self.wal_pending_bytes < CHECKPOINT_BYTES && !now {
            return;
        }
        // TRUNCATE waits for readers, bounded by the busy timeout; PASSIVE does what it can without waiting.
        let long = self.wal_bytes() >= wal_bound(self.max_bytes) / 2;
        let mode = if now || long { "TRUNCATE" } else { "PASSIVE" };
        let done = self.db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
            let (all, moved): (i64, i64) = (row.get(1)?, row.get(2)?);
            Ok(unsigned(all).saturating_sub(unsigned(moved)))
        });
        match done {
            Ok(pages_left) => self.wal_pending_bytes = pages_left * PAGE_BYTES,
            // Nothing is lost: all of it stays in the write-ahead log.
            Err(error) => tracing::warn!(%error, "the log's checkpoint failed; it is tried again"),
        }
    }

    fn wal_bytes(&self) -> u64 {
        std::fs::metadata(&self.wal).map_or(0, |found| found.len())
    }

    /// Bytes of the pages in use; free pages in the file are used again.
    fn live_bytes(&mut self) -> rusqlite::Result<u64> {
        if let Some(known) = self.live_bytes {
            return Ok(known);
        }
        let pragma = |name: &str| {
            self.db.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map(unsigned)
        };
        let pages = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
        let live = pages * pragma("page_size")?;
        self.live_bytes = Some(live);
        Ok(live)
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
