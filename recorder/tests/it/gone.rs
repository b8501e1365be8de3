//! A lake that goes while it is written: a disk that is unmounted, a directory that is moved away.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tallyport_recorder::{Condition, Progress, RunningRecorder};
use tempfile::TempDir;

use crate::file_lake::{SOON, start};
use crate::rows::{assert_complete, config, logging};
use crate::scripted_log::ScriptedLog;

/// A lake with 100 records, and its recorder at work.
struct Scene {
    dir: TempDir,
    log: Arc<ScriptedLog>,
    recorder: RunningRecorder,
}

impl Scene {
    async fn set(dir: TempDir) -> Self {
        logging();
        let log = ScriptedLog::open(dir.path(), 1);
        let recorder = start(&config(&dir.path().join("lake")), &log).await;
        log.set_end(0, 100);
        recorder.wait_until(0, 100, SOON).await.unwrap();
        Self { dir, log, recorder }
    }

    fn lake(&self) -> PathBuf {
        self.dir.path().join("lake")
    }

    /// All 200 records are in the lake once.
    async fn ends_whole(self) {
        self.recorder.wait_until(0, 200, SOON).await.unwrap();
        let config = config(&self.lake());
        self.recorder.stop().await.unwrap();
        assert_complete(&config, 0, 200).await;
    }
}

async fn missing(recorder: &RunningRecorder) {
    let mut progress = recorder.progress();
    let gone = |all: &Progress| {
        matches!(&all.partitions[0].condition, Condition::Retrying { reason, .. }
            if reason.contains("is not there any more; mount it or put it back"))
    };
    tokio::time::timeout(SOON, progress.wait_for(gone)).await.unwrap().unwrap();
}

fn data_files(lake: &Path) -> Vec<PathBuf> {
    let days = fs::read_dir(lake.join("events")).into_iter().flatten().flatten();
    let days = days.filter(|day| day.file_name().to_string_lossy().starts_with("ingest_date"));
    let files = days.flat_map(|day| fs::read_dir(day.path()).unwrap().flatten());
    files.map(|file| file.path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lake_that_goes_is_waited_for_and_nothing_is_written_in_its_place() {
    for empty_place in [false, true] {
        let scene = Scene::set(tempfile::tempdir().unwrap()).await;
        let (lake, away) = (scene.lake(), scene.dir.path().join("away"));
        fs::rename(&lake, &away).unwrap();
        if empty_place {
            fs::create_dir(&lake).unwrap();
        }
        scene.log.set_end(0, 200);
        missing(&scene.recorder).await;
        let left: Vec<_> = fs::read_dir(&lake).into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "{left:?}");

        let _ = fs::remove_dir(&lake);
        fs::rename(&away, &lake).unwrap();
        scene.ends_whole().await;
    }
}

/// What was written before the table went may not be in what comes back.
#[tokio::test(flavor = "multi_thread")]
async fn rows_are_written_anew_for_a_table_that_came_back_without_them() {
    let scene = Scene::set(tempfile::tempdir().unwrap()).await;
    let lake = scene.lake();
    let before = data_files(&lake);

    // A log in which nothing is a commit: files can be written, and no commit can be made.
    let (delta_log, away) = (lake.join("events/_delta_log"), scene.dir.path().join("away"));
    fs::rename(&delta_log, &away).unwrap();
    fs::create_dir(&delta_log).unwrap();
    fs::write(delta_log.join("nothing"), b"").unwrap();
    scene.log.set_end(0, 200);
    missing(&scene.recorder).await;
    let written = || data_files(&lake).into_iter().filter(|file| !before.contains(file));
    assert!(written().next().is_some());

    // Moved away first, so that no try is between the two.
    fs::rename(&delta_log, scene.dir.path().join("other")).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    written().for_each(|file| fs::remove_file(file).unwrap());
    fs::rename(&away, &delta_log).unwrap();
    scene.ends_whole().await;
}

/// A commit never names files that are not there, whatever came between.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_went_before_their_commit_are_written_anew() {
    let scene = Scene::set(tempfile::tempdir().unwrap()).await;
    let lake = scene.lake();
    let before = data_files(&lake);

    // A commit of a version that cannot be read keeps ours from being made: written, and not committed.
    let delta_log = lake.join("events/_delta_log");
    let next = fs::read_dir(&delta_log).unwrap().flatten().map(|entry| entry.path());
    let newest =
        next.filter(|path| path.extension().is_some_and(|kind| kind == "json")).max().unwrap();
    let version: u64 = newest.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let blocked = delta_log.join(format!("{:020}.json", version + 1));
    fs::create_dir(&blocked).unwrap();
    scene.log.set_end(0, 200);
    let mut progress = scene.recorder.progress();
    let waits = |all: &Progress| matches!(all.partitions[0].condition, Condition::Retrying { .. });
    tokio::time::timeout(SOON, progress.wait_for(waits)).await.unwrap().unwrap();
    let written = || data_files(&lake).into_iter().filter(|file| !before.contains(file));
    assert!(written().next().is_some());
    written().for_each(|file| fs::remove_file(file).unwrap());
    fs::remove_dir(&blocked).unwrap();
    scene.ends_whole().await;
}

/// Another lake in its place has positions, too: they mean nothing for this log.
#[tokio::test(flavor = "multi_thread")]
async fn a_lake_of_another_log_in_its_place_ends_the_recorder() {
    logging();
    let dir = tempfile::tempdir().unwrap();
    let lake = dir.path().join("lake");
    let config = config(&lake);
    fs::create_dir(dir.path().join("other")).unwrap();
    let other = ScriptedLog::open(&dir.path().join("other"), 1);
    let recorder = start(&config, &other).await;
    other.set_end(0, 900);
    recorder.wait_until(0, 900, SOON).await.unwrap();
    recorder.stop().await.unwrap();
    let others = dir.path().join("others");
    fs::rename(&lake, &others).unwrap();

    let mut scene = Scene::set(dir).await;
    fs::rename(&lake, scene.dir.path().join("away")).unwrap();
    scene.log.set_end(0, 200);
    missing(&scene.recorder).await;
    fs::rename(&others, &lake).unwrap();
    let ended = tokio::time::timeout(SOON, scene.recorder.ended()).await.unwrap();
    let error = ended.unwrap_err();
    assert!(error.is_integrity(), "{error}");
    assert!(error.to_string().contains("was recorded from the log"), "{error}");
}
