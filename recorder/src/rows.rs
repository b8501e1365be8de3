//! What one commit adds, in the order in which its files have it.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{SortColumn, lexsort_to_indices, take_record_batch};
use arrow::error::ArrowError;

/// Rows that are put in order piece by piece: a sorted copy of the whole would be as large again.
#[derive(Debug)]
pub(crate) struct Rows {
    batch: RecordBatch,
    /// Which row comes when; absent where they come as they are.
    order: Option<UInt32Array>,
}

impl Rows {
    /// As they are.
    pub(crate) const fn of(batch: RecordBatch) -> Self {
        Self { batch, order: None }
    }

    /// Sorted by these columns.
    ///
    /// # Errors
    /// When one of them cannot be compared.
    pub(crate) fn sorted(batch: RecordBatch, by: &[&str]) -> Result<Self, ArrowError> {
        let columns: Vec<SortColumn> = by
            .iter()
            .filter_map(|name| batch.column_by_name(name))
            .map(|values| SortColumn { values: values.clone(), options: None })
            .collect();
        let order = Some(lexsort_to_indices(&columns, None)?);
        Ok(Self { batch, order })
    }

    pub(crate) fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// The rows from `start` on, at most `length`.
    ///
    /// # Errors
    /// When a column of them becomes larger than a column can be.
    pub(crate) fn piece(&self, start: usize, length: usize) -> Result<RecordBatch, ArrowError> {
        let length = length.min(self.len().saturating_sub(start));
        match &self.order {
            Some(order) => take_record_batch(&self.batch, &order.slice(start, length)),
            None => Ok(self.batch.slice(start, length)),
        }
    }
}
