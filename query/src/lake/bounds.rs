//! What is kept about each file of the lake: how many rows, the least and the greatest value of some columns, so that
//! a question can leave files out. Pure data, no IO.
//!
//! What is not known, or not understood, keeps a file in.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ScalarValue, Statistics};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// The column that says which file is newer.
pub(crate) const TIME: &str = "time";
/// Times in a Delta log may be cut to milliseconds.
const MICROS_PER_MILLI: i64 = 1_000;

/// One file. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileBounds {
    kept: Arc<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    rows: Option<u64>,
    columns: HashMap<String, Range>,
}

/// A column of a file.
#[derive(Debug, Default)]
struct Range {
    least: Option<ScalarValue>,
    greatest: Option<ScalarValue>,
    nulls: Option<u64>,
}

/// The statistics of an `add` action
/// ([format](https://github.com/delta-io/delta/blob/master/PROTOCOL.md#per-file-statistics)).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Said {
    num_records: Option<u64>,
    min_values: HashMap<String, Value>,
    max_values: HashMap<String, Value>,
    null_count: HashMap<String, Value>,
}

impl FileBounds {
    /// Of a file whose log entry says `stats`, with `partition`, the values that all of its rows have.
    pub(crate) fn new(
        stats: Option<&str>,
        partition: impl Iterator<Item = (String, ScalarValue)>,
        schema: &SchemaRef,
    ) -> Self {
        let said = stats.and_then(|stats| serde_json::from_str(stats).ok());
        let Said { num_records, min_values, max_values, null_count } = said.unwrap_or_default();
        let mut columns: HashMap<String, Range> = HashMap::new();
        let typed = |name: &str| schema.field_with_name(name).ok().map(|field| field.data_type());
        for (name, value) in min_values {
            let least = typed(&name).and_then(|of| scalar(&value, of, End::Least));
            columns.entry(name).or_default().least = least;
        }
        for (name, value) in max_values {
            let greatest = typed(&name).and_then(|of| scalar(&value, of, End::Greatest));
            columns.entry(name).or_default().greatest = greatest;
        }
        for (name, value) in null_count {
            columns.entry(name).or_default().nulls = value.as_u64();
        }
        for (name, value) in partition {
            let range = Range { least: Some(value.clone()), greatest: Some(value), nulls: Some(0) };
            columns.insert(name, range);
        }
        Self { kept: Arc::new(Kept { rows: num_records, columns }) }
    }

    pub(crate) fn rows(&self) -> Option<u64> {
        self.kept.rows
    }

    /// For the engine, what is known of the time of its events, and of no column beyond: a whole row of them for each
    /// file is 30 KB. The time lies within, and is never one value.
    pub(crate) fn time_only(&self, schema: &SchemaRef) -> Statistics {
        let mut known = Statistics::new_unknown(schema);
        let columns = &mut known.column_statistics;
        columns.truncate(schema.index_of(TIME).map_or(0, |index| index + 1));
        let time = self.kept.columns.get(TIME);
        if let (Some(Range { least: Some(least), greatest: Some(greatest), nulls }), Some(column)) =
            (time, columns.last_mut())
        {
            column.min_value = Precision::Exact(least.clone());
            column.max_value = Precision::Exact(greatest.clone());
            // Nulls come first where the latest do: without this no file could be left out for them.
            if *nulls == Some(0) {
                column.null_count = Precision::Exact(0);
            }
        }
        columns.shrink_to_fit();
        known
    }

    /// When its newest event was, in microseconds since the Unix epoch, or a little later.
    pub(crate) fn latest(&self) -> Option<i64> {
        match self.kept.columns.get(TIME)?.greatest.as_ref()? {
            ScalarValue::TimestampMicrosecond(micros, _) => *micros,
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
enum End {
    Least,
    Greatest,
}

/// A value as it is compared with; `None` for what is not understood.
fn scalar(value: &Value, of: &DataType, end: End) -> Option<ScalarValue> {
    match of {
        DataType::Utf8 => value.as_str().map(|text| ScalarValue::Utf8(Some(text.to_owned()))),
        DataType::Int32 => {
            i32::try_from(value.as_i64()?).ok().map(|number| ScalarValue::Int32(Some(number)))
        }
        DataType::Int64 => value.as_i64().map(|number| ScalarValue::Int64(Some(number))),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = value.as_str()?.parse::<Timestamp>().ok()?.as_microsecond();
            let cut = micros.div_euclid(MICROS_PER_MILLI) * MICROS_PER_MILLI;
            let micros = match end {
                End::Least => cut,
                End::Greatest => cut + MICROS_PER_MILLI,
            };
            Some(ScalarValue::TimestampMicrosecond(Some(micros), zone.clone()))
        }
        _ => None,
    }
}

/// All files of a snapshot, as the engine asks for them: column by column.
#[derive(Debug)]
pub(crate) struct Bounds {
    files: Vec<FileBounds>,
    schema: SchemaRef,
    columns: HashMap<String, OnceLock<Arrays>>,
}

#[derive(Debug)]
struct Arrays {
    least: Option<ArrayRef>,
    greatest: Option<ArrayRef>,
    nulls: ArrayRef,
}

impl Bounds {
    pub(crate) fn new(files: Vec<FileBounds>, schema: SchemaRef) -> Self {
        let names = files.iter().flat_map(|file| file.kept.columns.keys());
        let names: HashSet<&String> = names.collect();
        let columns = names.into_iter().map(|name| (name.clone(), OnceLock::new())).collect();
        Self { files, schema, columns }
    }

    fn column(&self, column: &Column) -> Option<&Arrays> {
        let made = self.columns.get(&column.name)?;
        let field = self.schema.field_with_name(&column.name).ok()?;
        Some(made.get_or_init(|| self.arrays(&column.name, field.data_type())))
    }

    fn arrays(&self, name: &str, of: &DataType) -> Arrays {
        let ranges = || self.files.iter().map(|file| file.kept.columns.get(name));
        let values = |end: fn(&Range) -> Option<&ScalarValue>| {
            let null = ScalarValue::try_from(of).ok()?;
            let values = ranges().map(|range| range.and_then(end).unwrap_or(&null).clone());
            ScalarValue::iter_to_array(values).ok()
        };
        let nulls = ranges().map(|range| range.and_then(|range| range.nulls));
        Arrays {
            least: values(|range| range.least.as_ref()),
            greatest: values(|range| range.greatest.as_ref()),
            nulls: Arc::new(nulls.collect::<UInt64Array>()),
        }
    }
}

impl PruningStatistics for Bounds {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column)?.least.clone()
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column)?.greatest.clone()
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        Some(Arc::clone(&self.column(column)?.nulls))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let rows = self.files.iter().map(|file| file.kept.rows);
        Some(Arc::new(rows.collect::<UInt64Array>()))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

#[cfg(test)]
mod tests {
    use datafusion::common::ColumnStatistics;

    use super::*;
    use crate::table::full_schema;

    fn micros(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    fn time(file: &FileBounds) -> (Option<ScalarValue>, Option<ScalarValue>) {
        let range = file.kept.columns.get(TIME).unwrap();
        (range.least.clone(), range.greatest.clone())
    }

    #[test]
    fn a_time_that_was_cut_still_lies_within() {
        let zone = Some(Arc::from("UTC"));
        let at =
            |text: &str| Some(ScalarValue::TimestampMicrosecond(Some(micros(text)), zone.clone()));
        for said in [
            "2026-11-27T10:00:00.123Z",
            "2026-11-27T10:00:00.123456Z",
            "2026-11-27T10:00:00.123+00:00",
        ] {
            let stats =
                format!(r#"{{"minValues":{{"time":"{said}"}},"maxValues":{{"time":"{said}"}}}}"#);
            let file = FileBounds::new(Some(&stats), std::iter::empty(), &full_schema());
            let within = (at("2026-11-27T10:00:00.123Z"), at("2026-11-27T10:00:00.124Z"));
            assert_eq!(time(&file), within, "{said}");
            assert_eq!(file.latest(), Some(micros("2026-11-27T10:00:00.124Z")));
        }
    }

    #[test]
    fn the_engine_is_given_the_time_alone_and_never_as_one_value() {
        let stats = r#"{"numRecords":1,"minValues":{"log_offset":5,"event_id":"a","time":"2026-11-27T10:00:00Z"},
            "maxValues":{"log_offset":5,"event_id":"a","time":"2026-11-27T10:00:00Z"},"nullCount":{"time":0,"event_id":0}}"#;
        let schema = full_schema();
        let known = FileBounds::new(Some(stats), std::iter::empty(), &schema).time_only(&schema);
        let at = schema.index_of(TIME).unwrap();
        assert_eq!(known.num_rows, Precision::Absent);
        assert_eq!(known.column_statistics.len(), at + 1, "a file's share of memory");
        for (index, column) in known.column_statistics.iter().enumerate() {
            if index == at {
                let [least, greatest] =
                    [&column.min_value, &column.max_value].map(|end| end.get_value().unwrap());
                assert!(least < greatest, "{least} {greatest}");
                assert_eq!(column.null_count, Precision::Exact(0));
            } else {
                assert_eq!(column, &ColumnStatistics::new_unknown());
            }
        }
    }

    #[test]
    fn what_is_not_understood_is_not_known() {
        for stats in [
            None,
            Some(""),
            Some("[]"),
            Some(r#"{"numRecords":-1}"#),
            Some(
                r#"{"minValues":{"time":"soon","log_offset":"7","event_id":7,"delegation":["a"],"other":1}}"#,
            ),
        ] {
            let file = FileBounds::new(stats, std::iter::empty(), &full_schema());
            assert_eq!(file.rows(), None);
            assert_eq!(file.latest(), None);
            assert!(file.kept.columns.values().all(|range| range.least.is_none()), "{stats:?}");
            let all = Bounds::new(vec![file], full_schema());
            for name in ["time", "log_offset", "event_id", "delegation", "other", "nothing"] {
                let least = all.min_values(&Column::from_name(name));
                assert!(least.is_none_or(|least| least.null_count() == 1), "{stats:?}: {name}");
            }
        }
    }

    #[test]
    fn files_are_told_apart_by_what_each_says() {
        let day = |day| (String::from("ingest_date"), ScalarValue::Date32(Some(day)));
        let stats = r#"{"numRecords":3,"minValues":{"log_offset":5},"maxValues":{"log_offset":7},"nullCount":{"log_offset":0}}"#;
        let files = vec![
            FileBounds::new(Some(stats), [day(1)].into_iter(), &full_schema()),
            FileBounds::new(None, [day(2)].into_iter(), &full_schema()),
        ];
        let all = Bounds::new(files, full_schema());
        let [offset, date] = ["log_offset", "ingest_date"].map(Column::from_name);
        let known = |array: Option<ArrayRef>| {
            let array = array.unwrap();
            let at = |row| ScalarValue::try_from_array(&array, row).unwrap();
            [at(0), at(1)]
        };
        let number = |value| ScalarValue::Int64(value);
        assert_eq!(known(all.min_values(&offset)), [number(Some(5)), number(None)]);
        assert_eq!(known(all.max_values(&offset)), [number(Some(7)), number(None)]);
        let count = |value| ScalarValue::UInt64(value);
        assert_eq!(known(all.null_counts(&offset)), [count(Some(0)), count(None)]);
        assert_eq!(known(all.row_counts()), [count(Some(3)), count(None)]);
        let days = [ScalarValue::Date32(Some(1)), ScalarValue::Date32(Some(2))];
        assert_eq!(known(all.min_values(&date)), days);
        assert_eq!(known(all.max_values(&date)), days);
    }
}
