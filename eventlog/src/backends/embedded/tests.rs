use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;

const START: Position = Position { partition: 0, offset: 0 };

async fn open(dir: &TempDir) -> EmbeddedLog {
    EmbeddedLog::open(EmbeddedOptions::new(dir.path().join("log"))).await.unwrap()
}

fn records(count: usize, bytes: usize) -> Vec<Record> {
    let record = |n| Record {
        topic: Topic::Audit,
        key: "k".into(),
        value: format!("{n:0bytes$}").into_bytes().into(),
    };
    (0..count).map(record).collect()
}

/// Records that no compression makes smaller.
fn noise(count: usize, bytes: usize) -> Vec<Record> {
    let mut random = StdRng::seed_from_u64(7);
    let mut record = |_| {
        let mut value = vec![0; bytes];
        random.fill(&mut value[..]);
        Record { topic: Topic::Audit, key: "k".into(), value: value.into() }
    };
    (0..count).map(&mut record).collect()
}

/// Appends `count` records one by one: each is a block of its own.
async fn append_apart(log: &EmbeddedLog, count: usize) {
    for record in records(count, 20) {
        log.append(vec![record]).await.unwrap();
    }
}

async fn read(log: &EmbeddedLog, from: u64) -> Result<Vec<Entry>, ReadError> {
    let from = Position { offset: from, ..START };
    log.read(Topic::Audit, from, usize::MAX, Duration::ZERO).await
}

fn tamper(dir: &TempDir, sql: &str) {
    let db = Connection::open(dir.path().join("log/events.db")).unwrap();
    assert_eq!(db.execute(sql, []).unwrap(), 1);
}

fn disk_bytes(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn a_second_opener_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir).await;
    let second = EmbeddedLog::open(EmbeddedOptions::new(dir.path().join("log"))).await;
    let message = second.unwrap_err().to_string();
    let directory = dir.path().join("log").display().to_string();
    let process = format!("process {}", std::process::id());
    assert!(message.contains(&directory) && message.contains(&process), "{message}");
    assert!(message.contains("stop the service"), "{message}");
    drop(log);
    open(&dir).await;
}

#[tokio::test]
async fn its_files_are_for_their_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir).await;
    log.append(records(1, 1)).await.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.path().join("log")), 0o700);
    let mut names = Vec::new();
    for file in std::fs::read_dir(dir.path().join("log")).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(names, ["LOCK", "acknowledged", "events.db", "events.db-wal"]);
}

#[tokio::test]
async fn a_file_of_another_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&dir).await);
    let db = Connection::open(dir.path().join("log/events.db")).unwrap();
    db.pragma_update(None, "user_version", 7).unwrap();
    drop(db);
    let refused = EmbeddedLog::open(EmbeddedOptions::new(dir.path().join("log"))).await;
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("its format is 7"), "{message}");
}

#[tokio::test]
async fn a_changed_record_is_an_error_and_what_is_before_it_is_given() {
    for change in [
        "UPDATE audit SET data = CAST(x'00' || substr(data, 2) AS BLOB) WHERE first = 5",
        "UPDATE audit SET next = 7 WHERE first = 5",
        "UPDATE audit SET raw_bytes = raw_bytes + 1 WHERE first = 5",
        "UPDATE audit SET appended_at_ms = appended_at_ms + 1 WHERE first = 5",
        "UPDATE audit SET crc32 = crc32 + 1 WHERE first = 5",
        "DELETE FROM audit WHERE first = 5",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let log = open(&dir).await;
        append_apart(&log, 10).await;
        drop(log);
        tamper(&dir, change);
        let log = open(&dir).await;
        assert_eq!(read(&log, 0).await.unwrap().len(), 5, "{change}");
        let damaged = read(&log, 5).await;
        assert!(
            matches!(damaged, Err(ReadError::Damaged { offset: 5, .. })),
            "{change}: {damaged:?}"
        );
        assert_eq!(read(&log, 6).await.unwrap().len(), 4, "{change}");
    }
}

#[tokio::test]
async fn offsets_that_the_disk_lost_are_told_and_never_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir).await;
    append_apart(&log, 10).await;
    assert!(log.lost(Topic::Audit).is_empty());
    drop(log);
    let db = Connection::open(dir.path().join("log/events.db")).unwrap();
    assert_eq!(db.execute("DELETE FROM audit WHERE first >= 7", []).unwrap(), 3);
    drop(db);
    for _ in 0..2 {
        let log = open(&dir).await;
        assert_eq!(log.lost(Topic::Audit), [(7, 10)]);
        assert_eq!(log.latest(Topic::Audit, 0).await.unwrap(), 10);
    }
    let log = open(&dir).await;
    assert_eq!(log.append(records(1, 1)).await.unwrap(), [Position { offset: 10, ..START }]);
    let offsets: Vec<_> = read(&log, 0).await.unwrap().iter().map(|e| e.position.offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3, 4, 5, 6, 10]);
    assert_eq!(read(&log, 8).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_bound_on_disk_refuses_and_a_release_makes_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let max_bytes = EmbeddedOptions::MIN_MAX_BYTES;
    let options = EmbeddedOptions { max_bytes, ..EmbeddedOptions::new(&path) };
    let log = EmbeddedLog::open(options).await.unwrap();
    let mut appended = 0;
    for _ in 0..4 {
        let refusal = loop {
            match log.append(noise(20, 50_000)).await {
                Ok(_) => appended += 20,
                Err(error) => break error,
            }
            // Beside both there is only the index of the write-ahead log, in shared memory.
            assert!(
                disk_bytes(&path) <= max_bytes + 128 * 1024,
                "{} bytes on disk",
                disk_bytes(&path)
            );
        };
        let AppendError::Refused { reason } = refusal else { panic!("{refusal:?}") };
        assert!(reason.contains("max_bytes=67108864") && reason.contains("recorder"), "{reason}");
        let latest = log.latest(Topic::Audit, 0).await.unwrap();
        assert_eq!(latest, appended, "a refused append left something");
        log.release(Topic::Audit, Position { offset: latest, ..START }).await.unwrap();
    }
    // More than the bound went through it.
    assert!(appended * 50_000 > max_bytes, "{appended} records");
    let small = records(1, 10);
    assert_eq!(log.append(small).await.unwrap(), [Position { offset: appended, ..START }]);
}

#[tokio::test]
async fn released_blocks_are_deleted_even_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir).await;
    for _ in 0..300 {
        log.append(records(10, 10)).await.unwrap();
    }
    // Within a block: what is released of it is gone all the same, and the block stays for the rest of it.
    log.release(Topic::Audit, Position { offset: 2985, ..START }).await.unwrap();
    drop(log);
    let log = open(&dir).await;
    assert_eq!(log.earliest(Topic::Audit, 0).await.unwrap(), 2985);
    let rows = || {
        let db = Connection::open(dir.path().join("log/events.db")).unwrap();
        db.query_row("SELECT count(*) FROM audit", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let deleted = async {
        while rows() != 2 {
            log.append(Vec::new()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), deleted).await.expect("blocks are left");
    assert_eq!(read(&log, 2985).await.unwrap().len(), 15);
    assert!(matches!(read(&log, 2984).await, Err(ReadError::Truncated { earliest: 2985, .. })));
}

#[tokio::test]
async fn reading_may_begin_and_end_inside_a_block_and_one_commit_may_fill_many() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir).await;
    log.append(noise(30, 100_000)).await.unwrap();
    log.append(records(5, 10)).await.unwrap();
    let whole = read(&log, 0).await.unwrap();
    drop(log);
    let db = Connection::open(dir.path().join("log/events.db")).unwrap();
    let blocks: i64 = db.query_row("SELECT count(*) FROM audit", [], |row| row.get(0)).unwrap();
    assert_eq!(blocks, 4, "11 records of 100,000 bytes fill a block");
    drop(db);
    let log = open(&dir).await;
    assert_eq!(whole.len(), 35);
    for from in 0..35 {
        let rest = read(&log, from).await.unwrap();
        assert_eq!(rest, whole[usize::try_from(from).unwrap()..], "from {from}");
        let start = Position { offset: from, ..START };
        let one = log.read(Topic::Audit, start, 1, Duration::ZERO).await.unwrap();
        assert_eq!(one[..], rest[..1]);
    }
}

#[tokio::test]
async fn repeated_events_take_little_of_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir).await;
    let value = include_bytes!("../../../../schemas/golden/ocsf/decision.allowed.json");
    let record = Record { topic: Topic::Audit, key: "k".into(), value: value[..].into() };
    log.append(vec![record; 100]).await.unwrap();
    drop(log);
    let db = Connection::open(dir.path().join("log/events.db")).unwrap();
    let sql = "SELECT sum(length(data)) FROM audit";
    let stored: usize = db.query_row(sql, [], |row| row.get(0)).unwrap();
    assert!(stored < 100 * value.len() / 20, "{stored} bytes stored");
}
