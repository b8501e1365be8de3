//! What a read promises.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;

use super::{Fixture, MAX_READ_BYTES, Outcome, PATIENCE, Violation, ensure, everything, record};
use crate::{Entry, Log, Position, ReadError, Topic};

/// `count` records of one key, and where they are.
async fn filled(log: &dyn Log, count: usize, bytes: usize) -> Result<Vec<Position>, Violation> {
    let value = |n| format!("{n:0bytes$}");
    let batch = (0..count).map(|n| record(Topic::Audit, "one key", value(n))).collect();
    Ok(log.append(batch).await?)
}

async fn read(log: &dyn Log, from: Position, max_bytes: usize) -> Result<Vec<Entry>, Violation> {
    Ok(log.read(Topic::Audit, from, max_bytes, PATIENCE).await?)
}

/// The place behind a record.
const fn behind(position: Position) -> Position {
    Position { partition: position.partition, offset: position.offset + 1 }
}

fn last(positions: &[Position]) -> Result<Position, Violation> {
    positions.last().copied().ok_or_else(|| Violation::new("no positions for an append"))
}

pub(super) async fn starts_anywhere(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.fresh().await?;
    let positions = filled(&*log, 20, 4).await?;
    // Forwards, backwards and again, so that no reader depends on where another one was.
    for (n, position) in positions.iter().enumerate().chain(positions.iter().enumerate().rev()) {
        let entries = read(&*log, *position, MAX_READ_BYTES).await?;
        let first = entries.first();
        let fits = first.is_some_and(|e| e.position == *position && e.value == format!("{n:04}"));
        ensure!(fits, "{first:?} was read from {position:?}");
    }
    Ok(())
}

pub(super) async fn keeps_to_its_budget(fixture: &dyn Fixture) -> Outcome {
    const VALUE_BYTES: usize = 1000;
    let log = fixture.fresh().await?;
    let positions = filled(&*log, 10, VALUE_BYTES).await?;
    for (max_bytes, most) in [(1, 1), (VALUE_BYTES, 1), (3 * VALUE_BYTES + 1, 3)] {
        let mut seen = 0;
        while let Some(from) = positions.get(seen) {
            let entries = read(&*log, *from, max_bytes).await?;
            let fits = !entries.is_empty() && entries.len() <= most;
            ensure!(fits, "{} records of {VALUE_BYTES} bytes for {max_bytes}", entries.len());
            let at = entries.first().map(|entry| entry.position);
            ensure!(at == Some(*from), "{at:?} was read from {from:?}");
            seen += entries.len();
        }
    }
    Ok(())
}

pub(super) async fn wakes_on_an_append(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.fresh().await?;
    let end = behind(last(&filled(&*log, 1, 1).await?)?);
    let reader = Arc::clone(&log);
    let waiting =
        tokio::spawn(async move { reader.read(Topic::Audit, end, MAX_READ_BYTES, PATIENCE).await });
    // Whether the reader waits already or not: it must see this, and long before its patience ends.
    tokio::time::sleep(Duration::from_millis(50)).await;
    log.append(vec![record(Topic::Audit, "one key", "news")]).await?;
    let appended = Instant::now();
    let entries = waiting.await.map_err(Violation::new)??;
    let found = entries.first().map(|entry| entry.value.clone());
    ensure!(found.as_deref() == Some(b"news"), "{found:?} woke the reader");
    ensure!(appended.elapsed() < PATIENCE / 3, "it took {:?} to wake", appended.elapsed());
    Ok(())
}

pub(super) async fn waits_no_longer_than_asked(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.fresh().await?;
    let end = behind(last(&filled(&*log, 1, 1).await?)?);
    for wait in [Duration::ZERO, Duration::from_millis(150)] {
        let started = Instant::now();
        let entries = log.read(Topic::Audit, end, MAX_READ_BYTES, wait).await?;
        ensure!(entries.is_empty(), "{entries:?} was read where nothing is");
        let took = started.elapsed();
        ensure!(took >= wait && took < wait + PATIENCE / 2, "it waited {took:?} for {wait:?}");
    }
    Ok(())
}

pub(super) async fn waits_beyond_the_end(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.fresh().await?;
    let at = last(&filled(&*log, 1, 1).await?)?;
    let beyond = Position { offset: at.offset + 1000, ..at };
    let wait = Duration::from_millis(100);
    let entries = log.read(Topic::Audit, beyond, MAX_READ_BYTES, wait).await?;
    ensure!(entries.is_empty(), "{entries:?} was read beyond the end");
    Ok(())
}

pub(super) async fn a_dropped_read_changes_nothing(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.fresh().await?;
    let positions = filled(&*log, 200, 10).await?;
    let first = *positions.first().unwrap_or(&Position { partition: 0, offset: 0 });
    for n in 0..20 {
        let wait = Duration::from_micros(100 * n);
        let _dropped = tokio::time::timeout(wait, read(&*log, first, MAX_READ_BYTES)).await;
    }
    let found = everything(&*log, Topic::Audit).await?;
    let entries = found.get(&first.partition).map(Vec::len);
    ensure!(entries == Some(positions.len()), "{entries:?} of {} records", positions.len());
    Ok(())
}

pub(super) async fn many_readers_see_the_same(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.fresh().await?;
    filled(&*log, 300, 100).await?;
    let readers = (0..12).map(|_| {
        let log = Arc::clone(&log);
        tokio::spawn(async move { everything(&*log, Topic::Audit).await })
    });
    let mut seen = Vec::new();
    for found in try_join_all(readers).await.map_err(Violation::new)? {
        seen.push(found?);
    }
    ensure!(
        seen.windows(2).all(|pair| pair.first() == pair.last()),
        "two readers saw different logs"
    );
    ensure!(seen.first().is_some_and(|found| super::count(found) == 300), "records are missing");
    Ok(())
}

pub(super) async fn says_when_there_is_no_such_partition(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.fresh().await?;
    let none = Position { partition: log.partitions(Topic::Audit), offset: 0 };
    let read = log.read(Topic::Audit, none, 1, Duration::ZERO).await;
    ensure!(matches!(read, Err(ReadError::Unavailable { .. })), "{read:?} from no partition");
    let latest = log.latest(Topic::Audit, none.partition).await;
    ensure!(matches!(latest, Err(ReadError::Unavailable { .. })), "{latest:?} for no partition");
    Ok(())
}
