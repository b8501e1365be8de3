//! A real full disk under the embedded log: a small file system in memory, where we may mount one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::Rng as _;
use tallyport_eventlog::backends::embedded::EmbeddedLog;
use tallyport_eventlog::{AppendError, EmbeddedOptions, Log, Position, Record, Topic};

const DIGITS: usize = 8;

struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path) -> Result<Self, String> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
            .arg(at)
            .output()
            .map_err(|error| error.to_string())?;
        if mount.status.success() {
            Ok(Self(at.to_owned()))
        } else {
            Err(String::from_utf8_lossy(&mount.stderr).trim().to_owned())
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg(&self.0).status();
    }
}

/// The number, and what no compression makes smaller.
fn batch(number: usize) -> Vec<Record> {
    let mut value = format!("{number:DIGITS$}").into_bytes();
    value.resize(50_000, 0);
    rand::rng().fill(&mut value[DIGITS..]);
    vec![Record { topic: Topic::Audit, key: "k".into(), value: value.into() }]
}

async fn values(log: &EmbeddedLog) -> Vec<usize> {
    let mut found = Vec::new();
    let latest = log.latest(Topic::Audit, 0).await.unwrap();
    while (found.len() as u64) < latest {
        let from = Position { partition: 0, offset: found.len() as u64 };
        for entry in log.read(Topic::Audit, from, 1 << 20, Duration::ZERO).await.unwrap() {
            found
                .push(std::str::from_utf8(&entry.value[..DIGITS]).unwrap().trim().parse().unwrap());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_the_log_recovers_when_there_is_room() {
    const TEST: &str = "a_full_disk_refuses_and_the_log_recovers_when_there_is_room";
    let dir = tempfile::tempdir().unwrap();
    let _mount = match Mount::new(dir.path()) {
        Ok(mount) => mount,
        Err(why) => return crate::not_run(TEST, format!("no tmpfs can be mounted: {why}")),
    };
    let ballast = dir.path().join("ballast");
    std::fs::write(&ballast, vec![1; 6 << 20]).unwrap();
    let options = EmbeddedOptions::new(dir.path().join("log"));
    let log = EmbeddedLog::open(options.clone()).await.unwrap();
    let mut acknowledged = Vec::new();
    let mut outcomes = Vec::new();
    for number in 0..600 {
        match log.append(batch(number)).await {
            Ok(_) => acknowledged.push(number),
            Err(error) => outcomes.push(error),
        }
    }
    assert!(!outcomes.is_empty(), "24 MiB took {} MiB", acknowledged.len() / 20);
    let full = outcomes.iter().find(|error| error.to_string().contains("the disk is full"));
    assert!(matches!(full, Some(AppendError::Refused { .. })), "{:?}", outcomes.first());
    assert_eq!(values(&log).await, acknowledged);

    std::fs::remove_file(&ballast).unwrap();
    for number in 1000..1010 {
        log.append(batch(number)).await.expect("there is room again");
        acknowledged.push(number);
    }
    assert_eq!(values(&log).await, acknowledged);
    drop(log);
    // What was refused is not there after a recovery either.
    let log = EmbeddedLog::open(options).await.unwrap();
    assert_eq!(values(&log).await, acknowledged);
    assert!(log.lost(Topic::Audit).is_empty());
}
