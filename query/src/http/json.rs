//! Values, columns and errors as JSON.

use arrow::array::{Array, ArrayRef, AsArray as _};
use arrow::datatypes::{DataType, FieldRef, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Value, json};

use crate::error::QueryError;

const TEXT: FormatOptions<'static> = FormatOptions::new();

/// An error as the API says it.
pub(super) fn error(error: &QueryError) -> Value {
    json!({ "code": error.code(), "message": error.to_string() })
}

/// The columns of an answer: `[{"name", "type"}]`.
pub(super) fn columns(schema: &Schema) -> Value {
    let column =
        |field: &FieldRef| json!({ "name": field.name(), "type": type_name(field.data_type()) });
    schema.fields().iter().map(column).collect()
}

/// A type by its SQL name.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "boolean".to_owned(),
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint".to_owned(),
        DataType::Int32 | DataType::UInt16 => "integer".to_owned(),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => "bigint".to_owned(),
        DataType::Float16 | DataType::Float32 => "real".to_owned(),
        DataType::Float64 => "double precision".to_owned(),
        DataType::Decimal128(..) | DataType::Decimal256(..) => "numeric".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => {
            "text".to_owned()
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytea".to_owned(),
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time".to_owned(),
        DataType::Timestamp(
            TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond | TimeUnit::Nanosecond,
            zone,
        ) => if zone.is_some() { "timestamptz" } else { "timestamp" }.to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_owned(),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            format!("{}[]", type_name(item.data_type()))
        }
        DataType::Dictionary(_, values) => type_name(values),
        other => other.to_string(),
    }
}

/// Writes values of one batch. Binary is base64; times are RFC 3339.
pub(super) struct Values<'a> {
    columns: Vec<Column<'a>>,
}

enum Column<'a> {
    Bytes(&'a dyn Array),
    Json(NullableEncoder<'a>),
    /// A type that JSON has no form for, such as an interval.
    Text(&'a dyn Array, ArrayFormatter<'a>),
}

impl<'a> Values<'a> {
    pub(super) fn of(
        batch: &'a RecordBatch,
        fields: &'a [FieldRef],
        options: &'a EncoderOptions,
    ) -> Result<Self, ArrowError> {
        let column =
            |(array, field): (&'a ArrayRef, &'a FieldRef)| -> Result<Column<'a>, ArrowError> {
                if matches!(array.data_type(), DataType::Binary) {
                    return Ok(Column::Bytes(array.as_ref()));
                }
                if let Ok(encoder) = make_encoder(field, array.as_ref(), options) {
                    return Ok(Column::Json(encoder));
                }
                let formatter = ArrayFormatter::try_new(array.as_ref(), &TEXT)?;
                Ok(Column::Text(array.as_ref(), formatter))
            };
        let columns = batch.columns().iter().zip(fields).map(column).collect::<Result<_, _>>()?;
        Ok(Self { columns })
    }

    /// Writes the row as a JSON array.
    pub(super) fn array(&mut self, row: usize, out: &mut Vec<u8>) {
        let mut separator = b'[';
        for column in &mut self.columns {
            out.push(separator);
            separator = b',';
            column.write(row, out);
        }
        if separator == b'[' {
            out.push(separator);
        }
        out.push(b']');
    }

    /// Writes one value.
    pub(super) fn value(&mut self, column: usize, row: usize, out: &mut Vec<u8>) {
        if let Some(column) = self.columns.get_mut(column) {
            column.write(row, out);
        }
    }
}

impl Column<'_> {
    fn write(&mut self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Bytes(array) if array.is_null(row) => out.extend_from_slice(b"null"),
            Self::Bytes(array) => {
                use base64::Engine as _;
                let bytes = array.as_binary::<i32>().value(row);
                let text = base64::engine::general_purpose::STANDARD.encode(bytes);
                out.push(b'"');
                out.extend_from_slice(text.as_bytes());
                out.push(b'"');
            }
            Self::Json(encoder) if encoder.is_null(row) => out.extend_from_slice(b"null"),
            Self::Json(encoder) => encoder.encode(row, out),
            Self::Text(array, _) if array.is_null(row) => out.extend_from_slice(b"null"),
            Self::Text(_, formatter) => {
                let text = Value::from(formatter.value(row).to_string());
                out.extend_from_slice(text.to_string().as_bytes());
            }
        }
    }
}
