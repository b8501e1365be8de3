//! Reading: own connections, so that no reader waits for the writer.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use tokio::sync::Semaphore;

use super::block::Block;
use super::recent::Recent;
use super::schema::{ALONE, signed, table, unsigned};
use super::store::Lost;
use crate::backends::ReadBudget;
use crate::{Entry, ReadError, Topic};

/// Reads that run at once; a further one waits.
const MAX_READS: usize = 8;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that only read.
#[derive(Debug)]
pub(super) struct Readers {
    database: PathBuf,
    idle: Mutex<Vec<Connection>>,
    running: Semaphore,
    recent: Arc<Recent>,
    lost: Lost,
}

impl Readers {
    pub(super) const fn new(database: PathBuf, recent: Arc<Recent>, lost: Lost) -> Self {
        Self {
            database,
            idle: Mutex::new(Vec::new()),
            running: Semaphore::const_new(MAX_READS),
            recent,
            lost,
        }
    }

    pub(super) fn lost(&self, topic: Topic) -> &[(u64, u64)] {
        self.lost.get(topic)
    }

    /// Records of `range`, which is known to be kept, from its start on.
    pub(super) async fn read(
        self: &Arc<Self>,
        topic: Topic,
        range: Range<u64>,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        if let Some(entries) = self.recent.read(topic, range.clone(), max_bytes) {
            return Ok(entries);
        }
        let _permit = self.running.acquire().await.map_err(unavailable)?;
        let readers = Arc::clone(self);
        let read = move || {
            let db = readers.connection()?;
            let entries = select(&db, topic, range.clone(), max_bytes, readers.lost(topic))?;
            readers.idle.lock().push(db);
            Ok(entries)
        };
        tokio::task::spawn_blocking(read).await.map_err(unavailable)?
    }

    fn connection(&self) -> Result<Connection, ReadError> {
        if let Some(idle) = self.idle.lock().pop() {
            return Ok(idle);
        }
        open(&self.database).map_err(unavailable)
    }
}

fn open(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags_and_vfs(database, flags, ALONE)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    Ok(db)
}

/// The block that the start of the range is in, and those behind it.
fn sql(topic: Topic) -> String {
    let table = table(topic);
    format!(
        "SELECT first, next, raw_bytes, data, appended_at_ms, crc32 FROM {table} \
         WHERE first >= coalesce((SELECT max(first) FROM {table} WHERE first <= ?1), ?1) \
         AND first < ?2 ORDER BY first"
    )
}

fn select(
    db: &Connection,
    topic: Topic,
    range: Range<u64>,
    max_bytes: usize,
    lost: &[(u64, u64)],
) -> Result<Vec<Entry>, ReadError> {
    let mut entries = Vec::new();
    let mut expected = skip_lost(range.start, lost);
    let failed = |error: rusqlite::Error, offset| read_failed(&error, offset);
    let mut select = db.prepare_cached(&sql(topic)).map_err(|error| failed(error, expected))?;
    let mut rows = select
        .query_map(params![signed(range.start), signed(range.end)], |row| {
            let block = Block {
                first: unsigned(row.get(0)?),
                next: unsigned(row.get(1)?),
                raw_bytes: row.get(2)?,
                data: row.get(3)?,
                appended_at_ms: row.get(4)?,
            };
            Ok((block, row.get(5)?))
        })
        .map_err(|error| failed(error, expected))?;
    let mut budget = ReadBudget::new(max_bytes);
    for row in &mut rows {
        let block = match row {
            Ok((block, _)) if block.next <= range.start && block.first < block.next => continue,
            Ok((block, crc32)) => check(&block, crc32, expected, range.start),
            Err(error) => Err(failed(error, expected)),
        };
        let block = match block {
            Ok(block) => block,
            // What came before the damage is whole: it is given first, and the next read says what is wrong.
            Err(_) if !entries.is_empty() => return Ok(entries),
            Err(damage) => return Err(damage),
        };
        expected =
            skip_lost(block.last().map_or(expected, |entry| entry.position.offset + 1), lost);
        for entry in block {
            if entry.position.offset < range.start {
                continue;
            }
            if entry.position.offset >= range.end || !budget.take(entry.value.len()) {
                return Ok(entries);
            }
            entries.push(entry);
        }
    }
    if expected < range.end && entries.is_empty() {
        return Err(damaged(expected, "the record is missing"));
    }
    Ok(entries)
}

/// The first offset from `offset` on that is not in a range known to be lost.
fn skip_lost(offset: u64, lost: &[(u64, u64)]) -> u64 {
    lost.iter()
        .fold(offset, |at, (first, next)| if (*first..*next).contains(&at) { *next } else { at })
}

/// The entries of a block that must hold the `expected` offset: as its first, or further in where reading begins.
fn check(block: &Block, crc32: u32, expected: u64, start: u64) -> Result<Vec<Entry>, ReadError> {
    let begins = block.first == expected || (expected == start && block.first < expected);
    if !begins {
        return Err(damaged(expected, "the record is missing"));
    }
    if block.crc32() != crc32 {
        return Err(damaged(expected, "the CRC-32 of its block does not match"));
    }
    block.unpack().map_err(|error| damaged(expected, &format!("its block: {error}")))
}

fn read_failed(error: &rusqlite::Error, offset: u64) -> ReadError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            damaged(offset, &error.to_string())
        }
        _ if matches!(
            error,
            rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::IntegralValueOutOfRange(..)
        ) =>
        {
            damaged(offset, &error.to_string())
        }
        _ => unavailable(error),
    }
}

fn damaged(offset: u64, reason: &str) -> ReadError {
    ReadError::Damaged { partition: 0, offset, reason: reason.to_owned() }
}

fn unavailable(error: impl std::fmt::Display) -> ReadError {
    ReadError::Unavailable { reason: error.to_string() }
}
