//! Tables of a few rows that never change.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::error::Result;

/// A table of these columns, each of which may be NULL.
pub(super) fn table(
    columns: &[(&str, DataType)],
    rows: Vec<Vec<ScalarValue>>,
) -> Result<Arc<dyn TableProvider>> {
    let fields = columns.iter().map(|(name, kind)| Field::new(*name, kind.clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let batch = batch(&schema, rows)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}

/// Rows of a schema; what a row lacks at its end is NULL.
pub(super) fn batch(schema: &SchemaRef, rows: Vec<Vec<ScalarValue>>) -> Result<RecordBatch> {
    if rows.is_empty() {
        return Ok(RecordBatch::new_empty(Arc::clone(schema)));
    }
    let mut rows: Vec<_> = rows.into_iter().map(Vec::into_iter).collect();
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let missing = ScalarValue::try_from(field.data_type())?;
        let values = rows.iter_mut().map(|row| row.next().unwrap_or_else(|| missing.clone()));
        columns.push(ScalarValue::iter_to_array(values)?);
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

pub(super) fn text(value: &str) -> ScalarValue {
    ScalarValue::from(value)
}

pub(super) const fn number(value: Option<i32>) -> ScalarValue {
    ScalarValue::Int32(value)
}
