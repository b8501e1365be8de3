//! A lake that others wrote to, or a log that is a copy: nothing is recorded on top of it in silence.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use tallyport_recorder::{IntegrityError, RecorderError};

use crate::integrity::{SOON, ended, newest_commit, record, try_start, violation};
use crate::rows::{config, position};
use crate::scripted_log::ScriptedLog;

/// Puts a commit behind the newest one.
fn commit(table: &Path, actions: &[String]) -> PathBuf {
    let newest = newest_commit(table);
    let version: u64 = newest.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let next = newest.with_file_name(format!("{:020}.json", version + 1));
    std::fs::write(&next, actions.join("\n") + "\n").unwrap();
    next
}

fn info(operation: &str) -> String {
    format!(r#"{{"commitInfo":{{"timestamp":1790000000000,"operation":"{operation}"}}}}"#)
}

/// What the newest commit added, as it says it.
fn added(table: &Path) -> String {
    let text = std::fs::read_to_string(newest_commit(table)).unwrap();
    text.lines().find(|line| line.starts_with("{\"add\"")).unwrap().to_owned()
}

fn path_of(add: &str) -> &str {
    let (_, path) = add.split_once("\"path\":\"").unwrap();
    path.split_once('"').unwrap().0
}

fn said(error: &RecorderError, what: &str) {
    assert!(error.is_integrity(), "{error}");
    assert!(error.to_string().contains(what), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_log_that_went_another_way_records_nothing() {
    let (dir, copied) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = ScriptedLog::open(dir.path(), 1);
    let config = config(&dir.path().join("lake"));
    record(&config, &log, 100).await;
    // The same name and the same first hundred records, and then its own.
    let copy = ScriptedLog::copy(&log, copied.path(), 100);
    let one = try_start(&config, &log).await.unwrap();
    let mut other = try_start(&config, &copy).await.unwrap();
    log.set_end(0, 200);
    one.wait_until(0, 200, SOON).await.unwrap();
    copy.set_end(0, 250);
    let error = violation(ended(&mut other).await);
    assert_eq!(error, IntegrityError::OtherRecord { partition: 0, offset: 199 });
    // It never took that for its own: what it says is recorded, a log lets go of.
    assert_eq!(other.progress().borrow().partition(0).unwrap().recorded, 100);
    log.set_end(0, 300);
    one.wait_until(0, 300, SOON).await.unwrap();
    one.stop().await.unwrap();

    // One that is shorter than what is recorded is found out, too.
    let third = tempfile::tempdir().unwrap();
    let behind = ScriptedLog::copy(&log, third.path(), 300);
    let mut late = try_start(&config, &behind).await.unwrap();
    record(&config, &log, 500).await;
    behind.set_end(0, 400);
    let error = violation(ended(&mut late).await);
    let ahead = IntegrityError::LakeAheadOfLog { partition: 0, recorded: 500, latest: 400 };
    assert_eq!(error, ahead);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_recorders_of_one_log_go_on_from_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let config = config(&dir.path().join("lake"));
    let one = try_start(&config, &log).await.unwrap();
    let other = try_start(&config, &log).await.unwrap();
    for end in [100, 200, 300, 400] {
        log.set_end(0, end);
        one.wait_until(0, end, SOON).await.unwrap();
        other.wait_until(0, end, SOON).await.unwrap();
    }
    one.stop().await.unwrap();
    other.stop().await.unwrap();
    crate::rows::assert_complete(&config, 0, 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_add_and_files_that_go_without_any_coming_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let mut config = config(&dir.path().join("lake"));
    let events = dir.path().join("lake/events");
    record(&config, &log, 100).await;
    let add = added(&events);
    let foreign = commit(&events, &[info("WRITE"), add.replace("part-", "part-again-")]);
    let error = try_start(&config, &log).await.unwrap_err();
    said(&error, "is a WRITE that another program made: it added 1 files");
    std::fs::remove_file(foreign).unwrap();

    // It says that it changes no data, and puts nothing in the place of what it takes.
    let remove = format!(r#"{{"remove":{{"path":"{}","dataChange":false}}}}"#, path_of(&add));
    let foreign = commit(&events, &[info("OPTIMIZE"), remove.clone()]);
    let error = try_start(&config, &log).await.unwrap_err();
    said(&error, "it took 1 files");
    std::fs::remove_file(foreign).unwrap();

    // One that rewrites is no such thing.
    let same =
        add.replace("part-", "part-new-").replace("\"dataChange\":true", "\"dataChange\":false");
    let (_, new) = same.split_once("\"path\":\"").unwrap();
    let new = new.split_once('"').unwrap().0.replace("%3D", "=");
    std::fs::copy(events.join(path_of(&add).replace("%3D", "=")), events.join(new)).unwrap();
    let _rewritten = commit(&events, &[info("OPTIMIZE"), remove, same]);
    record(&config, &log, 200).await;
    assert_eq!(position(&config, 0).await, Some(200));

    let foreign = commit(&events, &[info("WRITE"), add.replace("part-", "part-again-")]);
    said(&try_start(&config, &log).await.unwrap_err(), "it added 1 files");
    config.accept_missing_history = true;
    record(&config, &log, 200).await;
    drop(foreign);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_is_not_forgotten_by_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let config = config(&dir.path().join("lake"));
    let events = dir.path().join("lake/events");
    record(&config, &log, 100).await;
    let remove =
        format!(r#"{{"remove":{{"path":"{}","dataChange":true}}}}"#, path_of(&added(&events)));
    let restored = commit(&events, &[info("RESTORE"), remove]);
    for _ in 0..300 {
        commit(&events, &[info("OPTIMIZE")]);
    }
    said(&try_start(&config, &log).await.unwrap_err(), "is a RESTORE");
    // The commit itself cleaned up: nobody can tell what it did.
    std::fs::remove_file(restored).unwrap();
    let error = try_start(&config, &log).await.unwrap_err();
    assert!(!error.to_string().contains("RESTORE"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_dead_letters_that_is_gone_is_not_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), 1);
    let mut config = config(&dir.path().join("lake"));
    record(&config, &log, 100).await;
    std::fs::rename(dir.path().join("lake/dead_letters"), dir.path().join("away")).unwrap();
    said(&try_start(&config, &log).await.unwrap_err(), "the table dead_letters is gone");
    assert!(!dir.path().join("lake/dead_letters/_delta_log").exists(), "it was begun anew");
    config.accept_missing_history = true;
    record(&config, &log, 200).await;
    assert_eq!(log.earliest.load(Ordering::SeqCst), 0);
}
