//! Reading: own connections, so that no reader waits for the writer.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use tokio::sync::Semaphore;

use super::schema::{row_crc32, signed, table, unsigned};
use super::store::Lost;
use crate::backends::ReadBudget;
use crate::{Entry, Position, ReadError, Topic};

/// Reads that run at once; a further one waits.
const MAX_READS: usize = 8;
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that only read.
#[derive(Debug)]
pub(super) struct Readers {
    database: PathBuf,
    idle: Mutex<Vec<Connection>>,
    running: Semaphore,
    lost: Lost,
}

impl Readers {
    pub(super) const fn new(database: PathBuf, lost: Lost) -> Self {
        Self {
            database,
            idle: Mutex::new(Vec::new()),
            running: Semaphore::const_new(MAX_READS),
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
    let db = Connection::open_with_flags(database, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    Ok(db)
}

struct Row {
    offset: u64,
    key: Vec<u8>,
    value: Vec<u8>,
    appended_at_ms: i64,
    crc32: u32,
}

fn select(
    db: &Connection,
    topic: Topic,
    range: Range<u64>,
    max_bytes: usize,
    lost: &[(u64, u64)],
) -> Result<Vec<Entry>, ReadError> {
    let table = table(topic);
    let sql = format!(
        "SELECT offset, key, value, appended_at_ms, crc32 FROM {table} \
         WHERE offset >= ?1 AND offset < ?2 ORDER BY offset"
    );
    let mut entries = Vec::new();
    let mut expected = skip_lost(range.start, lost);
    let failed = |error: rusqlite::Error, offset| read_failed(&error, offset);
    let mut select = db.prepare_cached(&sql).map_err(|error| failed(error, expected))?;
    let mut rows = select
        .query_map(params![signed(range.start), signed(range.end)], |row| {
            Ok(Row {
                offset: unsigned(row.get(0)?),
                key: row.get(1)?,
                value: row.get(2)?,
                appended_at_ms: row.get(3)?,
                crc32: row.get(4)?,
            })
        })
        .map_err(|error| failed(error, expected))?;
    let mut budget = ReadBudget::new(max_bytes);
    for row in &mut rows {
        let row = match row {
            Ok(row) => row,
            // What came before the damage is whole: it is given first, and the next read says what is wrong.
            Err(_) if !entries.is_empty() => return Ok(entries),
            Err(error) => return Err(failed(error, expected)),
        };
        if let Err(damage) = check(&row, expected) {
            return if entries.is_empty() { Err(damage) } else { Ok(entries) };
        }
        if !budget.take(row.value.len()) {
            return Ok(entries);
        }
        expected = skip_lost(row.offset + 1, lost);
        entries.push(Entry {
            position: Position { partition: 0, offset: row.offset },
            key: Bytes::from(row.key),
            value: Bytes::from(row.value),
            appended_at_ms: row.appended_at_ms,
        });
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

fn check(row: &Row, expected: u64) -> Result<(), ReadError> {
    if row.offset != expected {
        return Err(damaged(expected, "the record is missing"));
    }
    if row_crc32(row.offset, row.appended_at_ms, &row.key, &row.value) != row.crc32 {
        return Err(damaged(expected, "its CRC-32 does not match"));
    }
    Ok(())
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
