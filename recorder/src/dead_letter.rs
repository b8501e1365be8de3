//! What is on the log but is no event of ours: kept whole, with the reason.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Date32Builder, Int32Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use tallyport_eventlog::Entry;
use tallyport_schemas::arrow::{micros, utc_day};

const MICROS_PER_MILLI: i64 = 1_000;

/// A record that could not be decoded.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetter {
    pub(crate) entry: Entry,
    /// What the decoder said. It names places and kinds; the value itself is in its own column.
    pub(crate) error: String,
}

/// The columns of the table of dead letters.
pub(crate) fn schema() -> SchemaRef {
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("ingest_date", DataType::Date32, false),
        Field::new("log_partition", DataType::Int32, false),
        Field::new("log_offset", DataType::Int64, false),
        Field::new("appended_at", timestamp, false),
        Field::new("key", DataType::Binary, false),
        Field::new("value", DataType::Binary, false),
        Field::new("error", DataType::Utf8, false),
    ]))
}

/// The rows of these letters.
pub(crate) fn batch(letters: &[DeadLetter]) -> Result<RecordBatch, ArrowError> {
    let mut ingest_date = Date32Builder::new();
    let mut partition = Int32Builder::new();
    let mut offset = Int64Builder::new();
    let mut appended_at = TimestampMicrosecondBuilder::new().with_timezone("UTC");
    let mut key = BinaryBuilder::new();
    let mut value = BinaryBuilder::new();
    let mut error = StringBuilder::new();
    for DeadLetter { entry, error: why } in letters {
        ingest_date.append_value(utc_day(entry.appended_at_ms));
        partition.append_value(i32::try_from(entry.position.partition).unwrap_or(i32::MAX));
        offset.append_value(i64::try_from(entry.position.offset).unwrap_or(i64::MAX));
        appended_at.append_value(micros(entry.appended_at_ms.saturating_mul(MICROS_PER_MILLI)));
        key.append_value(&entry.key);
        value.append_value(&entry.value);
        error.append_value(why);
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(ingest_date.finish()),
        Arc::new(partition.finish()),
        Arc::new(offset.finish()),
        Arc::new(appended_at.finish()),
        Arc::new(key.finish()),
        Arc::new(value.finish()),
        Arc::new(error.finish()),
    ];
    RecordBatch::try_new(schema(), columns)
}
