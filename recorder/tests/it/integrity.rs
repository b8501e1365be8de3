//! Log and lake that contradict each other: the recorder stops and says so, never passes over a hole.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tallyport_eventlog::Log;
use tallyport_recorder::{
    IntegrityError, Recorder, RecorderConfig, RecorderError, RunningRecorder,
};
use tokio_util::sync::CancellationToken;

use crate::rows::{assert_complete, config, number, position};
use crate::scripted_log::ScriptedLog;

pub const SOON: Duration = Duration::from_secs(60);

pub async fn try_start(
    config: &RecorderConfig,
    log: &Arc<ScriptedLog>,
) -> Result<RunningRecorder, RecorderError> {
    let log: Arc<dyn Log> = log.clone();
    Recorder::start(config.clone(), log, CancellationToken::new()).await
}

pub async fn record(config: &RecorderConfig, log: &Arc<ScriptedLog>, end: u64) {
    let recorder = try_start(config, log).await.unwrap();
    log.set_end(0, end);
    recorder.stop().await.unwrap();
}

pub fn newest_commit(table: &Path) -> std::path::PathBuf {
    let mut commits: Vec<_> = std::fs::read_dir(table.join("_delta_log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
        .collect();
    commits.sort();
    commits.pop().unwrap()
}

pub async fn ended(recorder: &mut RunningRecorder) -> RecorderError {
    tokio::time::timeout(SOON, recorder.ended()).await.expect("it goes on").unwrap_err()
}

pub fn violation(error: RecorderError) -> IntegrityError {
    assert!(error.is_integrity(), "{error}");
    match error {
        RecorderError::Integrity(error) => error,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_what_the_lake_lacks_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let mut config = config(&dir.path().join("lake"));
    record(&config, &log, 100).await;
    log.set_end(0, 300);
    log.earliest.store(150, Ordering::SeqCst);
    let error = violation(try_start(&config, &log).await.unwrap_err());
    assert_eq!(error, IntegrityError::LogTruncated { partition: 0, recorded: 100, earliest: 150 });

    config.accept_missing_history = true;
    record(&config, &log, 300).await;
    assert_eq!(position(&config, 0).await, Some(300));
    let missing = "SELECT count(*) FROM events WHERE log_offset BETWEEN 100 AND 149";
    assert_eq!(number(&config, missing).await, 0);
    let there = "SELECT count(*) FROM events WHERE log_offset >= 150";
    assert_eq!(number(&config, there).await, 149, "one of them is no event");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lake_of_another_log_is_refused_and_left_as_it_is() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ours, theirs) = (ScriptedLog::open(dir.path(), 1), ScriptedLog::open(other.path(), 1));
    let config = config(&dir.path().join("lake"));
    // Both have the same offsets, so that no position tells them apart, recorded or not.
    for end in [0, 100] {
        record(&config, &ours, end).await;
        theirs.set_end(0, 300);
        let error = violation(try_start(&config, &theirs).await.unwrap_err());
        let (found, ours) = (Some(ours.id().to_string()), theirs.id().to_string());
        assert_eq!(error, IntegrityError::OtherLog { table: "events", found, ours });
    }
    record(&config, &ours, 200).await;
    assert_complete(&config, 0, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_lake_behind_an_old_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    log.set_end(0, 300);
    log.earliest.store(200, Ordering::SeqCst);
    let config = config(&dir.path().join("lake"));
    let error = violation(try_start(&config, &log).await.unwrap_err());
    assert_eq!(error, IntegrityError::LogTruncated { partition: 0, recorded: 0, earliest: 200 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_that_opens_while_recording_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let config = config(&dir.path().join("lake"));
    let mut recorder = try_start(&config, &log).await.unwrap();
    log.set_end(0, 100);
    recorder.wait_until(0, 100, SOON).await.unwrap();
    log.earliest.store(120, Ordering::SeqCst);
    log.set_end(0, 200);
    let error = violation(ended(&mut recorder).await);
    assert_eq!(error, IntegrityError::LogTruncated { partition: 0, recorded: 100, earliest: 120 });
    assert_complete(&config, 0, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_ends_it_after_what_is_before() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    log.damaged_at.store(70, Ordering::SeqCst);
    let config = config(&dir.path().join("lake"));
    let mut recorder = try_start(&config, &log).await.unwrap();
    log.set_end(0, 200);
    let error = violation(ended(&mut recorder).await);
    assert!(matches!(error, IntegrityError::LogDamaged { offset: 70, .. }), "{error}");
    assert_complete(&config, 0, 70).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_ahead_of_its_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let config = config(&dir.path().join("lake"));
    record(&config, &log, 100).await;
    log.set_end(0, 40);
    let error = violation(try_start(&config, &log).await.unwrap_err());
    assert_eq!(error, IntegrityError::LakeAheadOfLog { partition: 0, recorded: 100, latest: 40 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_reset_while_recording_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let config = config(&dir.path().join("lake"));
    let mut recorder = try_start(&config, &log).await.unwrap();
    log.set_end(0, 100);
    recorder.wait_until(0, 100, SOON).await.unwrap();
    log.set_end(0, 40);
    let error = violation(ended(&mut recorder).await);
    assert_eq!(error, IntegrityError::LakeAheadOfLog { partition: 0, recorded: 100, latest: 40 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_know_the_end_yet_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let config = config(&dir.path().join("lake"));
    let recorder = try_start(&config, &log).await.unwrap();
    log.set_end(0, 100);
    recorder.wait_until(0, 100, SOON).await.unwrap();
    log.lagging.store(5, Ordering::SeqCst);
    let asked = async {
        while log.lagging.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, asked).await.unwrap();
    log.set_end(0, 200);
    recorder.wait_until(0, 200, SOON).await.unwrap();
    recorder.stop().await.unwrap();
    assert_complete(&config, 0, 200).await;
}

/// It has grown beyond what is recorded, so that no position tells.
#[tokio::test(flavor = "multi_thread")]
async fn another_log_in_its_place_is_found_at_the_start_and_while_recording() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let config = config(&dir.path().join("lake"));
    let mut recorder = try_start(&config, &log).await.unwrap();
    log.set_end(0, 100);
    recorder.wait_until(0, 100, SOON).await.unwrap();
    // Two looks at a quiet log.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    log.made_anew.store(true, Ordering::SeqCst);
    log.set_end(0, 300);
    let other = IntegrityError::OtherRecord { partition: 0, offset: 99 };
    assert_eq!(violation(ended(&mut recorder).await), other);
    assert_eq!(violation(try_start(&config, &log).await.unwrap_err()), other);
    assert_eq!(position(&config, 0).await, Some(100), "nothing of it is in the lake");

    // What is not there cannot be compared, and is no sign of anything.
    log.earliest.store(100, Ordering::SeqCst);
    try_start(&config, &log).await.unwrap().stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_went_back_ends_a_running_recorder() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let config = config(&dir.path().join("lake"));
    let mut recorder = try_start(&config, &log).await.unwrap();
    for end in [100, 200] {
        log.set_end(0, end);
        recorder.wait_until(0, end, SOON).await.unwrap();
    }
    std::fs::remove_file(newest_commit(&dir.path().join("lake/events"))).unwrap();
    log.set_end(0, 300);
    let error = violation(ended(&mut recorder).await);
    let IntegrityError::PositionWentBack { ours: 200, found: Some(100), .. } = error else {
        panic!("{error}");
    };
    // Restarted, it goes on from what the table says: the records are still on the log.
    record(&config, &log, 300).await;
    assert_complete(&config, 0, 300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_disk_lost_before_it_was_recorded_is_no_silent_hole() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let mut config = config(&dir.path().join("lake"));
    record(&config, &log, 100).await;
    log.set_end(0, 200);
    log.lost.lock().unwrap().push((60, 90));
    try_start(&config, &log).await.unwrap().stop().await.unwrap();
    log.lost.lock().unwrap().push((190, 210));
    let error = violation(try_start(&config, &log).await.unwrap_err());
    assert_eq!(error, IntegrityError::LogLost { partition: 0, first: 200, last: 209 });
    config.accept_missing_history = true;
    record(&config, &log, 300).await;
    config.accept_missing_history = false;
    record(&config, &log, 301).await;
}

/// What RESTORE and DELETE of any Delta tool leave: a commit that removes files.
fn remove_rows(table: &Path) {
    let newest = newest_commit(table);
    let commit = std::fs::read_to_string(&newest).unwrap();
    let add = commit.lines().find(|line| line.starts_with("{\"add\"")).unwrap();
    let (_, path) = add.split_once("\"path\":\"").unwrap();
    let (path, _) = path.split_once('"').unwrap();
    let info = r#"{"commitInfo":{"timestamp":1790000000000,"operation":"RESTORE"}}"#;
    let remove = format!(r#"{{"remove":{{"path":"{path}","dataChange":true}}}}"#);
    let version: u64 = newest.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let next = newest.with_file_name(format!("{:020}.json", version + 1));
    std::fs::write(next, format!("{info}\n{remove}\n")).unwrap();
}

fn removed(error: &RecorderError) {
    assert!(error.is_integrity(), "{error}");
    let text = error.to_string();
    assert!(text.contains("is a RESTORE that another program made: it took 1 files"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_remove_end_it_and_keep_it_from_starting_until_they_are_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let mut config = config(&dir.path().join("lake"));
    let mut recorder = try_start(&config, &log).await.unwrap();
    log.set_end(0, 100);
    recorder.wait_until(0, 100, SOON).await.unwrap();
    remove_rows(&dir.path().join("lake/events"));
    log.set_end(0, 200);
    removed(&ended(&mut recorder).await);
    assert_eq!(position(&config, 0).await, Some(100), "nothing was put on top of it");
    removed(&try_start(&config, &log).await.unwrap_err());

    config.accept_missing_history = true;
    record(&config, &log, 200).await;
    assert_eq!(position(&config, 0).await, Some(200));
    // Behind a commit that was made on top of it, it is accepted.
    config.accept_missing_history = false;
    record(&config, &log, 300).await;
    let there = "SELECT count(*) FROM events WHERE log_offset >= 100";
    assert_eq!(number(&config, there).await, 198, "two of them are no events");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_the_two_tables_neither_loses_nor_repeats_a_dead_letter() {
    // Batches after the crash that lie within what the dead letters' position covers, and one that reaches beyond.
    for max_rows in [70, 400] {
        let dir = tempfile::tempdir().unwrap();
        let log = ScriptedLog::open(dir.path(), 1);
        let mut config = config(&dir.path().join("lake"));
        record(&config, &log, 100).await;
        record(&config, &log, 300).await;
        // The dead letters of 100..300 are committed, the events are not: what a crash in between leaves.
        std::fs::remove_file(newest_commit(&dir.path().join("lake/events"))).unwrap();
        assert_eq!(position(&config, 0).await, Some(100));
        config.commit.max_rows = max_rows;
        record(&config, &log, 700).await;
        assert_complete(&config, 0, 700).await;
    }
}
