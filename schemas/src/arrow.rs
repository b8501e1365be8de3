//! The form in the lake: one flat row per event, the columns of the Delta table `events`.
//!
//! Every column but `raw` is there to ask by; `raw` holds the exact bytes on the log, which are what is proven.
//! What a family does not have is null, and **an empty list is null too**: `cardinality(tables)` of an event without
//! tables is null, never 0. Numbers beyond 2^63-1 and times outside of the years 1 to 9999 are clamped; `raw` is exact.
//! Names join with dots (`schema.table.column`), unquoted; an unknown schema is left out.

mod columns;
mod families;
mod row;
mod times;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

pub use times::{micros, utc_day};

use crate::Event;
use columns::Columns;

/// The schema of the table `events`.
#[must_use]
pub fn schema() -> SchemaRef {
    Schema::new(Columns::fields()).into()
}

/// Gathers events into one [`RecordBatch`] of [`schema`].
#[derive(Debug)]
pub struct EventBatchBuilder {
    columns: Columns,
    len: usize,
    bytes: usize,
    refused: usize,
}

impl EventBatchBuilder {
    /// The most a batch holds, as [`Self::bytes`] counts: far below where a column's 32-bit offsets end.
    pub const MAX_BYTES: usize = 1 << 30;

    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// An empty batch with room for about so many bytes of `raw`, so that it need not grow from copy to copy.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let columns = Columns::with_capacity(bytes.min(Self::MAX_BYTES));
        Self { columns, len: 0, bytes: 0, refused: 0 }
    }

    /// Adds `event`, whose exact bytes on the log are `raw`, from this place on the log.
    ///
    /// A batch that is full takes no more and [`Self::finish`] says so: finish before [`Self::bytes`] comes near
    /// [`Self::MAX_BYTES`].
    pub fn push(
        &mut self,
        event: &Event,
        raw: &[u8],
        partition: u32,
        offset: u64,
        appended_at_ms: i64,
    ) {
        let place = row::Place { partition, offset, appended_at_ms };
        let row = row::of(event, raw, place);
        let bytes = self.bytes.saturating_add(row.bytes());
        if bytes > Self::MAX_BYTES {
            self.refused += 1;
            return;
        }
        self.columns.append(row);
        self.bytes = bytes;
        self.len += 1;
    }

    /// Events in the batch.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was pushed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// About what the batch weighs in memory, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The batch.
    ///
    /// # Errors
    /// When an event was pushed onto a full batch: none of it may be recorded then, or that event would be missing.
    pub fn finish(self) -> Result<RecordBatch, ArrowError> {
        if self.refused > 0 {
            return Err(ArrowError::MemoryError(format!(
                "{} events were pushed onto a batch that was full at {} bytes; finish batches earlier",
                self.refused,
                Self::MAX_BYTES
            )));
        }
        RecordBatch::try_new(schema(), self.columns.finish())
    }
}

impl Default for EventBatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
