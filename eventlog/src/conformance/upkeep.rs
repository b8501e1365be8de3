//! Ends, release, reopening.

use std::time::Duration;

use super::{
    Fixture, MAX_READ_BYTES, Outcome, PATIENCE, Violation, count, ensure, everything, record,
};
use crate::{Position, ReadError, Topic};

pub(super) async fn an_empty_log_ends_where_it_begins(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.fresh().await?;
    for topic in Topic::ALL {
        ensure!(log.partitions(topic) > 0, "{topic:?} has no partition");
        for partition in 0..log.partitions(topic) {
            let ends = (log.earliest(topic, partition).await?, log.latest(topic, partition).await?);
            ensure!(ends.0 == ends.1, "an empty partition goes from {} to {}", ends.0, ends.1);
        }
    }
    Ok(())
}

pub(super) async fn the_end_moves_with_appends(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.fresh().await?;
    for n in 0..10 {
        let positions = log.append(vec![record(Topic::Control, "k", n.to_string())]).await?;
        let Some(at) = positions.first() else { return Err(Violation::new("no position")) };
        let latest = log.latest(Topic::Control, at.partition).await?;
        ensure!(latest == at.offset + 1, "the end is {latest} after an append at {}", at.offset);
    }
    Ok(())
}

pub(super) async fn release_drops_what_is_before(fixture: &dyn Fixture) -> Outcome {
    let log = fixture.fresh().await?;
    let batch = (0..50).map(|n| record(Topic::Audit, "k", n.to_string())).collect();
    let positions = log.append(batch).await?;
    let (Some(first), Some(upto)) = (positions.first(), positions.get(30)) else {
        return Err(Violation::new("too few positions"));
    };
    log.release(Topic::Audit, *upto).await?;
    // Twice is once.
    log.release(Topic::Audit, *upto).await?;
    let kept = log.read(Topic::Audit, *upto, MAX_READ_BYTES, PATIENCE).await?;
    ensure!(kept.len() == 20, "{} records are left of 20", kept.len());
    let earliest = log.earliest(Topic::Audit, upto.partition).await?;
    let early = log.read(Topic::Audit, *first, MAX_READ_BYTES, Duration::ZERO).await;
    if fixture.releases() {
        ensure!(
            earliest == upto.offset,
            "it begins at {earliest} after release up to {}",
            upto.offset
        );
        let truncated = matches!(
            early,
            Err(ReadError::Truncated { wanted, earliest, .. })
                if wanted == first.offset && earliest == upto.offset
        );
        ensure!(truncated, "{early:?} from what was released");
        // More than there is: all of it, and the next offset stays what it was.
        let latest = log.latest(Topic::Audit, upto.partition).await?;
        log.release(Topic::Audit, Position { offset: u64::MAX, ..*upto }).await?;
        let earliest = log.earliest(Topic::Audit, upto.partition).await?;
        ensure!(earliest == latest, "it begins at {earliest} and ends at {latest}");
    } else {
        ensure!(earliest == first.offset, "it begins at {earliest} though nothing is released");
        ensure!(early.is_ok_and(|entries| entries.len() == 50), "records are gone");
    }
    let next = log.append(vec![record(Topic::Audit, "k", "after")]).await?;
    let follows = next.first().is_some_and(|next| positions.last().is_some_and(|l| l < next));
    ensure!(follows, "{next:?} does not follow {:?}", positions.last());
    Ok(())
}

pub(super) async fn a_reopened_log_is_the_same(fixture: &dyn Fixture) -> Outcome {
    let other = fixture.fresh().await?.id().clone();
    let log = fixture.fresh().await?;
    let mut last = Vec::new();
    for n in 0..100 {
        let topic = if n % 3 == 0 { Topic::Control } else { Topic::Audit };
        last = log.append(vec![record(topic, &format!("k{}", n % 5), n.to_string())]).await?;
    }
    let mut before = Vec::new();
    for topic in Topic::ALL {
        before.push(everything(&*log, topic).await?);
    }
    let id = log.id().clone();
    ensure!(id != other, "two logs are {id}");
    let Some(log) = fixture.reopen(log).await? else { return Ok(()) };
    ensure!(*log.id() == id, "the same log was {id} and is {}", log.id());
    for (topic, before) in Topic::ALL.into_iter().zip(before) {
        let after = everything(&*log, topic).await?;
        ensure!(after == before, "{} records, not the {} of before", count(&after), count(&before));
    }
    // The last one was on the topic `control` (99 is divisible by three).
    let next = log.append(vec![record(Topic::Control, "k4", "after")]).await?;
    ensure!(next > last, "{next:?} does not follow {last:?}");
    Ok(())
}
