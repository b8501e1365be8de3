use std::sync::Arc;

use ::arrow::array::{Array as _, AsArray as _};
use ::arrow::datatypes::{
    DataType, Date32Type, Field, Int32Type, Int64Type, TimestampMicrosecondType,
};

use super::*;
use crate::*;

/// A change here is a change of contract: the table `events` and every query on it.
#[test]
fn the_schema_is_the_golden_one() {
    let nullable = |field: &Field| if field.is_nullable() { "" } else { " not null" };
    let name = |data_type: &DataType| match data_type {
        DataType::List(item) => {
            format!("List<{}: {}{}>", item.name(), item.data_type(), nullable(item))
        }
        other => other.to_string(),
    };
    let line = |field: &Arc<Field>| {
        format!("{} {}{}\n", field.name(), name(field.data_type()), nullable(field))
    };
    let now: String = schema().fields().iter().map(line).collect();
    crate::golden::check("arrow.txt", now.as_bytes());
}

fn event(context: Context, body: Body) -> Event {
    let producer = Producer { id: ProducerId::parse("gw-1").unwrap(), epoch: 7, seq: u64::MAX };
    Draft::new(context.into(), Some(3), body).at(producer)
}

fn stopped() -> Body {
    Body::Integrity(Integrity::ProducerStopped { events: 1 })
}

fn principal() -> Principal {
    Principal {
        issuer: "https://issuer".into(),
        subject: "person".into(),
        display_name: "A person".into(),
        kind: PrincipalKind::Human,
        groups: vec!["analysts".into()],
        owner: Some("team".into()),
    }
}

fn one(event: &Event, appended_at_ms: i64) -> RecordBatch {
    let mut batch = EventBatchBuilder::new();
    batch.push(event, b"raw", 2, 41, appended_at_ms);
    batch.finish().unwrap()
}

fn text(batch: &RecordBatch, column: &str) -> Option<String> {
    let column = batch.column_by_name(column).unwrap().as_string::<i32>();
    column.is_valid(0).then(|| column.value(0).to_owned())
}

fn texts(batch: &RecordBatch, column: &str) -> Option<Vec<String>> {
    let column = batch.column_by_name(column).unwrap().as_list::<i32>();
    column.is_valid(0).then(|| {
        column.value(0).as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect()
    })
}

#[test]
fn a_row_has_its_place() {
    let event = event(Context::default(), stopped());
    let batch = one(&event, -1);
    let int = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().value(0);
    let us = |name: &str| {
        batch.column_by_name(name).unwrap().as_primitive::<TimestampMicrosecondType>().value(0)
    };
    assert_eq!(
        batch.column_by_name("ingest_date").unwrap().as_primitive::<Date32Type>().value(0),
        -1
    );
    assert_eq!(
        batch.column_by_name("log_partition").unwrap().as_primitive::<Int32Type>().value(0),
        2
    );
    assert_eq!(int("log_offset"), 41);
    assert_eq!(int("producer_epoch"), 7);
    assert_eq!(int("producer_seq"), i64::MAX, "clamped, not wrapped");
    assert_eq!(int("session_seq"), 3);
    assert_eq!(us("appended_at"), -1_000);
    assert_eq!(us("time"), event.time.as_microsecond());
    assert_eq!(text(&batch, "event_id").unwrap(), event.event_id.to_string());
    assert_eq!(text(&batch, "family").unwrap(), "integrity");
    assert_eq!(text(&batch, "activity").unwrap(), "producer_stopped");
    assert_eq!(batch.column_by_name("raw").unwrap().as_binary::<i32>().value(0), b"raw");
    assert_eq!(texts(&batch, "tables"), None, "an empty list is null");
    assert_eq!(text(&batch, "actor"), None);
}

/// Some readers take no other years, and a writer that meets them ends.
#[test]
fn a_time_that_no_calendar_has_becomes_one_that_readers_can_read() {
    for (ms, day, us) in [
        (i64::MIN, -719_162, -62_135_596_800_000_000),
        (i64::MAX, 2_932_896, 253_402_300_799_999_999),
    ] {
        let batch = one(&event(Context::default(), stopped()), ms);
        let days = batch.column_by_name("ingest_date").unwrap().as_primitive::<Date32Type>();
        let appended = batch.column_by_name("appended_at").unwrap();
        let appended = appended.as_primitive::<TimestampMicrosecondType>();
        assert_eq!((days.value(0), appended.value(0)), (day, us));
    }
}

#[test]
fn who_acts_and_for_whom() {
    let alone = Context { principal: Some(principal()), ..Context::default() };
    let batch = one(&event(alone.clone(), stopped()), 0);
    assert_eq!(text(&batch, "actor").unwrap(), "person");
    assert_eq!(text(&batch, "on_behalf_of").unwrap(), "team");
    let actor = |subject: &str| Actor { subject: subject.into(), issuer: None };
    let delegated = Context { delegation: vec![actor("outer"), actor("inner")], ..alone };
    let batch = one(&event(delegated, stopped()), 0);
    assert_eq!(text(&batch, "actor").unwrap(), "outer");
    assert_eq!(text(&batch, "on_behalf_of").unwrap(), "person");
    assert_eq!(texts(&batch, "delegation").unwrap(), ["outer", "inner"]);
    assert_eq!(texts(&batch, "principal_groups").unwrap(), ["analysts"]);
}

#[test]
fn an_empty_batch_has_the_schema() {
    let batch = EventBatchBuilder::new().finish().unwrap();
    assert_eq!((batch.num_rows(), batch.schema()), (0, schema()));
}

#[test]
fn bytes_are_counted_and_a_full_batch_says_so_instead_of_losing_an_event() {
    let event = event(Context::default(), stopped());
    let raw = vec![b'x'; 10_000];
    let mut batch = EventBatchBuilder::new();
    batch.push(&event, &raw, 0, 0, 0);
    assert_eq!(batch.len(), 1);
    assert!(batch.bytes() > raw.len() && batch.bytes() < 2 * raw.len(), "{}", batch.bytes());
    batch.bytes = EventBatchBuilder::MAX_BYTES - raw.len();
    batch.push(&event, &raw, 0, 1, 0);
    assert_eq!(batch.len(), 1);
    let error = batch.finish().unwrap_err().to_string();
    assert!(error.contains("finish batches earlier"), "{error}");
}

/// Every sample's row, without the raw bytes. A change here is a change of contract: queries rely on it.
#[test]
fn every_sample_is_the_golden_row() {
    let samples = samples::all();
    let mut batch = EventBatchBuilder::new();
    for (offset, sample) in (0..).zip(&samples) {
        batch.push(&sample.event, b"", 0, offset, 1_768_465_801_000);
    }
    let rows = batch.finish().unwrap();
    let shown = rows.schema_ref().fields().iter().zip(rows.columns());
    let shown = shown.filter(|(field, _)| field.name() != "raw").map(|(field, column)| {
        // The writer of JSON knows no named zones in this build; the times are in UTC.
        let column = match column.as_primitive_opt::<TimestampMicrosecondType>() {
            Some(times) => Arc::new(times.clone().with_timezone_opt(None::<&str>)),
            None => Arc::clone(column),
        };
        (field.name(), column)
    });
    let rows = RecordBatch::try_from_iter(shown).unwrap();
    let mut json = ::arrow::json::LineDelimitedWriter::new(Vec::new());
    json.write(&rows).unwrap();
    json.finish().unwrap();
    let json = String::from_utf8(json.into_inner()).unwrap();
    let named =
        samples.iter().zip(json.lines()).map(|(sample, row)| format!("{} {row}\n", sample.name));
    crate::golden::check("rows.txt", named.collect::<String>().as_bytes());
}
