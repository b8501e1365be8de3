//! The dictionary that a column was read with last, and what is known of its entries: the rows of a row group share one.

use arrow::array::{Array as _, ArrayRef, AsArray as _, DictionaryArray, StringArray};
use arrow::datatypes::Int32Type;
use datafusion::error::Result;

use super::texts::internal;

/// See the module. `Known` is what is known of an entry, if something is.
#[derive(Debug)]
pub(super) struct Entries<Known> {
    texts: StringArray,
    known: Vec<Option<Known>>,
}

impl<Known: Copy> Entries<Known> {
    /// Those of `column`: `last`, if they are the same.
    pub(super) fn of(column: &DictionaryArray<Int32Type>, last: Option<Self>) -> Result<Self> {
        let texts = column.values().as_string_opt::<i32>();
        let texts = texts.ok_or_else(|| internal("a dictionary is not of texts"))?;
        Ok(match last {
            Some(last) if same(&last.texts, texts) => last,
            _ => Self { texts: texts.clone(), known: vec![None; texts.len()] },
        })
    }

    /// What is known of the one at `entry`.
    pub(super) fn known(&self, entry: i32) -> Option<Known> {
        usize::try_from(entry).ok().and_then(|entry| self.known.get(entry).copied().flatten())
    }

    pub(super) fn text(&self, entry: i32) -> Result<&str> {
        let entry = usize::try_from(entry).ok().filter(|entry| *entry < self.texts.len());
        entry
            .map(|entry| self.texts.value(entry))
            .ok_or_else(|| internal("a row lies beyond its dictionary"))
    }

    pub(super) fn learn(&mut self, entry: i32, known: Known) {
        if let Some(slot) = usize::try_from(entry).ok().and_then(|entry| self.known.get_mut(entry))
        {
            *slot = Some(known);
        }
    }

    /// They take so much, in bytes, with what is known of them.
    pub(super) fn bytes(&self) -> usize {
        self.texts.get_buffer_memory_size() + self.known.capacity() * size_of::<Option<Known>>()
    }
}

/// `column` as a dictionary of texts.
pub(super) fn dictionary(column: &ArrayRef) -> Result<&DictionaryArray<Int32Type>> {
    column.as_dictionary_opt::<Int32Type>().ok_or_else(|| internal("a column has no dictionary"))
}

/// Whether both are the same bytes in the same place: while one is kept, nothing else can lie there.
fn same(one: &StringArray, other: &StringArray) -> bool {
    one.len() == other.len()
        && one.value_offsets().as_ptr() == other.value_offsets().as_ptr()
        && one.value_data().as_ptr() == other.value_data().as_ptr()
        && one.nulls().is_none()
        && other.nulls().is_none()
}
