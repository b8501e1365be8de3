//! What positions are, and how many requests they cost: counted at the store.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod counting;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use arrow::record_batch::RecordBatch;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::ArrowWriter;
use tallyport_lake::{Positions, PositionsError};

use counting::Counting;

/// Requests of a cold read beside those for commits: the hint, the checkpoint's size, footer and columns; or the hint
/// and a list.
const COLD: u64 = 5;

fn app_id(partition: u64) -> String {
    format!("test/{partition}")
}

async fn put(table: &dyn ObjectStore, name: &str, content: Vec<u8>) {
    let path = Path::from(format!("_delta_log/{name}"));
    let _written = table.put(&path, content.into()).await.unwrap();
}

/// Version `version`: it moves partition `version % partitions` to `version * 10`.
async fn commit(table: &dyn ObjectStore, version: u64, partitions: u64) {
    let lines = format!(
        "{{\"commitInfo\":{{}}}}\n{{\"add\":{{\"path\":\"x\"}}}}\n{{\"txn\":{{\"appId\":\"{}\",\"version\":{}}}}}\n",
        app_id(version % partitions),
        version * 10
    );
    put(table, &format!("{version:020}.json"), lines.into_bytes()).await;
}

/// A checkpoint of `version` as Delta lays it out: one action per row, and a hint at it.
async fn checkpoint(table: &dyn ObjectStore, version: u64, positions: &[(String, i64)]) {
    let fields = Fields::from(vec![
        Field::new("appId", DataType::Utf8, true),
        Field::new("version", DataType::Int64, true),
    ]);
    let ids = positions.iter().map(|(id, _)| Some(id.clone())).chain([None]);
    let versions = positions.iter().map(|(_, version)| Some(*version)).chain([None]);
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from_iter(ids)), Arc::new(Int64Array::from_iter(versions))];
    let present: Vec<bool> = positions.iter().map(|_| true).chain([false]).collect();
    let txn = StructArray::new(fields, columns, Some(NullBuffer::from(present.clone())));
    let other = StringArray::from_iter(present.iter().map(|txn| (!txn).then_some("an action")));
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("add", Arc::new(other) as ArrayRef, true),
        ("txn", Arc::new(txn) as ArrayRef, true),
    ]);
    let batch = batch.unwrap();
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    put(table, &format!("{version:020}.checkpoint.parquet"), file).await;
    put(table, "_last_checkpoint", format!("{{\"version\":{version},\"size\":1}}").into()).await;
}

fn want(version: u64, partition: u64, partitions: u64) -> Option<u64> {
    (0..=version).rev().find(|version| version % partitions == partition).map(|at| at * 10)
}

fn assert_positions(found: &Positions, version: u64, partitions: u64) {
    assert_eq!(found.version(), version);
    for partition in 0..partitions {
        let at = found.get(&app_id(partition));
        assert_eq!(at, want(version, partition, partitions), "partition {partition} at {version}");
    }
}

#[tokio::test]
async fn a_cold_read_costs_a_checkpoint_and_the_commits_behind_it() {
    for (partitions, commits, every) in [(1, 30, 50), (6, 126, 50), (24, 126, 50), (6, 480, 50)] {
        let (counting, table) = Counting::new();
        for version in 0..commits {
            commit(table.as_ref(), version, partitions).await;
            if (version + 1) % every == 0 {
                let known = Positions::read(&table, version).await.unwrap();
                let all = (0..partitions).filter_map(|one| Some((one, known.get(&app_id(one))?)));
                let all: Vec<_> =
                    all.map(|(one, at)| (app_id(one), i64::try_from(at).unwrap())).collect();
                checkpoint(table.as_ref(), version, &all).await;
            }
        }
        let _before = counting.take();
        let known = Positions::read(&table, commits - 1).await.unwrap();
        let cost = counting.take();
        assert_positions(&known, commits - 1, partitions);
        assert_eq!(known.checkpoint(), (commits / every * every).checked_sub(1));
        let behind = commits % every;
        assert!(
            cost <= COLD + behind,
            "{cost} requests for {partitions} partitions and {commits} commits, {behind} of them behind the checkpoint"
        );
    }
}

#[tokio::test]
async fn going_on_costs_one_request_per_commit_whatever_the_partitions() {
    for partitions in [1, 6, 24] {
        let (counting, table) = Counting::new();
        commit(table.as_ref(), 0, partitions).await;
        let mut known = Positions::read(&table, 0).await.unwrap();
        let _before = counting.take();
        for version in 1..=100 {
            commit(table.as_ref(), version, partitions).await;
            let _written = counting.take();
            known.advance(table.as_ref(), version).await.unwrap();
            assert_eq!(counting.take(), 1, "{partitions} partitions");
            assert_positions(&known, version, partitions);
        }
        known.advance(table.as_ref(), 100).await.unwrap();
        assert_eq!(counting.take(), 0, "nothing to go on to");
    }
}

#[tokio::test]
async fn a_hint_that_is_missing_or_ahead_or_broken_is_no_reason_to_be_wrong() {
    let (_, table) = Counting::new();
    for version in 0..40 {
        commit(table.as_ref(), version, 3).await;
        if version == 9 || version == 29 {
            let all: Vec<_> = (0..3)
                .map(|one| (app_id(one), i64::try_from(want(version, one, 3).unwrap()).unwrap()))
                .collect();
            checkpoint(table.as_ref(), version, &all).await;
        }
    }
    let pinned_before_the_hint = Positions::read(&table, 20).await.unwrap();
    assert_positions(&pinned_before_the_hint, 20, 3);
    assert_eq!(pinned_before_the_hint.checkpoint(), Some(9));
    for hint in ["", "{}", "{\"version\":12"] {
        put(table.as_ref(), "_last_checkpoint", hint.as_bytes().to_vec()).await;
        let found = Positions::read(&table, 35).await.unwrap();
        assert_positions(&found, 35, 3);
        assert_eq!(found.checkpoint(), Some(29));
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_said() {
    let (_, table) = Counting::new();
    for version in [0, 1, 3] {
        commit(table.as_ref(), version, 2).await;
    }
    let hole = Positions::read(&table, 3).await.unwrap_err();
    assert!(matches!(hole, PositionsError::Gone { version: 2 }), "{hole}");
    let mut known = Positions::read(&table, 1).await.unwrap();
    let before = known.clone();
    let beyond = known.advance(table.as_ref(), 9).await.unwrap_err();
    assert!(matches!(beyond, PositionsError::Gone { version: 2 }), "{beyond}");
    assert_eq!(known, before, "an error changes nothing");

    put(table.as_ref(), "_last_checkpoint", b"{\"version\":3,\"parts\":2}".to_vec()).await;
    let foreign = Positions::read(&table, 3).await.unwrap_err();
    assert!(matches!(foreign, PositionsError::Foreign { version: 3 }), "{foreign}");
    put(table.as_ref(), "00000000000000000003.checkpoint.parquet", b"PAR1PAR1".to_vec()).await;
    let broken = Positions::read(&table, 3).await.unwrap_err();
    assert!(matches!(broken, PositionsError::Checkpoint { version: 3, .. }), "{broken}");
    assert!(!broken.is_outage());
}
