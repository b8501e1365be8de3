//! Small files become large ones, in order, while a recorder goes on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::compute::{SortColumn, concat_batches, lexsort_to_indices};
use deltalake::DeltaTable;
use deltalake::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use deltalake::parquet::file::reader::{FileReader as _, SerializedFileReader};
use jiff::civil::Date;
use tallyport_recorder::maintenance::{Compacted, Step, compact_days_before};
use tallyport_recorder::{LakeError, RecorderConfig, RunningRecorder};

use crate::file_lake::{SOON, start};
use crate::rows::{assert_complete, config, number, open, position, sql, versions};
use crate::scripted_log::ScriptedLog;

/// The order of the rows of a file, as docs/reference/lake.md says it.
const ORDER: [&str; 5] = ["family", "principal_subject", "time", "log_partition", "log_offset"];
/// After the first two days of the scripted log.
const TODAY: Date = Date::constant(2026, 9, 23);

/// A recorder that makes small files.
struct Small {
    lake: PathBuf,
    log: Arc<ScriptedLog>,
    config: RecorderConfig,
    recorder: RunningRecorder,
    dir: tempfile::TempDir,
}

async fn small(rows: usize) -> Small {
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let log = ScriptedLog::open(dir.path(), 1);
    let mut config = config(&lake);
    config.commit.max_rows = rows;
    let recorder = start(&config, &log).await;
    Small { lake, log, config, recorder, dir }
}

async fn compact(config: &RecorderConfig) -> Result<(Compacted, Vec<Step>), LakeError> {
    let mut steps = Vec::new();
    let done = compact_days_before(&config.lake, &config.storage_options, TODAY, |step| {
        steps.push(*step);
    });
    let done = done.await?;
    Ok((done, steps))
}

/// The files of the newest version, by day.
fn files(table: &DeltaTable, lake: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let mut days: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in table.snapshot().unwrap().log_data().iter() {
        let path = file.path().to_string();
        let day = path.split('/').next().unwrap().to_owned();
        days.entry(day).or_default().push(lake.join("events").join(path));
    }
    days
}

/// How many rows it has, all of them in order.
fn rows_in_order(path: &Path) -> usize {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    let all = concat_batches(&batches[0].schema(), &batches).unwrap();
    let column = |name: &&str| SortColumn {
        values: all.column_by_name(name).unwrap().clone(),
        options: None,
    };
    let order = lexsort_to_indices(&ORDER.iter().map(column).collect::<Vec<_>>(), None).unwrap();
    assert!(order.values().is_sorted(), "{} is not in order", path.display());
    all.num_rows()
}

#[tokio::test]
async fn without_a_lake_there_is_nothing_to_compact_and_none_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&dir.path().join("lake"));
    let error = compact(&config).await.unwrap_err();
    assert!(error.to_string().contains("check lake.url"), "{error}");
    assert!(!dir.path().join("lake").exists(), "the place stays as it was");
    std::fs::create_dir_all(dir.path().join("lake/events")).unwrap();
    let error = compact(&config).await.unwrap_err();
    assert!(error.to_string().contains("there is no lake"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_days_are_compacted_in_order_while_recording_goes_on() {
    let Small { lake, log, config, recorder, dir: _dir } = small(150).await;
    log.set_end(0, 2_500);
    recorder.wait_until(0, 2_400, SOON).await.unwrap();
    let before = files(&open(&config, "events").await, &lake);
    let (done, steps) = compact(&config).await.unwrap();
    let closed = || before.iter().filter(|(day, _)| day.as_str() < "ingest_date=2026-09-23");
    let small: usize = closed().map(|(_, files)| files.len()).sum();
    assert_eq!((done.files_before, done.files_after), (small as u64, closed().count() as u64));
    assert!(closed().count() >= 2 && small > 10, "{before:?}");
    assert_eq!(steps.len(), closed().count(), "{steps:?}");
    assert_eq!((steps[1].number, steps[1].of), (2, steps.len()));
    log.set_end(0, 2_700);
    recorder.wait_until(0, 2_700, SOON).await.unwrap();
    recorder.stop().await.unwrap();
    assert_complete(&config, 0, 2_700).await;
    assert_eq!(position(&config, 0).await, Some(2_700));
    let table = open(&config, "events").await;
    let after = files(&table, &lake);
    for (number, (day, _)) in closed().enumerate() {
        assert_eq!(after[day].len(), 1, "{after:?}");
        assert_eq!(steps[number].rows, rows_in_order(&after[day][0]) as u64);
        assert!(day.ends_with(&steps[number].day.to_string()), "{steps:?}");
    }
    for path in after.values().flatten() {
        rows_in_order(path);
        let reader = SerializedFileReader::new(std::fs::File::open(path).unwrap()).unwrap();
        let columns = reader.metadata().row_group(0).columns();
        let ids = columns.iter().find(|column| column.column_path().string() == "event_id");
        let kept = ids.unwrap().bloom_filter_offset().is_some();
        assert!(kept, "{} lost its bloom filter", path.display());
    }
    let versions = versions(&config, "events").await;
    let (done, steps) = compact(&config).await.unwrap();
    assert_eq!((done, steps), (Compacted::default(), Vec::new()), "nothing is left to do");
    assert_eq!(crate::rows::versions(&config, "events").await, versions);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_another_order_are_put_in_order() {
    let Small { lake, log, config, recorder, dir: _dir } = small(150).await;
    log.set_end(0, 600);
    recorder.wait_until(0, 600, SOON).await.unwrap();
    // The Delta library puts files one behind the other, and says nothing of their order.
    open(&config, "events").await.optimize().await.unwrap();
    log.set_end(0, 900);
    recorder.wait_until(0, 900, SOON).await.unwrap();
    recorder.stop().await.unwrap();
    let (done, _) = compact(&config).await.unwrap();
    assert_eq!((done.files_before, done.files_after), (3, 1));
    assert_complete(&config, 0, 900).await;
    let after = files(&open(&config, "events").await, &lake);
    let rows: usize = after.values().flatten().map(|path| rows_in_order(path)).sum();
    let events = number(&config, "SELECT count(*) FROM events").await;
    assert_eq!(rows as i64, events);
    let twice = "SELECT log_offset FROM events GROUP BY log_offset HAVING count(*) > 1";
    assert_eq!(sql(&config, twice).await.iter().map(|batch| batch.num_rows()).sum::<usize>(), 0);
}

/// Each is read whole at once, and the engine would give a task that is done with its file the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_very_small_files_are_merged_and_not_put_behind_each_other() {
    let Small { lake, log, config, recorder, dir: _dir } = small(15).await;
    log.set_end(0, 900);
    recorder.wait_until(0, 900, SOON).await.unwrap();
    recorder.stop().await.unwrap();
    let (done, steps) = compact(&config).await.unwrap();
    assert!(done.files_before >= 50 && done.files_after == 1, "{done:?} {steps:?}");
    let after = files(&open(&config, "events").await, &lake);
    after.values().flatten().for_each(|path| assert!(rows_in_order(path) > 0));
    assert_complete(&config, 0, 900).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_with_other_rows_than_the_log_of_the_table_says_stay() {
    let Small { lake, log, config, recorder, dir: _dir } = small(150).await;
    log.set_end(0, 600);
    recorder.stop().await.unwrap();
    let commits = lake.join("events/_delta_log");
    let altered = std::fs::read_dir(&commits).unwrap().map(|entry| entry.unwrap().path());
    let altered = altered.filter(|path| path.extension().is_some_and(|kind| kind == "json"));
    let (path, text) = altered
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .find(|(_, text)| text.contains("numRecords"))
        .unwrap();
    let at = text.find("numRecords\\\":").unwrap() + "numRecords\\\":".len();
    let text = format!("{}9{}", &text[..at], &text[at..]);
    std::fs::write(path, text).unwrap();
    let versions = versions(&config, "events").await;
    let error = compact(&config).await.unwrap_err();
    assert!(matches!(error, LakeError::RowsDiffer { .. }), "{error}");
    assert_eq!(crate::rows::versions(&config, "events").await, versions, "nothing was changed");
}
