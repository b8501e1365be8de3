//! Looks whether partitions were added to the log: nobody reads them until the recorder starts again.

use std::time::Duration;

use tallyport_eventlog::Log;
use tokio::time::{MissedTickBehavior, interval};

use crate::error::RecorderError;
use crate::partition::TOPIC;

/// How often.
const EVERY: Duration = Duration::from_secs(10);

/// Returns when there are more partitions than the log was opened with. A log that does not say is asked again: its
/// outage is told by who reads it.
pub(crate) async fn watch(log: &dyn Log) -> RecorderError {
    let known = log.partitions(TOPIC);
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match log.partitions_now(TOPIC).await {
            Ok(found) if found > known => return RecorderError::PartitionsAdded { known, found },
            _ => {}
        }
    }
}
