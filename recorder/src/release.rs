//! Which part of the log is no longer needed. No IO, no clock of its own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::config::Retention;

/// The most commits remembered: with more of them younger than `keep_for`, the middle ones are merged.
const MAX_REMEMBERED: usize = 4096;

/// Remembers the commits of one partition until what they cover may be released.
#[derive(Debug)]
pub(crate) struct ReleaseGate {
    retention: Retention,
    commits: VecDeque<(Instant, u64)>,
}

impl ReleaseGate {
    pub(crate) const fn new(retention: Retention) -> Self {
        Self { retention, commits: VecDeque::new() }
    }

    /// A commit at `now` put everything before `next` into the lake.
    pub(crate) fn committed(&mut self, now: Instant, next: u64) {
        if self.commits.len() >= MAX_REMEMBERED {
            // Forgetting a position only delays a release; it never makes one early.
            let middle = self.commits.len() / 2;
            self.commits.remove(middle);
        }
        self.commits.push_back((now, next));
    }

    /// The position before which the log may be dropped now, once per position.
    pub(crate) fn due(&mut self, now: Instant) -> Option<u64> {
        let mut due = None;
        while self.commits.len() > self.retention.keep_commits {
            let old_enough = self.commits.front().is_some_and(|(at, _)| {
                now.saturating_duration_since(*at) >= self.retention.keep_for
            });
            if !old_enough {
                break;
            }
            due = self.commits.pop_front().map(|(_, next)| next);
        }
        due
    }

    /// How long until something may be due, at most `at_most`.
    pub(crate) fn wait(&self, now: Instant, at_most: Duration) -> Duration {
        if self.commits.len() <= self.retention.keep_commits {
            return at_most;
        }
        self.commits.front().map_or(at_most, |(at, _)| {
            let age = now.saturating_duration_since(*at);
            self.retention.keep_for.saturating_sub(age).min(at_most)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn gate(keep_commits: usize) -> ReleaseGate {
        ReleaseGate::new(Retention { keep_for: MINUTE, keep_commits })
    }

    #[test]
    fn keeps_what_a_pinned_snapshot_may_lack() {
        let start = Instant::now();
        let mut gate = gate(2);
        for n in 1..=4_u32 {
            gate.committed(start + Duration::from_secs(n.into()), u64::from(n) * 100);
        }
        assert_eq!(gate.due(start + Duration::from_secs(30)), None, "too young");
        assert_eq!(gate.due(start + MINUTE + Duration::from_secs(1)), Some(100));
        assert_eq!(gate.due(start + MINUTE + Duration::from_secs(1)), None, "once");
        assert_eq!(gate.due(start + 10 * MINUTE), Some(200), "two later commits are kept");
        assert_eq!(gate.due(start + 10 * MINUTE), None);
    }

    #[test]
    fn never_releases_the_last_commit_even_when_all_are_old() {
        let start = Instant::now();
        let mut gate = gate(1);
        gate.committed(start, 10);
        assert_eq!(gate.due(start + 100 * MINUTE), None);
        gate.committed(start + MINUTE, 20);
        assert_eq!(gate.due(start + 100 * MINUTE), Some(10));
    }

    #[test]
    fn remembers_a_bounded_number_of_commits() {
        let start = Instant::now();
        let mut gate = gate(2);
        for n in 0..3 * MAX_REMEMBERED as u64 {
            gate.committed(start, n);
        }
        assert_eq!(gate.commits.len(), MAX_REMEMBERED);
        assert!(gate.due(start + MINUTE).is_some());
    }

    #[test]
    fn says_how_long_to_wait() {
        let start = Instant::now();
        let mut gate = gate(1);
        assert_eq!(gate.wait(start, MINUTE), MINUTE);
        gate.committed(start, 10);
        gate.committed(start, 20);
        assert_eq!(gate.wait(start + MINUTE / 2, MINUTE), MINUTE / 2);
        assert_eq!(gate.wait(start + 2 * MINUTE, MINUTE), Duration::ZERO);
    }
}
