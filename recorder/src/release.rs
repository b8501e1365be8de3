//! Which part of the log is no longer needed. No IO, no clock of its own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::config::Retention;

/// The most commits remembered: with more of them younger than `keep_for`, the middle ones are merged.
const MAX_REMEMBERED: usize = 4096;

/// After so long without a commit, and no sooner than `keep_for`, no later commit is waited for: every reader has long
/// pinned a newer snapshot.
const QUIET: Duration = Duration::from_mins(1);

/// Remembers the commits of one partition until what they cover may be released.
#[derive(Debug)]
pub(crate) struct ReleaseGate {
    retention: Retention,
    commits: VecDeque<(Instant, u64)>,
}

impl ReleaseGate {
    /// `recorded` is what the lake has at `now`, when the recorder starts: nobody knows how old the commit of that is, so
    /// it counts as made now.
    pub(crate) fn new(retention: Retention, now: Instant, recorded: Option<u64>) -> Self {
        Self { retention, commits: recorded.map(|next| (now, next)).into_iter().collect() }
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
    ///
    /// All that the lake has where the log is `short_of_room`: it is durable there. What is kept on the log is for the sake
    /// of readers with an older snapshot, and those ask again; a full log lets nothing pass.
    pub(crate) fn due(&mut self, now: Instant, short_of_room: bool) -> Option<u64> {
        if short_of_room {
            return self.commits.drain(..).next_back().map(|(_, next)| next);
        }
        let mut due = None;
        while self.commits.len() > self.kept_commits(now) {
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

    /// Later commits that are waited for: none where none come.
    fn kept_commits(&self, now: Instant) -> usize {
        let quiet = self.retention.keep_for.max(QUIET);
        let newest = self.commits.back();
        let is_quiet = newest.is_some_and(|(at, _)| now.saturating_duration_since(*at) >= quiet);
        if is_quiet { 0 } else { self.retention.keep_commits }
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
        ReleaseGate::new(Retention { keep_for: MINUTE, keep_commits }, Instant::now(), None)
    }

    #[test]
    fn keeps_what_a_pinned_snapshot_may_lack() {
        let start = Instant::now();
        let mut gate = gate(2);
        for n in 1..=4_u32 {
            gate.committed(start + Duration::from_secs(n.into()), u64::from(n) * 100);
        }
        assert_eq!(gate.due(start + Duration::from_secs(30), false), None, "too young");
        let old = start + MINUTE + Duration::from_secs(1);
        assert_eq!(gate.due(old, false), Some(100));
        assert_eq!(gate.due(old, false), None, "once");
        let older = start + MINUTE + Duration::from_secs(3);
        assert_eq!(gate.due(older, false), Some(200), "two later commits are kept");
        assert_eq!(gate.due(older, false), None);
    }

    #[test]
    fn age_alone_releases_where_no_commits_come() {
        let start = Instant::now();
        let mut gate = gate(1);
        gate.committed(start, 10);
        assert_eq!(gate.due(start + MINUTE / 2, false), None);
        gate.committed(start + MINUTE, 20);
        assert_eq!(gate.due(start + MINUTE, false), Some(10));
        assert_eq!(gate.due(start + MINUTE * 3 / 2, false), None, "it may be one of many");
        assert_eq!(gate.due(start + 2 * MINUTE, false), Some(20), "none came");
    }

    #[test]
    fn what_the_lake_has_at_the_start_counts_as_recorded_then() {
        let start = Instant::now();
        let retention = Retention { keep_for: MINUTE, keep_commits: 2 };
        let mut gate = ReleaseGate::new(retention, start, Some(10));
        assert_eq!(gate.due(start + MINUTE / 2, false), None);
        assert_eq!(gate.due(start + MINUTE, false), Some(10));
        assert_eq!(ReleaseGate::new(retention, start, None).due(start, true), None);
    }

    #[test]
    fn a_log_without_room_gives_all_that_the_lake_has() {
        let start = Instant::now();
        let mut gate = gate(2);
        for next in [10, 20] {
            gate.committed(start, next);
        }
        assert_eq!(gate.due(start, true), Some(20));
        assert_eq!(gate.due(start, true), None, "once");
    }

    #[test]
    fn remembers_a_bounded_number_of_commits() {
        let start = Instant::now();
        let mut gate = gate(2);
        for n in 0..3 * MAX_REMEMBERED as u64 {
            gate.committed(start, n);
        }
        assert_eq!(gate.commits.len(), MAX_REMEMBERED);
        assert!(gate.due(start + MINUTE, false).is_some());
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
