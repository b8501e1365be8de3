//! The database: tables, commits, space.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::{Connection, ErrorCode, params};

use super::EmbeddedError;
use super::block::{Block, Packer};
use super::dir::LogDir;
use super::failure::{CommitFailure, refused, what_to_do};
use super::mark::Mark;
use super::placing::{blocks, place};
use super::recent::Recent;
use super::schema::{connect, identity, signed, table, unsigned};
use super::usage::Usage;
use crate::backends::PerTopic;
use crate::{Entry, LogId, Position, Record, Topic};

mod room;

use room::wal_bound;

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
    id: LogId,
    db: Connection,
    path: PathBuf,
    wal: PathBuf,
    /// At least the length of the write-ahead log, where it is known: as it was looked at last, and what was let in since.
    wal_bytes: Option<u64>,
    mark: Mark,
    packer: Packer,
    recent: Arc<Recent>,
    kept: PerTopic<Span>,
    /// Blocks below `earliest` up to here may still be in the table.
    leftovers: PerTopic<bool>,
    lost: Lost,
    max_bytes: u64,
    /// At most what is in use in the database: as it was counted last, and what was let in since.
    live_bytes: u64,
    /// The last append was refused for want of room.
    refused: bool,
    /// Roughly what the write-ahead log holds that the database does not.
    wal_pending_bytes: u64,
    usage: Usage,
}

/// The write-ahead log is moved into the database when it has grown by this.
const CHECKPOINT_BYTES: u64 = 4 * 1024 * 1024;
/// Released blocks are deleted in slices, so that appends never wait long for space to be freed.
const DELETE_SLICE: u64 = 128;
/// What a small one costs on average.
const COMMIT_PAGES: u64 = 2;
const PAGE_BYTES: u64 = 4096;

impl Store {
    pub(super) fn open(dir: &LogDir, max_bytes: u64) -> Result<Self, EmbeddedError> {
        let path = dir.database();
        let database_error = |error: rusqlite::Error| EmbeddedError::Database {
            path: path.clone(),
            reason: error.to_string(),
        };
        let mark = Mark::new(dir.open_mark()?);
        let packer = Packer::new().map_err(|error| EmbeddedError::Database {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let db = connect(&path)?;
        let mut store = Self {
            id: identity(&db).map_err(database_error)?,
            db,
            path: path.clone(),
            wal: dir.wal(),
            wal_bytes: None,
            mark,
            packer,
            recent: Arc::default(),
            kept: PerTopic::default(),
            leftovers: PerTopic { audit: true, control: true },
            lost: Lost::default(),
            max_bytes,
            live_bytes: 0,
            refused: false,
            wal_pending_bytes: 0,
            usage: Usage::new(max_bytes - wal_bound(max_bytes)),
        };
        store.load_kept().map_err(database_error)?;
        store.note_lost_tail().map_err(database_error)?;
        store.load_lost().map_err(database_error)?;
        store.measure_live_bytes().map_err(database_error)?;
        store.usage.note(store.live_bytes);
        Ok(store)
    }

    pub(super) const fn id(&self) -> &LogId {
        &self.id
    }

    pub(super) const fn kept(&self) -> PerTopic<Span> {
        self.kept
    }

    /// What was appended last, for readers.
    pub(super) const fn recent(&self) -> &Arc<Recent> {
        &self.recent
    }

    pub(super) const fn lost(&self) -> &Lost {
        &self.lost
    }

    /// Puts the batch into one transaction; durable when it returns `Ok`.
    pub(super) fn commit(&mut self, batch: &[Record]) -> Result<Vec<Position>, CommitFailure> {
        self.begin().map_err(|error| refused(&error))?;
        let (mut placed, kept) = place(self.kept, batch);
        let stored_bytes = match self.insert(&placed.records) {
            Ok(bytes) => bytes,
            Err(reason) => {
                self.roll_back();
                return Err(CommitFailure { certain: true, reason });
            }
        };
        // A crash before COMMIT leaves nothing of it; a crash inside leaves all or nothing, and nobody was told.
        let committed = self.db.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        if let Err(error) = committed {
            self.roll_back();
            return Err(self.commit_failed(&error));
        }
        self.kept = kept;
        self.wal_pending_bytes += stored_bytes + COMMIT_PAGES * PAGE_BYTES;
        self.mark.write(PerTopic { audit: kept.audit.next, control: kept.control.next });
        for topic in Topic::ALL {
            self.recent.note(topic, std::mem::take(placed.records.get_mut(topic)));
        }
        // A crash right here leaves a durable append that nobody was told of: its caller says "unknown".
        Ok(placed.positions)
    }

    /// Puts the entries of each topic into its table, as blocks; gives their size.
    fn insert(&mut self, entries: &PerTopic<Vec<Entry>>) -> Result<u64, String> {
        let mut bytes = 0;
        for topic in Topic::ALL {
            for block in blocks(entries.get(topic)) {
                let block = self.packer.pack(block).map_err(|error| error.to_string())?;
                insert(&self.db, topic, &block).map_err(|error| what_to_do(&error))?;
                bytes += block.data.len() as u64;
            }
        }
        Ok(bytes)
    }

    /// Forgets the offsets below `upto`. They are gone at once; their space is freed by [`Self::sweep`].
    pub(super) fn release(&mut self, topic: Topic, upto: u64) -> rusqlite::Result<()> {
        let Span { earliest, next } = *self.kept.get(topic);
        let upto = upto.min(next);
        if upto <= earliest {
            return Ok(());
        }
        self.wal_bytes = None;
        let sql = "UPDATE earliest SET offset = ?2 WHERE topic = ?1";
        self.db.execute(sql, params![table(topic), signed(upto)])?;
        self.kept.get_mut(topic).earliest = upto;
        self.refused = false;
        *self.leftovers.get_mut(topic) = true;
        Ok(())
    }

    /// Deletes one slice of released rows; false when there is none left.
    pub(super) fn sweep(&mut self) -> rusqlite::Result<bool> {
        self.wal_bytes = None;
        self.wal_pending_bytes += COMMIT_PAGES * PAGE_BYTES;
        for topic in Topic::ALL {
            if !*self.leftovers.get(topic) {
                continue;
            }
            let table = table(topic);
            let sql = format!(
                "DELETE FROM {table} WHERE first IN \
                 (SELECT first FROM {table} WHERE first < ?1 AND next <= ?1 ORDER BY first LIMIT ?2)"
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
        let long = self.look_at_wal() >= wal_bound(self.max_bytes) / 2;
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

    fn begin(&mut self) -> rusqlite::Result<()> {
        if !self.db.is_autocommit() {
            // An earlier roll-back failed: only a fresh connection is known to be clean.
            self.reconnect()?;
        }
        self.db.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(|_| ())
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
                "SELECT max(coalesce((SELECT next FROM {table} ORDER BY first DESC LIMIT 1), 0), \
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

fn insert(db: &Connection, topic: Topic, block: &Block) -> rusqlite::Result<()> {
    let sql = match topic {
        Topic::Audit => "INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        Topic::Control => "INSERT INTO control VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    };
    let Block { first, next, raw_bytes, data, appended_at_ms } = block;
    let (first, next) = (signed(*first), signed(*next));
    let values = params![first, next, raw_bytes, data, appended_at_ms, block.crc32()];
    db.prepare_cached(sql)?.execute(values).map(|_| ())
}
