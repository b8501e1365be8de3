//! What an appender counts. The handles are taken once, so a commit costs a few atomic operations and no look-up.

use metrics::{Counter, Histogram, counter, histogram};
use tokio::time::Instant;

use super::CommitError;
use crate::log::AppendError;

#[derive(Debug)]
pub(super) struct Meters {
    seconds: Histogram,
    durable: Counter,
    failed: Counter,
    unknown: Counter,
    timeout: Counter,
    events: Counter,
}

impl Meters {
    /// `role` is what the producer does, such as `gateway`: never its name, which grows with the machines.
    pub(super) fn new(role: &str) -> Self {
        let commits = |outcome: &'static str| counter!("tallyport_log_commits_total", "producer" => role.to_owned(), "outcome" => outcome);
        Self {
            seconds: histogram!("tallyport_log_commit_seconds", "producer" => role.to_owned()),
            durable: commits("durable"),
            failed: commits("failed"),
            unknown: commits("unknown"),
            timeout: commits("timeout"),
            events: counter!("tallyport_log_events_total", "producer" => role.to_owned()),
        }
    }

    /// A commit of so many events that began then has its answer.
    pub(super) fn committed<T>(
        &self,
        began: Instant,
        events: usize,
        outcome: &Result<T, CommitError>,
    ) {
        self.seconds.record(began.elapsed());
        match outcome {
            Ok(_) => {
                self.durable.increment(1);
                self.events.increment(events as u64);
            }
            Err(CommitError::Append(AppendError::Unknown { .. })) => self.unknown.increment(1),
            Err(CommitError::TimedOut { .. }) => self.timeout.increment(1),
            Err(CommitError::Append(AppendError::Refused { .. }))
            | Err(CommitError::Encode { .. } | CommitError::Stopped) => self.failed.increment(1),
        }
    }
}
