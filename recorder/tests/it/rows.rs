//! Reads a lake back and compares it with the log.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use deltalake::datafusion::prelude::SessionContext;
use deltalake::{DeltaTable, DeltaTableBuilder};
use tallyport_recorder::{CommitPolicy, LakeUrl, RecorderConfig};

use crate::scripted_log::{is_garbage, value};

/// Small commits, so that a test has many of them.
pub fn config(lake: &Path) -> RecorderConfig {
    let mut config = RecorderConfig::new(LakeUrl::from_dir(lake).unwrap());
    config.commit = CommitPolicy { max_rows: 400, ..CommitPolicy::development() };
    config
}

pub fn logging() {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "off".to_owned());
    let _already =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

pub async fn open(config: &RecorderConfig, table: &str) -> DeltaTable {
    DeltaTableBuilder::from_url(config.lake.table(table).unwrap())
        .unwrap()
        .with_storage_options(config.storage_options.clone())
        .load()
        .await
        .unwrap()
}

pub async fn sql(config: &RecorderConfig, query: &str) -> Vec<RecordBatch> {
    let session = SessionContext::new();
    for name in ["events", "dead_letters"] {
        let table = open(config, name).await;
        let provider = table.table_provider().await.unwrap();
        session.register_table(name, Arc::clone(&provider)).unwrap();
    }
    session.sql(query).await.unwrap().collect().await.unwrap()
}

/// The number in the first row of the first column.
pub async fn number(config: &RecorderConfig, query: &str) -> i64 {
    let batches = sql(config, query).await;
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

/// Commits of a table, version 0 included.
pub async fn versions(config: &RecorderConfig, table: &str) -> u64 {
    open(config, table).await.version().unwrap() + 1
}

/// Where the lake says that partition 0 is.
pub async fn position(config: &RecorderConfig, partition: u32) -> Option<i64> {
    let table = open(config, "events").await;
    table
        .snapshot()
        .unwrap()
        .transaction_version(table.log_store().as_ref(), tallyport_schemas::lake::app_id(partition))
        .await
        .unwrap()
}

/// Every record of `partition` before `end` is in its table exactly once, byte for byte, and nothing else is.
pub async fn assert_complete(config: &RecorderConfig, partition: u32, end: u64) {
    let events = values(config, "events", "raw", partition).await;
    let letters = values(config, "dead_letters", "value", partition).await;
    for offset in 0..end {
        let (here, there) = match is_garbage(offset) {
            true => (&letters, &events),
            false => (&events, &letters),
        };
        let found = here.get(&offset).map_or(&[][..], Vec::as_slice);
        assert_eq!(found.len(), 1, "partition {partition} offset {offset}: {} times", found.len());
        assert_eq!(found[0], value(partition, offset), "partition {partition} offset {offset}");
        assert!(!there.contains_key(&offset), "offset {offset} is in both tables");
    }
    assert_eq!(events.len() + letters.len(), usize::try_from(end).unwrap(), "rows beyond {end}");
    assert_eq!(position(config, partition).await, Some(i64::try_from(end).unwrap()));
}

async fn values(
    config: &RecorderConfig,
    table: &str,
    column: &str,
    partition: u32,
) -> HashMap<u64, Vec<Vec<u8>>> {
    let query = format!(
        "SELECT log_offset, arrow_cast({column}, 'Binary') FROM {table} WHERE log_partition = {partition}"
    );
    let mut found: HashMap<u64, Vec<Vec<u8>>> = HashMap::new();
    for batch in sql(config, &query).await {
        let offsets = batch.column(0).as_primitive::<Int64Type>();
        let values = batch.column(1).as_binary::<i32>();
        for (offset, value) in offsets.values().iter().zip(values.iter()) {
            let value = value.unwrap().to_vec();
            found.entry(u64::try_from(*offset).unwrap()).or_default().push(value);
        }
    }
    found
}
