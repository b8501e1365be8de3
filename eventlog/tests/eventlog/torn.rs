//! A write-ahead log or a database that the disk damaged: a whole prefix comes back, and never garbage.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tallyport_eventlog::backends::embedded::EmbeddedLog;
use tallyport_eventlog::{EmbeddedOptions, Log, Position, Record, Topic};

const APPENDS: usize = 120;
const DAMAGES: usize = 60;

/// A crash image, and how long the write-ahead log was when each append was acknowledged.
struct Image {
    dir: PathBuf,
    values: Vec<Vec<u8>>,
    /// Beside each append: (records by then, length of the write-ahead log by then).
    acknowledged: Vec<(usize, u64)>,
}

async fn make_image(dir: &Path, random: &mut StdRng) -> Image {
    let path = dir.join("log");
    let log = EmbeddedLog::open(EmbeddedOptions::new(&path)).await.unwrap();
    let wal = path.join("events.db-wal");
    let (mut values, mut acknowledged) = (Vec::new(), Vec::new());
    for _ in 0..APPENDS {
        let batch: Vec<_> = (0..random.random_range(1..4))
            .map(|_| {
                let mut value = vec![0; random.random_range(1..6000)];
                random.fill(&mut value[..]);
                Record { topic: Topic::Audit, key: "k".into(), value: value.into() }
            })
            .collect();
        values.extend(batch.iter().map(|record| record.value.to_vec()));
        log.append(batch).await.unwrap();
        acknowledged.push((values.len(), fs::metadata(&wal).unwrap().len()));
    }
    // A copy while nothing is written is what a crash would leave.
    let image = dir.join("image");
    copy(&path, &image);
    assert!(fs::metadata(image.join("events.db-wal")).unwrap().len() > 100_000);
    Image { dir: image, values, acknowledged }
}

fn copy(from: &Path, to: &Path) {
    let _absent = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for name in ["events.db", "events.db-wal", "acknowledged"] {
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

/// Reads as far as it goes; what comes must be what was appended. True when it went to the end.
async fn read_checked(log: &EmbeddedLog, values: &[Vec<u8>]) -> (usize, bool) {
    let mut offset = 0;
    loop {
        let from = Position { partition: 0, offset: offset as u64 };
        match log.read(Topic::Audit, from, 100_000, Duration::ZERO).await {
            Ok(entries) if entries.is_empty() => return (offset, true),
            Ok(entries) => {
                for entry in entries {
                    assert_eq!(entry.position.offset, offset as u64, "a hole was skipped");
                    assert!(entry.value == values[offset], "offset {offset} is garbage");
                    offset += 1;
                }
            }
            Err(_) => return (offset, false),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_write_ahead_log_gives_the_prefix_before_the_cut() {
    let seed = crate::seed("a_torn_write_ahead_log_gives_the_prefix_before_the_cut");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let image = make_image(dir.path(), &mut random).await;
    let damaged = dir.path().join("damaged");
    let wal = damaged.join("events.db-wal");
    for damage in 0..DAMAGES {
        copy(&image.dir, &damaged);
        let mut bytes = fs::read(&wal).unwrap();
        let cut = random.random_range(0..bytes.len());
        match damage % 3 {
            0 => bytes.truncate(cut),
            1 => bytes[cut] ^= 1 << random.random_range(0..8),
            _ => bytes[cut..].fill(0),
        }
        fs::write(&wal, &bytes).unwrap();
        let log = EmbeddedLog::open(EmbeddedOptions::new(&damaged)).await.unwrap();
        let (found, whole) = read_checked(&log, &image.values).await;
        assert!(whole, "damage {damage} at {cut}: what is left does not read");
        let before = image.acknowledged.iter().filter(|(_, length)| *length <= cut as u64);
        let promised = before.map(|(records, _)| *records).max().unwrap_or(0);
        assert!(found >= promised, "damage {damage} at {cut}: {found} of {promised} records");
        // What the disk had confirmed and lost is known, and its offsets are not given to others.
        let lost = log.lost(Topic::Audit);
        let all = image.values.len() as u64;
        let wanted = if (found as u64) < all { vec![(found as u64, all)] } else { Vec::new() };
        assert_eq!(lost, wanted, "damage {damage} at {cut}");
        let next = Record { topic: Topic::Audit, key: "k".into(), value: "next".into() };
        assert_eq!(log.append(vec![next]).await.unwrap()[0].offset, all);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_database_is_an_error_and_never_an_event() {
    let seed = crate::seed("a_flipped_bit_in_the_database_is_an_error_and_never_an_event");
    let mut random = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let image = make_image(dir.path(), &mut random).await;
    // Opened and closed, so that all of it is in the database file.
    drop(EmbeddedLog::open(EmbeddedOptions::new(&image.dir)).await.unwrap());
    assert!(!image.dir.join("events.db-wal").exists());
    let damaged = dir.path().join("damaged");
    let mut noticed = 0;
    for damage in 0..DAMAGES {
        copy(&image.dir, &damaged);
        let database = damaged.join("events.db");
        let mut bytes = fs::read(&database).unwrap();
        let at = random.random_range(0..bytes.len());
        bytes[at] ^= 1 << random.random_range(0..8);
        fs::write(&database, &bytes).unwrap();
        let Ok(log) = EmbeddedLog::open(EmbeddedOptions::new(&damaged)).await else {
            noticed += 1;
            continue;
        };
        let (found, whole) = read_checked(&log, &image.values).await;
        let all_there = found == image.values.len();
        let told = !whole || !log.lost(Topic::Audit).is_empty();
        assert!(all_there || told, "damage {damage} at {at}: {found} records and no word of more");
        noticed += usize::from(!all_there);
    }
    eprintln!("{noticed} of {DAMAGES} flipped bits hit something that is read");
    assert!(noticed > DAMAGES / 2, "only {noticed} of {DAMAGES}");
}
