//! Lakes that cannot be written, and tables that are not as this build needs them.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema};
use deltalake::kernel::StructType;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel as _;
use deltalake::operations::create::CreateBuilder;
use tallyport_eventlog::Log;
use tallyport_recorder::{LakeError, LakeUrl, Recorder, RecorderConfig, RecorderError};
use tallyport_schemas::lake::LOG_ID_PROPERTY;
use tokio_util::sync::CancellationToken;

use crate::rows::{assert_complete, config, number, open, versions};
use crate::scripted_log::ScriptedLog;

const RETENTION: &str = "delta.setTransactionRetentionDuration";

async fn refusal(config: &RecorderConfig) -> LakeError {
    let dir = tempfile::tempdir().unwrap();
    let log: Arc<dyn Log> = ScriptedLog::open(dir.path(), 1);
    match Recorder::start(config.clone(), log, CancellationToken::new()).await {
        Err(RecorderError::Lake(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// A table of events with other columns than ours.
async fn create(config: &RecorderConfig, fields: Vec<Field>, property: Option<(&str, &str)>) {
    let schema: StructType = (&Schema::new(fields)).try_into_kernel().unwrap();
    let url = config.lake.table("events").unwrap();
    std::fs::create_dir_all(url.to_file_path().unwrap()).unwrap();
    CreateBuilder::new()
        .with_location(url.to_string())
        .with_columns(schema.fields().cloned())
        .with_partition_columns(["ingest_date"])
        .with_raise_if_key_not_exists(false)
        .with_configuration(property.map(|(key, value)| (key.to_owned(), Some(value.to_owned()))))
        .await
        .unwrap();
}

fn our_fields() -> Vec<Field> {
    tallyport_schemas::arrow::schema().fields().iter().map(|field| field.as_ref().clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_table_gets_the_columns_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir.path().join("lake"));
    let lacking = ["agent_task", "policy_ids", "rows", "call_id", "findings"];
    let older = our_fields().into_iter().filter(|field| !lacking.contains(&field.name().as_str()));
    let log = ScriptedLog::open(dir.path(), 1);
    create(&config, older.collect(), Some((LOG_ID_PROPERTY, log.id().as_str()))).await;
    log.set_end(0, 200);
    for _ in 0..2 {
        let ours: Arc<dyn Log> = log.clone();
        let recorder =
            Recorder::start(config.clone(), ours, CancellationToken::new()).await.unwrap();
        recorder.stop().await.unwrap();
    }
    assert_complete(&config, 0, 200).await;
    assert_eq!(versions(&config, "events").await, 3, "created, columns added once, one commit");
    let columns = open(&config, "events").await.snapshot().unwrap().schema();
    for name in lacking {
        assert!(columns.field(name).is_some(), "{name}");
    }
    assert_eq!(number(&config, "SELECT count(agent_task) FROM events").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn contradicting_and_newer_tables_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let one = config(&dir.path().join("one"));
    let text_offset = our_fields().into_iter().map(|field| match field.name().as_str() {
        "log_offset" => Field::new("log_offset", DataType::Utf8, false),
        _ => field,
    });
    create(&one, text_offset.collect(), None).await;
    let error = refusal(&one).await;
    assert!(matches!(&error, LakeError::SchemaMismatch { .. }), "{error}");
    assert!(error.to_string().contains("log_offset is string, not long"), "{error}");

    let two = config(&dir.path().join("two"));
    let mut newer = our_fields();
    newer.push(Field::new("from_the_future", DataType::Utf8, true));
    create(&two, newer, None).await;
    let error = refusal(&two).await;
    assert!(matches!(&error, LakeError::NewerSchema { .. }), "{error}");

    let three = config(&dir.path().join("three"));
    create(&three, our_fields(), Some((RETENTION, "interval 1 days"))).await;
    let error = refusal(&three).await;
    assert!(matches!(&error, LakeError::UnsupportedFeature { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_with_something_else_is_no_table() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir.path().join("lake"));
    let events = dir.path().join("lake/events");
    std::fs::create_dir_all(&events).unwrap();
    std::fs::write(events.join("holiday.jpg"), b"x").unwrap();
    let error = refusal(&config).await;
    assert!(matches!(error, LakeError::NotATable { .. }), "{error}");
    assert!(!events.join("_delta_log").exists(), "nothing was written there");
}

fn s3_config(endpoint: &str) -> RecorderConfig {
    let mut config = RecorderConfig::new(LakeUrl::parse("s3://bucket/lake").unwrap());
    for (name, value) in [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "topsecret"),
        ("max_retries", "1"),
        ("retry_timeout", "1s"),
    ] {
        config.storage_options.insert(name.to_owned(), value.to_owned());
    }
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_does_not_answer_is_unreachable() {
    // Bound and closed again: nothing listens there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = refusal(&s3_config(&format!("http://127.0.0.1:{port}"))).await;
    assert!(matches!(error, LakeError::Unreachable { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("topsecret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_forbids_is_denied() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _read = stream.read(&mut request);
            let body = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
            let _written = write!(
                stream,
                "HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    let config = s3_config(&format!("http://127.0.0.1:{port}"));
    let asked = refusal(&config);
    let error = tokio::time::timeout(Duration::from_secs(60), asked).await.unwrap();
    assert!(matches!(error, LakeError::Denied { .. }), "{error}");
}
