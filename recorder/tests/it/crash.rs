//! A recorder that is killed again and again.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tallyport_eventlog::Log;
use tallyport_recorder::{Recorder, RecorderConfig};
use tokio_util::sync::CancellationToken;

use crate::rows::{assert_complete, config, logging, versions};
use crate::scripted_log::ScriptedLog;

const CHILD_DIR: &str = "TALLYPORT_RECORDER_CRASH_DIR";
const SEED: &str = "TALLYPORT_SEED";
const KILLS: u32 = 30;
const PARTITIONS: u32 = 2;
const READY: &str = "recording\n";
const LATE: Duration = Duration::from_secs(30);

fn crash_config(dir: &Path) -> RecorderConfig {
    let mut config = config(&dir.join("lake"));
    config.commit.max_rows = 60;
    config.commit.max_age = Duration::from_millis(15);
    config
}

/// Not a test by itself: what the killed process runs.
#[tokio::test(flavor = "multi_thread")]
async fn child_records_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD_DIR) else { return };
    logging();
    let dir = Path::new(&dir);
    let log: Arc<dyn Log> = ScriptedLog::open(dir, PARTITIONS);
    let mut recorder =
        Recorder::start(crash_config(dir), log, CancellationToken::new()).await.unwrap();
    eprint!("{READY}");
    recorder.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_it_neither_loses_nor_repeats() {
    let seed = std::env::var(SEED).map_or_else(|_| now(), |text| text.parse().unwrap());
    eprintln!("{SEED}={seed} replays the moments of these kills");
    let mut dice = Dice(seed | 1);
    let dir = tempfile::tempdir().unwrap();
    let log = ScriptedLog::open(dir.path(), PARTITIONS);
    let appending = Arc::new(AtomicBool::new(true));
    let appender = std::thread::spawn({
        let (log, appending) = (Arc::clone(&log), Arc::clone(&appending));
        move || {
            let mut end = 0;
            while appending.load(Ordering::SeqCst) {
                end += 7;
                for partition in 0..PARTITIONS {
                    log.set_end(partition, end + u64::from(partition));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            end
        }
    });
    for _ in 0..KILLS {
        let mut child = start_child(dir.path());
        // One in four dies while it opens the lake, the others around one of their first commits.
        if dice.below(4) > 0 {
            let stderr = wait_until_ready(&mut child);
            wait_for_commits(dir.path(), 1 + dice.below(4));
            std::thread::sleep(Duration::from_millis(dice.below(50)));
            drop(stderr);
        } else {
            std::thread::sleep(Duration::from_millis(dice.below(150)));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    appending.store(false, Ordering::SeqCst);
    let end = appender.join().unwrap();

    let config = crash_config(dir.path());
    let killed_ones = versions(&config, "events").await + versions(&config, "dead_letters").await;
    assert!(
        killed_ones > u64::from(KILLS) / 2,
        "only {killed_ones} commits: the kills hit nothing"
    );
    // The rest in large commits: on a busy machine the killed ones leave much.
    let mut rest = config.clone();
    rest.commit.max_rows = 10_000;
    rest.drain_timeout = Duration::from_secs(300);
    let recorder = Recorder::start(rest, log.clone(), CancellationToken::new()).await.unwrap();
    recorder.stop().await.unwrap();
    eprintln!(
        "{KILLS} kills, {killed_ones} commits by killed recorders, {end} records per partition"
    );
    for partition in 0..PARTITIONS {
        assert_complete(&config, partition, end + u64::from(partition)).await;
    }
}

fn start_child(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_records_until_it_is_killed", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Gives back the pipe: closed, it would be another way to die.
fn wait_until_ready(child: &mut Child) -> BufReader<ChildStderr> {
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut seen = String::new();
    while stderr.read_line(&mut seen).unwrap() > 0 {
        if seen.ends_with(READY) {
            return stderr;
        }
    }
    panic!("the recorder ended by itself: {seen}");
}

/// Until so many more commits are in either table.
fn wait_for_commits(dir: &Path, more: u64) {
    let commits = || {
        ["events", "dead_letters"]
            .iter()
            .filter_map(|table| {
                std::fs::read_dir(dir.join("lake").join(table).join("_delta_log")).ok()
            })
            .map(|log| log.count() as u64)
            .sum::<u64>()
    };
    let (goal, late) = (commits() + more, Instant::now() + LATE);
    while commits() < goal && Instant::now() < late {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos()
        .try_into()
        .unwrap_or(1)
}

/// Xorshift: the same moments for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
