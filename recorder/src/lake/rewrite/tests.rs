//! What a rewrite does when the store fails before or after it wrote, and when others commit.

use std::sync::atomic::Ordering;

use deltalake::writer::DeltaWriter as _;
use tallyport_eventlog::{Entry, Position};
use tokio_util::task::TaskTracker;

use super::super::open_storage;
use super::super::place::{FAIL_AFTER_WRITING, FAIL_BEFORE_WRITING, Place, TAKEN_BY_ITSELF, log};
use super::super::table::{Change, Outcome, Table};
use super::*;
use crate::dead_letter::{self, DeadLetter};
use crate::rows::Rows;

const APP: &str = "test/0";

fn rows(offsets: std::ops::Range<u64>) -> arrow::array::RecordBatch {
    let letter = |offset| DeadLetter {
        entry: Entry {
            position: Position { partition: 0, offset },
            key: "key".into(),
            value: "value".into(),
            appended_at_ms: 1_700_000_000_000,
        },
        error: "not one".to_owned(),
    };
    dead_letter::batch(&offsets.map(letter).collect::<Vec<_>>()).unwrap()
}

/// A file of one row.
async fn record(table: &Table, offset: u64) {
    let adds = table.write(&Rows::of(rows(offset..offset + 1))).await.unwrap();
    let change =
        Change { app_id: APP, from: offset.checked_sub(1), to: offset, beside: None, adds: &adds };
    assert!(matches!(table.commit(&change).await.unwrap(), Outcome::Committed(_)));
}

/// A place with so many files of one row.
async fn with_files(files: u64) -> (Place, Table) {
    let place = Place::new();
    let table = place.table().await;
    for offset in 0..files {
        record(&table, offset).await;
    }
    (place, table)
}

async fn load(place: &Place) -> Rewrite {
    Rewrite::load(place.storage(), TableDefinition::dead_letters()).await.unwrap()
}

/// One file with the rows of `offsets`, which no commit names.
async fn made(table: &Rewrite, offsets: std::ops::Range<u64>) -> Vec<Add> {
    let mut writer = table.writer().unwrap();
    writer.write(rows(offsets)).await.unwrap();
    writer.flush().await.unwrap()
}

/// The rows of each file of the newest version, sorted.
async fn live(place: &Place) -> Vec<u64> {
    let mut rows: Vec<_> =
        load(place).await.files().unwrap().iter().map(|file| file.rows).collect();
    rows.sort_unstable();
    rows
}

#[tokio::test]
async fn files_give_way_to_one_while_a_recorder_goes_on() {
    let (place, table) = with_files(3).await;
    let mut rewrite = load(&place).await;
    let (old, adds) = (rewrite.files().unwrap(), made(&rewrite, 0..3).await);
    record(&table, 3).await;
    rewrite.replace(&old, adds).await.unwrap();
    assert_eq!(live(&place).await, [1, 3]);
    assert_eq!(table.position(APP).await.unwrap(), Some(3), "positions stay");
    record(&table, 4).await;
    assert_eq!(live(&place).await, [1, 1, 3]);
}

#[tokio::test]
async fn what_another_has_rewritten_is_not_rewritten_twice() {
    let (place, _table) = with_files(2).await;
    let (mut one, mut other) = (load(&place).await, load(&place).await);
    let old = one.files().unwrap();
    let (adds, again) = (made(&one, 0..2).await, made(&other, 0..2).await);
    one.replace(&old, adds).await.unwrap();
    let versions = place.versions().await;
    let error = other.replace(&old, again).await.unwrap_err();
    assert!(matches!(error, LakeError::Replaced { .. }), "{error}");
    assert!(error.to_string().contains("run it again"), "{error}");
    assert_eq!((live(&place).await, place.versions().await), (vec![2], versions));
}

#[tokio::test]
async fn a_store_that_fails_either_way_leaves_each_row_once() {
    for (fault, then) in [
        (FAIL_BEFORE_WRITING, vec![1, 1]),
        (FAIL_AFTER_WRITING, vec![2]),
        (TAKEN_BY_ITSELF, vec![2]),
    ] {
        let (place, _table) = with_files(2).await;
        let mut rewrite = load(&place).await;
        let (old, adds) = (rewrite.files().unwrap(), made(&rewrite, 0..2).await);
        place.fault.store(fault, Ordering::SeqCst);
        let done = rewrite.replace(&old, adds.clone()).await;
        assert_eq!(done.is_ok(), fault == TAKEN_BY_ITSELF, "{done:?}");
        assert_eq!(live(&place).await, then);
        // Once more: it is made, or found made.
        rewrite.replace(&old, adds).await.unwrap();
        assert_eq!(live(&place).await, [2]);
    }
}

#[tokio::test]
async fn a_file_that_does_not_go_is_told_of() {
    let (place, _table) = with_files(2).await;
    let mut rewrite = load(&place).await;
    let (mut old, adds) = (rewrite.files().unwrap(), made(&rewrite, 0..2).await);
    // As a writer would have written it that does not write names as we do.
    old[0].remove.path = "elsewhere.parquet".to_owned();
    let error = rewrite.replace(&old, adds).await.unwrap_err().to_string();
    assert!(error.contains("there twice since version 3"), "{error}");
    assert!(error.contains("Do not RESTORE or DELETE"), "{error}");
}

#[tokio::test]
async fn a_table_of_a_newer_build_is_left_alone() {
    let place = Place::new();
    let _table = place.table_of(1).await;
    let mut older = TableDefinition::dead_letters();
    let fields = older.schema.fields().iter().filter(|field| field.name() != "error").cloned();
    older.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut rewrite = Rewrite::load(place.storage(), older).await.unwrap();
    // It may have become one since it was looked at.
    let at_the_commit = rewrite.replace(&[], Vec::new()).await.unwrap_err();
    for error in [rewrite.schema().unwrap_err(), at_the_commit] {
        assert!(matches!(&error, LakeError::NewerSchema { columns, .. } if columns == "error"));
    }
}

#[tokio::test]
async fn no_commit_names_a_file_that_is_not_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let url = Url::from_directory_path(dir.path()).unwrap();
    let storage = open_storage(url, &HashMap::new()).unwrap();
    let definition = TableDefinition::dead_letters();
    let (log, ids) = (log(), vec![APP.to_owned()]);
    let tasks = TaskTracker::new();
    let table = Table::open(storage.clone(), definition.clone(), &log, ids, (false, true), tasks)
        .await
        .unwrap();
    for offset in 0..2 {
        record(&table, offset).await;
    }
    let mut rewrite = Rewrite::load(storage, definition).await.unwrap();
    let (old, adds) = (rewrite.files().unwrap(), made(&rewrite, 0..2).await);
    std::fs::remove_file(dir.path().join(&adds[0].path)).unwrap();
    rewrite.replace(&old, adds).await.unwrap_err();
    assert_eq!(rewrite.table.version(), Some(2));
    rewrite.table.update_state().await.unwrap();
    assert_eq!(rewrite.table.version(), Some(2), "nothing was committed");
}
