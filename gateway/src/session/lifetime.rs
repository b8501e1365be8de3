//! Until when a session may run, by two clocks: whichever says first that its token is over is believed.
//!
//! The wall clock may be set, and does go on while the machine sleeps; the monotonic one cannot be set, and does not.
//! So a wall clock that is set back wins a session nothing, and one that jumps ahead ends it.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// How often the wall clock is looked at: a jump ahead ends sessions within this.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The end of one session's time, fixed when its token was checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetime {
    expires_at: Timestamp,
    /// `expires_at` on the monotonic clock, as the two stood when the token was checked.
    deadline: Instant,
}

impl Lifetime {
    pub(crate) fn new(expires_at: Timestamp, wall: Timestamp, monotonic: Instant) -> Self {
        Self { expires_at, deadline: monotonic + left_until(expires_at, wall) }
    }

    /// When it is over by the wall clock.
    pub(crate) const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Zero once it is over by either clock.
    fn left(&self, wall: Timestamp, monotonic: Instant) -> Duration {
        let by_deadline = self.deadline.saturating_duration_since(monotonic);
        by_deadline.min(left_until(self.expires_at, wall))
    }

    /// Waits until it is over. `wall` tells the time of day.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn over(&self, wall: impl Fn() -> Timestamp) {
        loop {
            let left = self.left(wall(), Instant::now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
        }
    }
}

fn left_until(expires_at: Timestamp, wall: Timestamp) -> Duration {
    Duration::try_from(expires_at.duration_since(wall)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    /// 2026-01-01T00:00:00Z.
    const NOW: i64 = 1_767_225_600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_clock_that_is_set_back_extends_nothing() {
        let start = Instant::now();
        let lifetime = Lifetime::new(at(NOW + 60), at(NOW), start);
        assert_eq!(lifetime.left(at(NOW + 20), start + seconds(20)), seconds(40));
        // An hour back, at once and later.
        assert_eq!(lifetime.left(at(NOW - 3600), start + seconds(20)), seconds(40));
        assert_eq!(lifetime.left(at(NOW - 3540), start + seconds(60)), Duration::ZERO);
    }

    #[test]
    fn a_clock_that_jumps_ahead_ends_it() {
        let start = Instant::now();
        let lifetime = Lifetime::new(at(NOW + 3600), at(NOW), start);
        assert_eq!(lifetime.left(at(NOW + 3590), start + seconds(1)), seconds(10));
        assert_eq!(lifetime.left(at(NOW + 3600), start + seconds(1)), Duration::ZERO);
        assert_eq!(lifetime.left(Timestamp::MAX, start), Duration::ZERO);
        // What has expired before it begins has no time at all.
        assert_eq!(Lifetime::new(at(NOW), at(NOW + 1), start).left(at(NOW), start), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_jump_ahead_is_seen_while_it_waits() {
        let wall = AtomicI64::new(NOW);
        let now = || at(wall.load(Ordering::SeqCst));
        let lifetime = Lifetime::new(at(NOW + 3600), now(), Instant::now());
        let over = lifetime.over(now);
        let jump = async {
            tokio::task::yield_now().await;
            wall.store(NOW + 7200, Ordering::SeqCst);
        };
        let both = async { tokio::join!(over, jump) };
        tokio::time::timeout(2 * LOOK_EVERY, both).await.expect("the jump was not seen");
    }

    #[tokio::test]
    async fn a_clock_that_stands_still_does_not_keep_it() {
        let lifetime = Lifetime::new(at(NOW + 1), at(NOW), Instant::now());
        let over = lifetime.over(|| at(NOW));
        tokio::time::timeout(2 * LOOK_EVERY, over).await.expect("the wall clock was believed");
    }
}
