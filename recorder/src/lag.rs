//! Looks at how far behind the recorder is, also while its tasks wait for a lake that is out: what is not looked at
//! would look as if it stood still.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tallyport_eventlog::Log;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::meters::LagGauges;
use crate::partition::TOPIC;
use crate::progress::{Condition, Progress, Reporter};

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// The longest a log is asked for its end.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks until it is dropped.
pub(crate) async fn watch(log: Arc<dyn Log>, all: watch::Sender<Progress>) {
    let partitions: Vec<u32> = all.borrow().partitions.iter().map(|one| one.partition).collect();
    let watched: Vec<_> = partitions
        .into_iter()
        .map(|partition| (LagGauges::new(partition), Reporter::new(partition, all.clone())))
        .collect();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for (gauges, reporter) in &watched {
            look(log.as_ref(), gauges, reporter).await;
        }
    }
}

async fn look(log: &dyn Log, gauges: &LagGauges, reporter: &Reporter) {
    let Some(one) = reporter.view() else { return };
    // A task that follows the log looks at its end by itself.
    if matches!(one.condition, Condition::Retrying { .. })
        && let Ok(Ok(end)) = timeout(ASK_TIMEOUT, log.latest(TOPIC, one.partition)).await
    {
        reporter.update(|one| one.log_end = end.max(one.recorded));
    }
    if let Some(one) = reporter.view() {
        gauges.show(&one, SystemTime::now());
    }
}
