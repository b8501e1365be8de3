//! How full the log is, for operators.

use std::time::{Duration, Instant};

use metrics::{Gauge, gauge};

/// Counting the pages asks the database twice: not after every commit.
const EVERY: Duration = Duration::from_millis(250);

/// The gauges, and when they are due again.
#[derive(Debug)]
pub(super) struct Usage {
    used: Gauge,
    due: Instant,
}

impl Usage {
    /// `capacity_bytes` is where appends are refused.
    pub(super) fn new(capacity_bytes: u64) -> Self {
        gauge!("tallyport_log_capacity_bytes").set(as_f64(capacity_bytes));
        Self { used: gauge!("tallyport_log_used_bytes"), due: Instant::now() }
    }

    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.due
    }

    pub(super) fn note(&mut self, used_bytes: u64) {
        self.used.set(as_f64(used_bytes));
        self.due = Instant::now() + EVERY;
    }
}

const fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}
