//! One page of an answer.

use bytes::Bytes;
use gateway_core::pg::backend::Field;
use gateway_core::pg::client::Heard;

use super::NotRun;
use crate::session::Outcome;

/// The most bytes of values that one page holds.
const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// A column of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub name: String,
    pub type_oid: u32,
    /// How its values were masked, and what it is labelled, where it was.
    pub mask: Option<(String, Vec<String>)>,
}

/// What a statement answered.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Option<Bytes>>>,
    /// The command tag, once it is done.
    pub tag: Option<String>,
    /// Rows are left.
    pub has_more: bool,
    /// Rows came that it has no room for.
    pub is_cut: bool,
    /// How it stands on record.
    pub outcome: Option<Outcome>,
    bytes: usize,
    suspends: bool,
}

impl Page {
    /// One that goes on with these columns, where it is not told of others.
    pub(super) fn of(columns: Vec<Column>, suspends: bool) -> Self {
        Self { columns, suspends, ..Self::default() }
    }

    /// Takes in what was heard; whether the page is whole.
    pub(super) fn add(&mut self, heard: Heard) -> Result<bool, NotRun> {
        match heard {
            Heard::Columns(fields) => self.columns = fields.into_iter().map(column).collect(),
            Heard::NoColumns => {}
            Heard::Row(row) => {
                self.bytes += row.iter().flatten().map(Bytes::len).sum::<usize>();
                match (self.bytes > MAX_PAGE_BYTES, self.suspends) {
                    (false, _) => self.rows.push(row),
                    // Nobody could go on behind a row that is missing.
                    (true, true) => return Err(NotRun::TooLarge),
                    (true, false) => self.is_cut = true,
                }
            }
            Heard::Suspended => {
                self.has_more = true;
                return Ok(true);
            }
            Heard::Complete(tag) => {
                self.tag = Some(tag);
                // Where it does not suspend its transaction ends with it, and that can fail yet.
                return Ok(self.suspends);
            }
            Heard::Failed(failure) => return Err(NotRun::Failed(failure)),
            Heard::Copies => return Err(NotRun::Copies),
            Heard::Ready => return Ok(true),
        }
        Ok(false)
    }

    /// With how it stands on record, which knows what was masked.
    pub(super) fn recorded(mut self, outcome: Option<Outcome>) -> Self {
        if let Some(outcome) = &outcome {
            for (column, told) in self.columns.iter_mut().zip(&outcome.columns) {
                column.mask = told.mask.clone().map(|mask| (mask, told.labels.clone()));
            }
        }
        Self { outcome, ..self }
    }
}

fn column(field: Field) -> Column {
    Column { name: field.name, type_oid: field.type_oid, mask: None }
}
