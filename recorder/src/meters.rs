//! What the recorder counts. Handles are taken once per partition.

use std::time::{Duration, SystemTime};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::progress::PartitionProgress;

/// The counts of one partition.
#[derive(Debug)]
pub(crate) struct Meters {
    committed_events: Counter,
    commit_seconds: Histogram,
    commit_failures: Counter,
    dead_letters: Counter,
}

impl Meters {
    pub(crate) fn new(partition: u32) -> Self {
        let name = "tallyport_recorder_committed_events_total";
        Self {
            committed_events: counter!(name, "partition" => partition.to_string()),
            commit_seconds: histogram!("tallyport_recorder_commit_seconds"),
            commit_failures: counter!("tallyport_recorder_commit_failures_total"),
            dead_letters: counter!("tallyport_recorder_dead_letters_total"),
        }
    }

    /// So many rows reached the lake, and so many records the table of dead letters.
    pub(crate) fn committed(&self, took: Duration, events: u64, dead: u64) {
        self.commit_seconds.record(took);
        self.committed_events.increment(events);
        self.dead_letters.increment(dead);
    }

    /// The lake could not be read or written.
    pub(crate) fn failed(&self) {
        self.commit_failures.increment(1);
    }
}

/// How far behind one partition is.
#[derive(Debug)]
pub(crate) struct LagGauges {
    events: Gauge,
    seconds: Gauge,
}

impl LagGauges {
    pub(crate) fn new(partition: u32) -> Self {
        let label = partition.to_string();
        Self {
            events: gauge!("tallyport_recorder_lag_events", "partition" => label.clone()),
            seconds: gauge!("tallyport_recorder_lag_seconds", "partition" => label),
        }
    }

    pub(crate) fn show(&self, progress: &PartitionProgress, now: SystemTime) {
        self.events.set(progress.lag_records() as f64);
        self.seconds.set(progress.lag_at(now).as_secs_f64());
    }
}
