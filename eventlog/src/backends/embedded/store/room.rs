//! How much room there is: what is in use, what an append may take of it, and when it becomes scarce.

use super::Store;
use crate::backends::embedded::failure::{CommitFailure, refused};
use crate::backends::embedded::schema::unsigned;

/// The most that the write-ahead log may use of the disk.
const MAX_WAL_BYTES: u64 = 64 * 1024 * 1024;
/// What a record costs beyond its bytes, rather too much.
const RECORD_OVERHEAD_BYTES: u64 = 128;
/// What a transaction costs at most beyond its rows: the pages around them.
const PAGES_OVERHEAD_BYTES: u64 = 64 * 1024;
/// The log is short of room with less than one in so many parts of its bound free: a burst of events still fits.
const SHORT_WITH_ONE_OF_LEFT: u64 = 8;

/// The write-ahead log's share of the bound.
pub(super) fn wal_bound(max_bytes: u64) -> u64 {
    MAX_WAL_BYTES.min(max_bytes / 2)
}

impl Store {
    /// Whether `bytes` more, in `records` records, stay within the bound; frees what was released where that is needed.
    pub(in super::super) fn check_room(
        &mut self,
        bytes: u64,
        records: u64,
    ) -> Result<(), CommitFailure> {
        let room = self.find_room(bytes, records);
        self.refused = room.is_err();
        room
    }

    fn find_room(&mut self, bytes: u64, records: u64) -> Result<(), CommitFailure> {
        // As if nothing could be compressed. Pages are written whole, and a block may fill its last page by a little.
        let wanted = 2 * (bytes + records * RECORD_OVERHEAD_BYTES) + PAGES_OVERHEAD_BYTES;
        let wal_bound = wal_bound(self.max_bytes);
        let database_bound = self.max_bytes - wal_bound;
        let failed = |error: rusqlite::Error| refused(&error);
        let known = self.wal_bytes.is_some_and(|bytes| bytes + wanted <= wal_bound);
        if !known && self.look_at_wal() + wanted > wal_bound {
            self.checkpoint(true);
            let wal_bytes = self.look_at_wal();
            if wal_bytes + wanted > wal_bound {
                let reason = format!(
                    "the append needs {wanted} bytes of the write-ahead log, where {wal_bytes} of \
                     {wal_bound} are in use; append less at once, or raise max_bytes in the log's URL"
                );
                return Err(CommitFailure { certain: true, reason });
            }
        }
        self.wal_bytes = self.wal_bytes.map(|bytes| bytes + wanted);
        if self.live_bytes + wanted <= database_bound {
            self.live_bytes += wanted;
            return Ok(());
        }
        // The estimate is rather too large, and forgets what was freed: only where it says "full" the pages are counted.
        self.measure_live_bytes().map_err(failed)?;
        if self.live_bytes + wanted > database_bound {
            while self.sweep().map_err(failed)? {}
            self.measure_live_bytes().map_err(failed)?;
        }
        let live = self.live_bytes;
        if live + wanted > database_bound {
            let reason = format!(
                "the log is full: it keeps {live} bytes of max_bytes={} ({wal_bound} of it for its \
                 write-ahead log) and the append needs {wanted}; let the recorder catch up (what is in \
                 the lake is released), or raise max_bytes in the log's URL",
                self.max_bytes
            );
            return Err(CommitFailure { certain: true, reason });
        }
        self.live_bytes += wanted;
        Ok(())
    }

    /// Whether what is kept elsewhere has to go now for appends to pass: the last one did not, or the next ones may not.
    pub(in super::super) fn is_short_of_room(&mut self) -> bool {
        let bound = self.max_bytes - wal_bound(self.max_bytes);
        let little_left = bound - bound / SHORT_WITH_ONE_OF_LEFT;
        // As above: only where the estimate says so the pages are counted.
        if !self.refused && self.live_bytes > little_left {
            let _as_it_was = self.measure_live_bytes();
        }
        self.refused || self.live_bytes > little_left
    }

    pub(super) fn look_at_wal(&mut self) -> u64 {
        // Where it cannot be told it is asked again next time.
        self.wal_bytes = std::fs::metadata(&self.wal).ok().map(|found| found.len());
        self.wal_bytes.unwrap_or_default()
    }

    /// Counts the pages in use; free pages in the file are used again.
    pub(super) fn measure_live_bytes(&mut self) -> rusqlite::Result<()> {
        let pragma = |name: &str| {
            self.db.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map(unsigned)
        };
        let pages = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
        self.live_bytes = pages * pragma("page_size")?;
        Ok(())
    }

    /// Tells operators how full it is, now and then.
    pub(in super::super) fn note_usage(&mut self) {
        if self.usage.is_due() && self.measure_live_bytes().is_ok() {
            self.usage.note(self.live_bytes);
        }
    }
}
