//! The columns of a result: where they come from, and the masks on them.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use tallyport_schemas::OutputColumn;

use super::Violation;
use crate::masking::{self, ColumnMask};
use crate::passage::Bench;
use crate::pg::backend::{self, Field};
use crate::pg::write::put_message;

/// A described result.
#[derive(Debug)]
pub struct Shape {
    /// The columns, for the record.
    pub columns: Arc<[OutputColumn]>,
    masks: Vec<Option<Masked>>,
    has_masks: bool,
}

#[derive(Debug)]
struct Masked {
    mask: ColumnMask,
    type_oid: u32,
    format: i16,
}

impl Shape {
    /// Reads a RowDescription under the masks of `bench`.
    ///
    /// # Errors
    /// When a column comes from a relation that the catalog does not know while masks are in force, or is a whole row
    /// of a masked table.
    pub fn read(body: &[u8], bench: &Bench) -> Result<Self, Violation> {
        let fields = backend::row_description(body)?;
        let mut columns = Vec::with_capacity(fields.len());
        let mut masks = Vec::with_capacity(fields.len());
        for field in &fields {
            let mask = mask_of(field, bench)?;
            columns.push(OutputColumn {
                name: field.name.clone(),
                type_oid: field.type_oid,
                origin: bench.catalog().column(field.table_oid, field.attnum),
                mask: mask.as_ref().map(|mask| mask.mask().to_string()),
                labels: bench.masks().labels(field.table_oid, field.attnum).to_vec(),
            });
            let masked = |mask| Masked { mask, type_oid: field.type_oid, format: field.format };
            masks.push(mask.map(masked));
        }
        let has_masks = masks.iter().any(Option::is_some);
        Ok(Self { columns: columns.into(), masks, has_masks })
    }

    /// Whether a column is masked.
    #[must_use]
    pub const fn has_masks(&self) -> bool {
        self.has_masks
    }

    /// The row with its masked columns masked, and how many values that were.
    ///
    /// # Errors
    /// When the row does not fit its description: then no byte of it may pass.
    pub fn mask_row(&self, body: &[u8]) -> Result<(Bytes, u64), Violation> {
        let values = backend::data_row(body)?;
        if values.len() != self.masks.len() {
            return Err(Violation::RowDoesNotFit);
        }
        let mut masked_values = 0;
        let mut out = BytesMut::with_capacity(body.len() + 64);
        put_message(&mut out, b'D', |row| {
            row.put_u16(u16::try_from(values.len()).unwrap_or(u16::MAX));
            for (value, masked) in values.iter().zip(&self.masks) {
                match (value, masked) {
                    (Some(value), Some(masked)) => {
                        masked_values += 1;
                        put_value(row, masked.apply(value).as_deref());
                    }
                    (value, _) => put_value(row, *value),
                }
            }
        });
        Ok((out.freeze(), masked_values))
    }
}

impl Masked {
    fn apply(&self, value: &[u8]) -> Option<Vec<u8>> {
        match self.mask.apply(value, self.type_oid, self.format) {
            masking::Masked::Null => None,
            masking::Masked::Value(value) => Some(value),
        }
    }
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
    if field.attnum == 0 && masks.is_masked_table(field.table_oid) {
        return Err(Violation::WholeRow);
    }
    if !bench.catalog().knows_relation(field.table_oid) {
        return Err(Violation::UnknownOrigin { table_oid: field.table_oid });
    }
    Ok(None)
}
