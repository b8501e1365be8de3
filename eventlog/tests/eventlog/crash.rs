//! `kill -9` in the middle of appends to the embedded log.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tallyport_eventlog::backends::embedded::EmbeddedLog;
use tallyport_eventlog::{EmbeddedOptions, Entry, Log, Position, Record, Topic};

const ROUNDS: u64 = 10;
const WRITERS: u64 = 6;
const DIR: &str = "TALLYPORT_TEST_CRASH_DIR";
const ROUND: &str = "TALLYPORT_TEST_CRASH_ROUND";

/// The process that is killed: appends without end and prints what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "run by killed_in_the_middle_nothing_acknowledged_is_lost"]
async fn child_appends() {
    let (Ok(dir), Ok(round)) = (std::env::var(DIR), std::env::var(ROUND)) else { return };
    let log = Arc::new(EmbeddedLog::open(EmbeddedOptions::new(dir)).await.unwrap());
    let writers = (0..WRITERS).map(|writer| {
        let (log, round) = (Arc::clone(&log), round.clone());
        tokio::spawn(async move {
            for n in 0_u64.. {
                let batch: Vec<_> = (0..=n % 3).map(|i| record(&round, writer, n, i)).collect();
                let positions = log.append(batch.clone()).await.unwrap();
                let mut lines = String::new();
                for (position, record) in positions.iter().zip(&batch) {
                    let name = name(&record.value);
                    lines.push_str(&format!("ACK {} {name}\n", position.offset));
                }
                let mut out = std::io::stdout().lock();
                out.write_all(lines.as_bytes()).unwrap();
                out.flush().unwrap();
            }
        })
    });
    futures::future::join_all(writers).await;
}

/// The name, then padding of a length that the name decides.
fn record(round: &str, writer: u64, n: u64, i: u64) -> Record {
    let mut value = format!("{round}.{writer}.{n}.{i} ").into_bytes();
    value.resize(value.len() + usize::try_from((n * 977 + i) % 6000).unwrap(), b'.');
    Record { topic: Topic::Audit, key: writer.to_string().into(), value: value.into() }
}

fn name(value: &[u8]) -> String {
    let text = String::from_utf8(value.to_vec()).unwrap();
    text.split(' ').next().unwrap().to_owned()
}

fn start_child(dir: &Path, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child_appends", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Reads acknowledgements, kills after `life`, reads what was printed before that.
fn acknowledged_until_killed(mut child: Child, life: Duration) -> Vec<(u64, String)> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.by_ref().map(Result::unwrap).find(|line| line.starts_with("ACK "));
    let killer = std::thread::spawn(move || {
        let end = Instant::now() + life;
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    });
    // The last line may be cut by the kill: only whole ones count.
    let lines: Vec<String> = first.into_iter().chain(lines.map_while(Result::ok)).collect();
    killer.join().unwrap();
    let parse = |line: &String| {
        let mut parts = line.strip_prefix("ACK ")?.split(' ');
        let (offset, name) = (parts.next()?.parse().ok()?, parts.next()?);
        (name.split('.').count() == 4).then(|| (offset, name.to_owned()))
    };
    let whole = lines.len().saturating_sub(1);
    lines[..whole].iter().filter_map(parse).collect()
}

async fn everything(log: &EmbeddedLog) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let latest = log.latest(Topic::Audit, 0).await.unwrap();
    while (entries.len() as u64) < latest {
        let from = Position { partition: 0, offset: entries.len() as u64 };
        entries.extend(log.read(Topic::Audit, from, 1 << 24, Duration::ZERO).await.unwrap());
    }
    entries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_nothing_acknowledged_is_lost() {
    let seed = crate::seed("killed_in_the_middle_nothing_acknowledged_is_lost");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let life = Duration::from_millis(random.random_range(1..400));
        let child = start_child(&path, round);
        let acks = tokio::task::spawn_blocking(move || acknowledged_until_killed(child, life))
            .await
            .unwrap();
        let log = EmbeddedLog::open(EmbeddedOptions::new(&path)).await.unwrap();
        assert!(log.lost(Topic::Audit).is_empty(), "a kill lost what was acknowledged");
        let entries = everything(&log).await;
        for (expected, entry) in entries.iter().enumerate() {
            assert_eq!(entry.position.offset, expected as u64, "offsets are not dense");
        }
        for (offset, wanted) in &acks {
            let found = &entries[usize::try_from(*offset).unwrap()];
            assert_eq!(name(&found.value), *wanted, "offset {offset}");
        }
        check_order(&entries);
        acknowledged += acks.len();
    }
    eprintln!("{acknowledged} acknowledged records survived {ROUNDS} kills");
    assert!(acknowledged > 100, "only {acknowledged} records were acknowledged");
}

/// Each writer's records stand in its order, whole, once.
fn check_order(entries: &[Entry]) {
    let mut last = std::collections::HashMap::new();
    for entry in entries {
        let name = name(&entry.value);
        let part: Vec<u64> = name.split('.').map(|part| part.parse().unwrap()).collect();
        let wanted = record(&part[0].to_string(), part[1], part[2], part[3]);
        assert_eq!(entry.value, wanted.value, "{name} is not whole");
        let before = last.insert(part[1], part.clone());
        assert!(before.is_none_or(|before| before < part), "{name} is out of order or twice");
    }
}
