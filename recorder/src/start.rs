//! Compares log and lake before anything is recorded.

use std::time::Duration;

use tallyport_eventlog::{Log, Position, ReadError};
use tallyport_schemas::lake::app_id;

use crate::error::{IntegrityError, RecorderError};
use crate::fingerprint::fingerprint;
use crate::lake::{Lake, last_app_id};
use crate::partition::TOPIC;

/// How long the record that was recorded last may take to arrive.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Where a partition begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartPoint {
    /// The lake's position; none where it has nothing of the partition.
    pub(crate) position: Option<u64>,
    /// The fingerprint of the record before it, where it is known.
    pub(crate) last: Option<u64>,
    /// The first offset to read.
    pub(crate) next: u64,
    pub(crate) log_end: u64,
}

impl StartPoint {
    /// Compares the lake's position with what the log has.
    ///
    /// # Errors
    /// When they contradict each other, unless missing history is accepted.
    pub(crate) async fn find(
        log: &dyn Log,
        lake: &Lake,
        partition: u32,
        accept_missing_history: bool,
    ) -> Result<Self, RecorderError> {
        let position = lake.events.position(&app_id(partition)).await?;
        let earliest = log.earliest(TOPIC, partition).await?;
        let latest = log.latest(TOPIC, partition).await?;
        let recorded = position.unwrap_or_default();
        if recorded > latest {
            let error = IntegrityError::LakeAheadOfLog { partition, recorded, latest };
            return Err(error.into());
        }
        check_lost(log, partition, recorded, accept_missing_history)?;
        if recorded >= earliest {
            let last = lake.events.position(&last_app_id(partition)).await?;
            check_last(log, partition, position, last).await?;
            return Ok(Self { position, last, next: recorded, log_end: latest });
        }
        let hole = IntegrityError::LogTruncated { partition, recorded, earliest };
        if accept_missing_history {
            tracing::error!(
                partition,
                recorded,
                earliest,
                "records are missing and were accepted as missing"
            );
            Ok(Self { position, last: None, next: earliest, log_end: latest })
        } else {
            Err(hole.into())
        }
    }
}

/// What the disk lost before it was recorded: the log goes on behind it as if nothing was, and only it knows.
fn check_lost(
    log: &dyn Log,
    partition: u32,
    recorded: u64,
    accept_missing_history: bool,
) -> Result<(), IntegrityError> {
    for (first, next) in log.lost(TOPIC).into_iter().filter(|(_, next)| *next > recorded) {
        let (first, last) = (first.max(recorded), next.saturating_sub(1));
        let lost = IntegrityError::LogLost { partition, first, last };
        if !accept_missing_history {
            return Err(lost);
        }
        tracing::error!(%lost, "records are missing and were accepted as missing");
    }
    Ok(())
}

/// Compares the record before `position`, where the log still has it, with the fingerprint that the lake keeps of it: a
/// topic that was deleted and made anew has other records at the same offsets.
///
/// # Errors
/// When it is another record; when the log cannot be read.
pub(crate) async fn check_last(
    log: &dyn Log,
    partition: u32,
    position: Option<u64>,
    fingerprint_of_last: Option<u64>,
) -> Result<(), RecorderError> {
    let before = position.and_then(|position| position.checked_sub(1));
    let (Some(offset), Some(expected)) = (before, fingerprint_of_last) else { return Ok(()) };
    if log.earliest(TOPIC, partition).await? > offset {
        return Ok(());
    }
    let read = log.read(TOPIC, Position { partition, offset }, 1, LAST_WAIT).await;
    let found = match read {
        Ok(entries) => entries.into_iter().next(),
        // Released meanwhile, or lost: that it is missing is no sign of another log.
        Err(ReadError::Truncated { .. } | ReadError::Damaged { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let is_other = |value: &[u8]| fingerprint(value) != expected;
    match found.filter(|entry| entry.position.offset == offset) {
        Some(entry) if is_other(&entry.value) => {
            Err(IntegrityError::OtherRecord { partition, offset }.into())
        }
        _ => Ok(()),
    }
}
