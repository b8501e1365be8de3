//! Compares log and lake before anything is recorded.

use tallyport_eventlog::Log;
use tallyport_schemas::lake::app_id;

use crate::error::{IntegrityError, RecorderError};
use crate::lake::Lake;
use crate::partition::TOPIC;

/// Where a partition begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartPoint {
    /// The lake's position; none where it has nothing of the partition.
    pub(crate) position: Option<u64>,
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
        if recorded >= earliest {
            return Ok(Self { position, next: recorded, log_end: latest });
        }
        let hole = IntegrityError::LogTruncated { partition, recorded, earliest };
        if accept_missing_history {
            tracing::error!(
                partition,
                recorded,
                earliest,
                "records are missing and were accepted as missing"
            );
            Ok(Self { position, next: earliest, log_end: latest })
        } else {
            Err(hole.into())
        }
    }
}
