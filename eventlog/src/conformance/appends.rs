//! What an append promises.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::future::try_join_all;

use super::{Fixture, Outcome, Violation, count, ensure, everything, record};
use crate::{AppendError, Position, Record, Topic};

pub(super) async fn gives_back_what_was_appended(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.fresh().await?;
    let batch = vec![
        record(Topic::Audit, "a", "one"),
        record(Topic::Control, "b", "two"),
        record(Topic::Audit, "c", vec![0_u8, 255, 10, 13, 34]),
    ];
    let positions = log.append(batch.clone()).await?;
    ensure!(
        positions.len() == batch.len(),
        "{} positions for {} records",
        positions.len(),
        batch.len()
    );
    for (position, record) in positions.iter().zip(&batch) {
        let found = everything(&*log, record.topic).await?;
        let entries = found.get(&position.partition).map(Vec::as_slice).unwrap_or_default();
        let entry = entries.iter().find(|entry| entry.position == *position);
        let Some(entry) = entry else {
            return Err(Violation::new(format!("nothing at {position:?}")));
        };
        ensure!(entry.key == record.key, "key {:?} for {:?}", entry.key, record.key);
        ensure!(entry.value == record.value, "value {:?} for {:?}", entry.value, record.value);
        check_time(entry.appended_at_ms)?;
    }
    Ok(())
}

fn check_time(appended_at_ms: i64) -> Outcome {
    const TOLERANCE_MS: i64 = 10 * 60 * 1000;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    let near = (now_ms - appended_at_ms).abs() < TOLERANCE_MS;
    ensure!(near, "appended at {appended_at_ms} ms while it is {now_ms} ms");
    Ok(())
}

pub(super) async fn takes_nothing_and_empty_values(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.fresh().await?;
    let none = log.append(Vec::new()).await?;
    ensure!(none.is_empty(), "{none:?} for an empty batch");
    let positions = log.append(vec![record(Topic::Audit, "k", "")]).await?;
    ensure!(positions.len() == 1, "{positions:?} for one record");
    let found = everything(&*log, Topic::Audit).await?;
    let values: Vec<_> = found.values().flatten().map(|entry| &entry.value).collect();
    ensure!(values == [&Bytes::new()], "{values:?} for one empty value");
    Ok(())
}

pub(super) async fn takes_large_values(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.fresh().await?;
    // Not compressible, so that no compression makes it small.
    let large = |seed: u64, bytes: usize| {
        let mut state = seed;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        };
        Bytes::from((0..bytes).map(next).collect::<Vec<u8>>())
    };
    let mut batch: Vec<_> =
        (0..8).map(|seed| record(Topic::Audit, "large", large(seed, 400 * 1024))).collect();
    batch.push(record(Topic::Audit, "large", large(99, Record::MAX_VALUE_BYTES)));
    log.append(batch.clone()).await?;
    let found = everything(&*log, Topic::Audit).await?;
    let values: Vec<_> = found.values().flatten().map(|entry| entry.value.clone()).collect();
    let wanted: Vec<_> = batch.into_iter().map(|record| record.value).collect();
    ensure!(values == wanted, "{} large values came back, not all as appended", values.len());
    Ok(())
}

pub(super) async fn refuses_what_is_too_large_and_goes_on(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.fresh().await?;
    let too_large = record(Topic::Audit, "k", vec![7_u8; Record::MAX_VALUE_BYTES + 1]);
    let refused = log.append(vec![record(Topic::Audit, "k", "beside it"), too_large]).await;
    ensure!(
        matches!(refused, Err(AppendError::Refused { .. })),
        "{refused:?} for a value that is too large"
    );
    log.append(vec![record(Topic::Audit, "k", "after it")]).await?;
    let found = everything(&*log, Topic::Audit).await?;
    ensure!(count(&found) == 1, "{} records where one was acknowledged", count(&found));
    Ok(())
}

pub(super) async fn keeps_the_order_of_a_batch(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.fresh().await?;
    let batch: Vec<_> = (0..500)
        .map(|n| record(Topic::Audit, &format!("key{}", n % 7), format!("{n:04}")))
        .collect();
    let positions = log.append(batch.clone()).await?;
    let mut last: HashMap<u32, u64> = HashMap::new();
    for position in &positions {
        let before = last.insert(position.partition, position.offset);
        ensure!(before.is_none_or(|b| b < position.offset), "{position:?} after {before:?}");
    }
    let found = everything(&*log, Topic::Audit).await?;
    for entries in found.values() {
        ensure!(entries.is_sorted_by_key(|entry| entry.value.clone()), "a batch was reordered");
    }
    ensure!(count(&found) == batch.len(), "{} of {} records", count(&found), batch.len());
    Ok(())
}

pub(super) async fn many_writers_keep_order_and_lose_nothing(fixture: &dyn Fixture) -> Outcome {
    const WRITERS: usize = 16;
    const BATCHES: usize = 25;
    let log = fixture.fresh().await?;
    let writers = (0..WRITERS).map(|writer| {
        let log = Arc::clone(&log);
        async move {
            let mut placed: Vec<(Position, Record)> = Vec::new();
            for batch in 0..BATCHES {
                let records: Vec<_> = (0..=batch % 5)
                    .map(|n| {
                        record(
                            Topic::Audit,
                            &format!("writer{writer}"),
                            format!("{writer} {batch:03} {n}"),
                        )
                    })
                    .collect();
                let positions = log.append(records.clone()).await?;
                placed.extend(positions.into_iter().zip(records));
            }
            Ok::<_, Violation>(placed)
        }
    });
    let written = try_join_all(writers.map(tokio::spawn)).await.map_err(Violation::new)?;
    let mut wanted: BTreeMap<Position, Record> = BTreeMap::new();
    for placed in written {
        let placed = placed?;
        ensure!(
            placed.is_sorted_by_key(|(position, _)| *position),
            "a writer's appends were reordered"
        );
        for (position, record) in placed {
            ensure!(wanted.insert(position, record).is_none(), "{position:?} was given twice");
        }
    }
    let found = everything(&*log, Topic::Audit).await?;
    let found: BTreeMap<_, _> = found
        .into_values()
        .flatten()
        .map(|e| (e.position, Record { topic: Topic::Audit, key: e.key, value: e.value }))
        .collect();
    ensure!(
        found == wanted,
        "{} records read, {} acknowledged, or others",
        found.len(),
        wanted.len()
    );
    Ok(())
}

pub(super) async fn a_dropped_append_leaves_the_log_whole(fixture: &dyn Fixture) -> Outcome {
    const DROPS: usize = 40;
    let log = fixture.fresh().await?;
    for n in 0..DROPS {
        let append = log.append(vec![record(Topic::Audit, "dropped", format!("dropped {n}"))]);
        // From "not even polled" to "most likely done".
        let wait = Duration::from_micros(50 * n as u64);
        let _dropped = tokio::time::timeout(wait, append).await;
    }
    log.append(vec![record(Topic::Audit, "kept", "kept")]).await?;
    let found = everything(&*log, Topic::Audit).await?;
    let mut times: HashMap<Bytes, usize> = HashMap::new();
    for entry in found.values().flatten() {
        *times.entry(entry.value.clone()).or_default() += 1;
    }
    ensure!(times.get(&b"kept"[..]) == Some(&1), "the acknowledged record is not there once");
    let twice = times.iter().find(|(_, times)| **times > 1);
    ensure!(twice.is_none(), "{twice:?} is there more than once");
    Ok(())
}
