//! The system calls of the embedded log: each append is synced before it is acknowledged.

use std::io::Write as _;
use std::process::Command;

use tallyport_eventlog::backends::embedded::EmbeddedLog;
use tallyport_eventlog::{EmbeddedOptions, Log, Record, Topic};

const DIR: &str = "TALLYPORT_TEST_SYNC_DIR";
const APPENDS: usize = 25;
const MARK: &str = "acknowledged append";

/// The process that is watched.
#[tokio::test]
#[ignore = "run by every_append_is_synced_before_it_is_acknowledged"]
async fn child_appends() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let log = EmbeddedLog::open(EmbeddedOptions::new(dir)).await.unwrap();
    for n in 0..APPENDS {
        let record = Record { topic: Topic::Audit, key: "k".into(), value: n.to_string().into() };
        log.append(vec![record]).await.unwrap();
        let mut out = std::io::stdout().lock();
        out.write_all(format!("{MARK}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn every_append_is_synced_before_it_is_acknowledged() {
    const TEST: &str = "every_append_is_synced_before_it_is_acknowledged";
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let watched = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=fsync,fdatasync,write", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "durability::child_appends", "--ignored", "--nocapture"])
        .env(DIR, dir.path().join("log"))
        .output();
    let output = match watched {
        Ok(output) => output,
        Err(error) => {
            return crate::not_run(
                TEST,
                format!("strace cannot be run ({error}); apt-get install strace"),
            );
        }
    };
    let trace = std::fs::read_to_string(&trace).unwrap_or_default();
    if !trace.contains("exited with") {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return crate::not_run(TEST, format!("strace may not trace here: {why}"));
    }
    let (mut acknowledged, mut synced) = (0, 0);
    for line in trace.lines() {
        if line.contains("sync(") && line.contains("events.db-wal") {
            synced += 1;
        }
        if line.contains("write(") && line.contains(MARK) {
            assert!(synced > 0, "append {acknowledged} was acknowledged without a sync");
            (acknowledged, synced) = (acknowledged + 1, 0);
        }
    }
    assert_eq!(acknowledged, APPENDS);
    let directories = trace.lines().filter(|line| line.contains("sync(") && line.contains("/log>"));
    assert!(directories.count() > 0, "the directory was not synced after its files were made");
}
