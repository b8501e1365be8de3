//! The way from log to lake on a local disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use deltalake::parquet::file::reader::{FileReader as _, SerializedFileReader};
use tallyport_eventlog::Log;
use tallyport_recorder::{Condition, Recorder, RecorderError, Retention, RunningRecorder};
use tokio_util::sync::CancellationToken;

use crate::rows::{assert_complete, config, logging, number, open, versions};
use crate::scripted_log::ScriptedLog;

pub const SOON: Duration = Duration::from_secs(60);

pub async fn start(
    config: &tallyport_recorder::RecorderConfig,
    log: &Arc<ScriptedLog>,
) -> RunningRecorder {
    let log: Arc<dyn Log> = log.clone();
    Recorder::start(config.clone(), log, CancellationToken::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_is_in_the_lake_once_across_restarts() {
    logging();
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 2);
    let config = config(&dir.path().join("lake"));
    for (round, end) in [150, 151, 1_300, 2_345].into_iter().enumerate() {
        let recorder = start(&config, &log).await;
        log.set_end(0, end);
        log.set_end(1, end / 3);
        // A stop records what is on the log at that moment, waited for or not.
        if round % 2 == 0 {
            recorder.wait_until(0, end, SOON).await.unwrap();
        }
        recorder.stop().await.unwrap();
    }
    assert_complete(&config, 0, 2_345).await;
    assert_complete(&config, 1, 2_345 / 3).await;
    // The day of a row is the day of its append.
    let days = number(&config, "SELECT count(DISTINCT ingest_date) FROM events").await;
    assert_eq!(days, 3);
    let wrong =
        "SELECT count(*) FROM events WHERE ingest_date <> arrow_cast(appended_at, 'Date32')";
    assert_eq!(number(&config, wrong).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_by_rows_and_by_age_and_reports_progress() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let mut config = config(&dir.path().join("lake"));
    config.commit.max_age = Duration::from_secs(3600);
    let recorder = start(&config, &log).await;
    log.set_end(0, 300);
    let late = recorder.wait_until(0, 300, Duration::from_millis(300)).await.unwrap_err();
    assert!(late.to_string().contains("recorded up to 0, not 300"), "{late}");
    log.set_end(0, 1_000);
    recorder.wait_until(0, 400, SOON).await.unwrap();
    recorder.stop().await.unwrap();

    config.commit.max_age = Duration::from_millis(10);
    let recorder = start(&config, &log).await;
    log.set_end(0, 1_010);
    recorder.wait_until(0, 1_010, SOON).await.unwrap();
    let progress = recorder.progress();
    let seen = progress.borrow().clone();
    assert!(seen.is_recording());
    let one = seen.partition(0).unwrap();
    assert_eq!((one.recorded, one.lag_records()), (1_010, 0));
    assert!(one.last_commit.is_some());
    assert!(recorder.wait_until(9, 1, SOON).await.is_err());
    recorder.stop().await.unwrap();
    assert_eq!(progress.borrow().partition(0).unwrap().condition, Condition::Stopped);
    assert_complete(&config, 0, 1_010).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_recorders_of_one_log_neither_repeat_nor_lose() {
    logging();
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let mut config = config(&dir.path().join("lake"));
    config.commit.max_rows = 120;
    config.commit.max_age = Duration::from_millis(20);
    let (one, other) = tokio::join!(start(&config, &log), start(&config, &log));
    let end = 3_000;
    for step in 1..=60 {
        log.set_end(0, step * end / 60);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    one.wait_until(0, end, SOON).await.unwrap();
    other.wait_until(0, end, SOON).await.unwrap();
    one.stop().await.unwrap();
    other.stop().await.unwrap();
    assert_complete(&config, 0, end).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn recorders_may_share_the_partitions_of_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 3);
    let config = config(&dir.path().join("lake"));
    let mut first = config.clone();
    first.partitions = Some(vec![0, 2]);
    let mut second = config.clone();
    second.partitions = Some(vec![1]);
    let (first, second) = tokio::join!(start(&first, &log), start(&second, &log));
    for partition in 0..3 {
        log.set_end(partition, 900);
    }
    first.wait_until(2, 900, SOON).await.unwrap();
    first.stop().await.unwrap();
    second.stop().await.unwrap();
    for partition in 0..3 {
        assert_complete(&config, partition, 900).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_released_behind_a_later_commit_only() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let mut config = config(&dir.path().join("lake"));
    config.commit.max_age = Duration::from_millis(1);
    config.retention = Retention { keep_for: Duration::ZERO, keep_commits: 1 };
    let recorder = start(&config, &log).await;
    log.set_end(0, 100);
    recorder.wait_until(0, 100, SOON).await.unwrap();
    let first = versions(&config, "events").await;
    assert!(log.released.load(Ordering::SeqCst) < 100, "the newest commit was released");
    log.set_end(0, 200);
    recorder.wait_until(0, 200, SOON).await.unwrap();
    assert!(versions(&config, "events").await > first);
    recorder.stop().await.unwrap();
    let released = log.released.load(Ordering::SeqCst);
    assert!((100..200).contains(&released), "{released}");

    config.retention = Retention { keep_for: SOON, keep_commits: 0 };
    let recorder = start(&config, &log).await;
    log.set_end(0, 300);
    recorder.wait_until(0, 300, SOON).await.unwrap();
    recorder.stop().await.unwrap();
    assert_eq!(log.released.load(Ordering::SeqCst), released, "too young");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_room_is_released_at_the_start_and_while_recording() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let config = config(&dir.path().join("lake"));
    let recorder = start(&config, &log).await;
    log.set_end(0, 100);
    recorder.wait_until(0, 100, SOON).await.unwrap();
    recorder.stop().await.unwrap();
    assert_eq!(log.released.load(Ordering::SeqCst), 0, "too young");

    // What starts after the recorder has to append, and no commit comes before it did.
    log.short_of_room.store(true, Ordering::SeqCst);
    let recorder = start(&config, &log).await;
    assert_eq!(log.released.load(Ordering::SeqCst), 100);
    log.short_of_room.store(false, Ordering::SeqCst);
    log.set_end(0, 200);
    recorder.wait_until(0, 200, SOON).await.unwrap();
    assert_eq!(log.released.load(Ordering::SeqCst), 100);
    log.short_of_room.store(true, Ordering::SeqCst);
    let released = async {
        while log.released.load(Ordering::SeqCst) < 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, released).await.unwrap();
    recorder.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_end_a_recorder_of_all_so_that_its_next_start_takes_them_up() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let mut config = config(&dir.path().join("lake"));
    let mut recorder = start(&config, &log).await;
    log.added.store(1, Ordering::SeqCst);
    let ended = tokio::time::timeout(SOON, recorder.ended()).await.expect("it goes on");
    let error = ended.unwrap_err();
    assert!(matches!(error, RecorderError::PartitionsAdded { known: 1, found: 2 }), "{error}");
    assert!(!error.is_integrity(), "it is started again");

    config.partitions = Some(vec![0]);
    let recorder = start(&config, &log).await;
    log.set_end(0, 100);
    recorder.wait_until(0, 100, SOON).await.unwrap();
    recorder.stop().await.unwrap();
    config.partitions = None;
    let log = ScriptedLog::open(dir.path(), 2);
    log.set_end(1, 100);
    let recorder = start(&config, &log).await;
    recorder.wait_until(1, 100, SOON).await.unwrap();
    recorder.stop().await.unwrap();
    assert_complete(&config, 1, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_log_is_waited_out() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let config = config(&dir.path().join("lake"));
    let recorder = start(&config, &log).await;
    log.unavailable.store(true, Ordering::SeqCst);
    log.set_end(0, 100);
    let mut progress = recorder.progress();
    let retries = |all: &tallyport_recorder::Progress| matches!(&all.partitions[0].condition, Condition::Retrying { reason, .. } if reason.contains("scripted outage"));
    tokio::time::timeout(SOON, progress.wait_for(retries)).await.unwrap().unwrap();
    log.unavailable.store(false, Ordering::SeqCst);
    recorder.wait_until(0, 100, SOON).await.unwrap();
    let recovered = progress.wait_for(tallyport_recorder::Progress::is_recording);
    tokio::time::timeout(SOON, recovered).await.unwrap().unwrap();
    recorder.stop().await.unwrap();
    assert_complete(&config, 0, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_in_the_delta_log_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let config = config(&dir.path().join("lake"));
    let recorder = start(&config, &log).await;
    log.set_end(0, 100);
    recorder.stop().await.unwrap();
    let delta_log = dir.path().join("lake/events/_delta_log");
    for leftover in ["_commit_0197f2a0.json.tmp", "00000000000000000002.json#1", ".tmp-x"] {
        std::fs::write(delta_log.join(leftover), b"{\"torn").unwrap();
    }
    std::fs::write(dir.path().join("lake/events/ingest_date=2026-01-01.parquet"), b"PAR1").unwrap();
    let recorder = start(&config, &log).await;
    log.set_end(0, 200);
    recorder.stop().await.unwrap();
    assert_complete(&config, 0, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_table_are_as_agreed() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let config = config(&dir.path().join("lake"));
    let recorder = start(&config, &log).await;
    log.set_end(0, 350);
    recorder.stop().await.unwrap();

    let table = open(&config, "events").await;
    let snapshot = table.snapshot().unwrap();
    let properties = snapshot.metadata().configuration();
    assert_eq!(properties["delta.appendOnly"], "true");
    assert_eq!(properties["delta.logRetentionDuration"], "interval 7 days");
    assert!(!properties.contains_key("delta.setTransactionRetentionDuration"));
    assert!(!properties.contains_key("delta.enableDeletionVectors"));
    assert_eq!(snapshot.metadata().partition_columns(), ["ingest_date"]);
    assert_eq!(
        (snapshot.protocol().min_reader_version(), snapshot.protocol().min_writer_version()),
        (1, 2)
    );

    let file = snapshot.log_data().iter().next().unwrap().path().to_string();
    let add = std::fs::File::open(dir.path().join("lake/events").join(&file)).unwrap();
    let reader = SerializedFileReader::new(add).unwrap();
    let group = reader.metadata().row_group(0);
    for column in group.columns() {
        let name = column.column_path().string();
        let wanted = ["event_id", "session_id", "command_id"].contains(&name.as_str());
        // A column without values has nothing to filter.
        if name != "command_id" {
            assert_eq!(column.bloom_filter_offset().is_some(), wanted, "{name}");
        }
        assert!(format!("{:?}", column.compression()).starts_with("ZSTD"), "{name}");
    }
    let files = std::fs::metadata(dir.path().join("lake/events").join(&file)).unwrap().len();
    assert!(files < 400_000, "{files} bytes for 350 events: bloom filters must fit the rows");
}
