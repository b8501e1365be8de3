//! The forms of an answer. The first rows are awaited before the status is sent, so that most failures get a status of
//! their own; a later one is said in the body where the form has a place for it, and breaks the body off in any case.

use std::io::Write as _;
use std::sync::Arc;

use arrow::array::Array as _;
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::EncoderOptions;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use axum::http::HeaderValue;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use serde_json::Value;

use super::json::{self, Values};
use crate::answer::Answer;
use crate::error::QueryError;

/// A form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// One object: columns, rows as arrays, their number, the snapshot.
    Json,
    /// One object per row, one per line.
    NdJson,
    /// RFC 4180, with a header.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

impl Format {
    const ALL: [Self; 4] = [Self::Json, Self::NdJson, Self::Csv, Self::Arrow];

    /// The first form of an `Accept` header that there is; JSON where it does not say.
    pub(super) fn accepted(accept: Option<&HeaderValue>) -> Result<Self, QueryError> {
        let Some(accept) = accept else { return Ok(Self::Json) };
        let accept = accept.to_str().unwrap_or_default();
        let wanted = accept.split(',').filter_map(|part| part.split(';').next()).map(str::trim);
        for kind in wanted {
            if let Some(format) = Self::ALL.into_iter().find(|format| format.media_type() == kind) {
                return Ok(format);
            }
            if matches!(kind, "*/*" | "application/*" | "") {
                return Ok(Self::Json);
            }
        }
        let known: Vec<_> = Self::ALL.iter().map(|format| format.media_type()).collect();
        Err(QueryError::BadRequest {
            problem: format!(
                "no form of `Accept: {accept}` can be given; use one of {}",
                known.join(", ")
            ),
        })
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::NdJson => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            other => other.media_type(),
        }
    }
}

/// The bytes of an answer. What goes wrong before the first of them is an error here.
pub(super) async fn body(
    format: Format,
    mut answer: Answer,
) -> Result<impl Stream<Item = Result<Bytes, QueryError>> + Send + 'static, QueryError> {
    let first = answer.next().await.transpose()?;
    let schema = Arc::clone(&answer.schema);
    let version = answer.snapshot_version;
    let mut writer = Writer::new(format, &schema, version)?;
    let first = stream::iter(first.map(Ok));
    let pieces = first.chain(answer.into_stream()).map(Some).chain(stream::iter([None]));
    Ok(pieces.scan(false, move |broken, piece| {
        if *broken {
            return futures::future::ready(None);
        }
        let bytes = match piece {
            Some(Ok(batch)) => writer.rows(&batch).map_err(|error| (error, false)),
            Some(Err(error)) => Err((error, true)),
            None => writer.end().map_err(|error| (error, false)),
        };
        let bytes = bytes.or_else(|(error, told)| {
            *broken = true;
            writer.failure(&error).ok_or_else(|| {
                if !told {
                    tracing::error!(%error, "an answer could not be written");
                }
                error
            })
        });
        futures::future::ready(Some(bytes.map(Bytes::from)))
    }))
}

/// Writes one answer in one form.
struct Writer {
    format: Format,
    fields: Vec<FieldRef>,
    options: EncoderOptions,
    names: Vec<String>,
    rows: u64,
    version: Option<u64>,
    /// What was written and not yet taken: the form's beginning, at first.
    pending: Vec<u8>,
    arrow: Option<StreamWriter<Vec<u8>>>,
}

impl Writer {
    fn new(format: Format, schema: &SchemaRef, version: Option<u64>) -> Result<Self, QueryError> {
        let mut pending = Vec::new();
        let mut arrow = None;
        match format {
            Format::Json => {
                pending.extend_from_slice(b"{\"columns\":");
                pending.extend_from_slice(json::columns(schema).to_string().as_bytes());
                pending.extend_from_slice(b",\"rows\":[");
            }
            Format::Csv => {
                let names: Vec<_> = schema.fields().iter().map(|f| csv(f.name())).collect();
                pending.extend_from_slice(names.join(",").as_bytes());
                pending.extend_from_slice(b"\r\n");
            }
            Format::Arrow => {
                arrow = Some(StreamWriter::try_new(Vec::new(), schema).map_err(unwritable)?);
            }
            Format::NdJson => {}
        }
        let name = |field: &FieldRef| Value::from(field.name().as_str()).to_string();
        Ok(Self {
            format,
            fields: schema.fields().to_vec(),
            options: EncoderOptions::default(),
            names: schema.fields().iter().map(name).collect(),
            rows: 0,
            version,
            pending,
            arrow,
        })
    }

    fn rows(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, QueryError> {
        let mut out = std::mem::take(&mut self.pending);
        match self.format {
            Format::Json => {
                let mut values = self.values(batch)?;
                for row in 0..batch.num_rows() {
                    if self.rows > 0 || row > 0 {
                        out.push(b',');
                    }
                    values.array(row, &mut out);
                }
            }
            Format::NdJson => {
                let mut values = self.values(batch)?;
                for row in 0..batch.num_rows() {
                    self.object(&mut values, row, &mut out);
                }
            }
            Format::Csv => csv_rows(batch, &mut self.values(batch)?, &mut out)?,
            Format::Arrow => {
                if let Some(arrow) = &mut self.arrow {
                    arrow.write(batch).map_err(unwritable)?;
                    out.append(arrow.get_mut());
                }
            }
        }
        self.rows = self.rows.saturating_add(batch.num_rows() as u64);
        Ok(out)
    }

    fn values<'a>(&'a self, batch: &'a RecordBatch) -> Result<Values<'a>, QueryError> {
        Values::of(batch, &self.fields, &self.options).map_err(unwritable)
    }

    fn object(&self, values: &mut Values<'_>, row: usize, out: &mut Vec<u8>) {
        let mut separator = b'{';
        for (column, name) in self.names.iter().enumerate() {
            out.push(separator);
            separator = b',';
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            values.value(column, row, out);
        }
        if separator == b'{' {
            out.push(separator);
        }
        out.extend_from_slice(b"}\n");
    }

    fn end(&mut self) -> Result<Vec<u8>, QueryError> {
        let mut out = std::mem::take(&mut self.pending);
        match self.format {
            Format::Json => {
                let version = self.version.map_or_else(|| "null".to_owned(), |v| v.to_string());
                let end =
                    format!("],\"row_count\":{},\"snapshot_version\":{version}}}\n", self.rows);
                out.extend_from_slice(end.as_bytes());
            }
            Format::Arrow => {
                if let Some(arrow) = &mut self.arrow {
                    arrow.finish().map_err(unwritable)?;
                    out.append(arrow.get_mut());
                }
            }
            Format::NdJson | Format::Csv => {}
        }
        Ok(out)
    }

    /// A failure in the middle, where the form has a place for it. A reader sees it, and sees no `row_count`.
    fn failure(&mut self, error: &QueryError) -> Option<Vec<u8>> {
        let mut out = std::mem::take(&mut self.pending);
        let error = json::error(error);
        match self.format {
            Format::Json => writeln!(out, "],\"error\":{error}}}").ok()?,
            Format::NdJson => writeln!(out, "{{\"error\":{error}}}").ok()?,
            Format::Csv | Format::Arrow => return None,
        }
        Some(out)
    }
}

/// Lists as JSON arrays, everything else as text, nothing for null.
fn csv_rows(
    batch: &RecordBatch,
    values: &mut Values<'_>,
    out: &mut Vec<u8>,
) -> Result<(), QueryError> {
    let options = FormatOptions::default().with_null("");
    let mut formatters = Vec::with_capacity(batch.num_columns());
    for array in batch.columns() {
        formatters.push(match array.data_type() {
            DataType::List(_) | DataType::Binary => None,
            _ => Some(ArrayFormatter::try_new(array.as_ref(), &options).map_err(unwritable)?),
        });
    }
    for row in 0..batch.num_rows() {
        for (column, (array, formatter)) in batch.columns().iter().zip(&formatters).enumerate() {
            if column > 0 {
                out.push(b',');
            }
            if array.is_null(row) {
                continue;
            }
            let text = match formatter {
                Some(formatter) => formatter.value(row).to_string(),
                None => {
                    let mut text = Vec::new();
                    values.value(column, row, &mut text);
                    String::from_utf8(text).map_err(|_| QueryError::Internal)?
                }
            };
            out.extend_from_slice(csv(&text).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
    Ok(())
}

/// A field as RFC 4180 section 2 quotes it.
fn csv(text: &str) -> String {
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn unwritable(error: arrow::error::ArrowError) -> QueryError {
    tracing::error!(%error, "an answer could not be written");
    QueryError::Internal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &str) -> Result<Format, QueryError> {
        Format::accepted(Some(&HeaderValue::from_str(accept).unwrap()))
    }

    #[test]
    fn the_first_known_form_is_taken() {
        assert_eq!(Format::accepted(None).unwrap(), Format::Json);
        assert_eq!(accepted("*/*").unwrap(), Format::Json);
        assert_eq!(accepted("text/html, text/csv;q=0.9").unwrap(), Format::Csv);
        assert_eq!(accepted("application/x-ndjson").unwrap(), Format::NdJson);
        assert_eq!(accepted("application/vnd.apache.arrow.stream").unwrap(), Format::Arrow);
        let error = accepted("text/html").unwrap_err();
        assert!(error.to_string().contains("text/csv"), "{error}");
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        assert_eq!(csv("plain"), "plain");
        assert_eq!(csv("a,\"b\"\nc"), "\"a,\"\"b\"\"\nc\"");
    }
}
