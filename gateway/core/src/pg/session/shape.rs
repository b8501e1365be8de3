//! The columns of a result: where they come from, the masks on them, and which of them detectors look into.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use tallyport_detect::{Findings, Screen};
use tallyport_schemas::OutputColumn;

use super::Violation;
use crate::masking::{self, ColumnMask};
use crate::passage::Bench;
use crate::pg::backend::{self, Field};
use crate::pg::look::{Column, Looker, Seen, Unreadable};
use crate::pg::write::put_message;

/// A described result.
#[derive(Debug)]
pub struct Shape {
    /// The columns, for the record.
    pub columns: Arc<[OutputColumn]>,
    values: Vec<Treat>,
    is_read: bool,
}

/// A row as it may be seen.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// The message; `None` when it is the one that came.
    pub(super) bytes: Option<Bytes>,
    /// How many values masks hid.
    pub(super) masked_values: u64,
    /// What detectors found.
    pub(super) findings: Findings,
    /// Why it does not pass.
    pub(super) kept: Option<Kept>,
}

/// What keeps a row back, and in which column.
#[derive(Debug)]
pub(super) enum Kept {
    /// A detector.
    Found(String),
    /// A value that nothing can look into.
    Unreadable(String, Unreadable),
}

/// What becomes of the values of a column.
#[derive(Debug)]
enum Treat {
    Pass,
    Mask(Masked),
    Look(Column),
}

#[derive(Debug)]
struct Masked {
    mask: ColumnMask,
    type_oid: u32,
    format: i16,
}

impl Shape {
    /// Reads a RowDescription under the masks of `bench` and the detectors of `screen`. What is masked is not looked into.
    ///
    /// # Errors
    /// When a relation that a column comes from, or the column in it, is not in the catalog while masks are in force, or when it is a
    /// whole row of a masked table.
    pub fn read(body: &[u8], bench: &Bench, screen: Option<&Screen>) -> Result<Self, Violation> {
        let fields = backend::row_description(body)?;
        let mut columns = Vec::with_capacity(fields.len());
        let mut values = Vec::with_capacity(fields.len());
        for field in &fields {
            let mask = mask_of(field, bench)?;
            columns.push(OutputColumn {
                name: field.name.clone(),
                type_oid: field.type_oid,
                origin: bench.catalog().column(field.table_oid, field.attnum),
                mask: mask.as_ref().map(|mask| mask.mask().to_string()),
                labels: bench.masks().labels(field.table_oid, field.attnum).to_vec(),
            });
            let (type_oid, format) = (field.type_oid, field.format);
            let looks = |screen| Column::of(screen, &field.name, type_oid, format);
            values.push(match mask {
                Some(mask) => Treat::Mask(Masked { mask, type_oid, format }),
                None => screen.and_then(looks).map_or(Treat::Pass, Treat::Look),
            });
        }
        let is_read = values.iter().any(|it| !matches!(it, Treat::Pass));
        Ok(Self { columns: columns.into(), values, is_read })
    }

    /// Whether a column is masked or looked into.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        self.is_read
    }

    /// What of a row may be seen.
    ///
    /// # Errors
    /// When the row does not fit its description: then no byte of it may pass.
    pub(super) fn seen(&self, body: &[u8], screen: Option<&Screen>) -> Result<Row, Violation> {
        let values = backend::data_row(body)?;
        if values.len() != self.values.len() {
            return Err(Violation::RowDoesNotFit);
        }
        let mut row = Row::default();
        let mut looker = screen.map(Looker::new);
        let mut seen = Vec::with_capacity(values.len());
        for (place, (value, treat)) in values.iter().zip(&self.values).enumerate() {
            let Some(value) = value else {
                seen.push(Seen::Null);
                continue;
            };
            seen.push(match (treat, &mut looker) {
                (Treat::Mask(masked), _) => {
                    row.masked_values += 1;
                    masked.apply(value)
                }
                (Treat::Look(column), Some(looker)) => match looker.value(column, value) {
                    Ok(_) if row.kept.is_none() && looker.denies() => {
                        row.kept = Some(Kept::Found(self.name(place)));
                        Seen::Null
                    }
                    Ok(seen) => seen,
                    Err(error) => {
                        row.kept.get_or_insert(Kept::Unreadable(self.name(place), error));
                        Seen::Null
                    }
                },
                (Treat::Pass | Treat::Look(_), _) => Seen::Same,
            });
        }
        row.findings = looker.map(|looker| looker.findings).unwrap_or_default();
        let changed = |(seen, value): (&Seen, &Option<&[u8]>)| match seen {
            Seen::Same => false,
            Seen::Null => value.is_some(),
            Seen::Value(_) => true,
        };
        if row.kept.is_none() && seen.iter().zip(&values).any(changed) {
            row.bytes = Some(written(&values, &seen, body.len()));
        }
        Ok(row)
    }

    fn name(&self, place: usize) -> String {
        self.columns.get(place).map(|column| column.name.clone()).unwrap_or_default()
    }
}

impl Masked {
    fn apply(&self, value: &[u8]) -> Seen {
        match self.mask.apply(value, self.type_oid, self.format) {
            masking::Masked::Null => Seen::Null,
            masking::Masked::Value(value) => Seen::Value(value),
        }
    }
}

fn written(values: &[Option<&[u8]>], seen: &[Seen], about_bytes: usize) -> Bytes {
    let mut out = BytesMut::with_capacity(about_bytes + 64);
    put_message(&mut out, b'D', |row| {
        row.put_u16(u16::try_from(values.len()).unwrap_or(u16::MAX));
        for (value, seen) in values.iter().zip(seen) {
            put_value(
                row,
                match seen {
                    Seen::Same => *value,
                    Seen::Null => None,
                    Seen::Value(seen) => Some(seen),
                },
            );
        }
    });
    out.freeze()
}

fn put_value(row: &mut BytesMut, value: Option<&[u8]>) {
    match value {
        None => row.put_i32(-1),
        Some(value) => {
            row.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
            row.extend_from_slice(value);
        }
    }
}

fn mask_of(field: &Field, bench: &Bench) -> Result<Option<ColumnMask>, Violation> {
    let masks = bench.masks();
    if masks.is_empty() || field.table_oid == 0 {
        return Ok(None);
    }
    if let Some(mask) = masks.for_column(field.table_oid, field.attnum) {
        return Ok(Some(mask.clone()));
    }
    let partly = masks.is_masked_table(field.table_oid);
    if field.attnum == 0 && (partly || masks.expected(field.table_oid).is_some()) {
        return Err(Violation::WholeRow);
    }
    let catalog = bench.catalog();
    // A column that came since the catalog was read may be one to mask.
    let is_new = field.attnum > 0 && catalog.column(field.table_oid, field.attnum).is_none();
    if is_new || !catalog.knows_relation(field.table_oid) {
        return Err(Violation::UnknownOrigin { table_oid: field.table_oid });
    }
    Ok(None)
}
