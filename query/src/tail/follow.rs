//! One follower per partition: reads the log as it grows and holds it, decoded only as far as it must be.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tallyport_eventlog::{Entry, Log, Position, ReadError, Topic};
use tokio_util::sync::CancellationToken;

use super::Follower;

/// What one read asks for, in bytes.
const READ_BYTES: usize = 1024 * 1024;
/// How long one read waits for something new.
const READ_WAIT: Duration = Duration::from_secs(1);
/// Pause between reads that do not fill up: many small reads cost more than a few large ones, and a query reads from
/// the log what is not held yet.
const GATHER_PAUSE: Duration = Duration::from_millis(100);
/// Small reads that may follow on each other without a pause: where little happens, such as one question after the other,
/// what the next one needs is held when it comes.
const AT_ONCE: u32 = 16;
/// How long it takes until there is one more of them. Under load nearly all reads have their pause.
const REST: Duration = Duration::from_millis(400);
/// What rows weigh at most, in multiples of the entries they come from: where they would not fit they are not made.
const DECODED_GROWTH: usize = 2;
/// Pause after a read that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Follows until `stop`.
pub(super) async fn run(follower: Arc<Follower>, log: Arc<dyn Log>, stop: CancellationToken) {
    stop.run_until_cancelled(follow(&follower, log.as_ref())).await;
}

/// When a small read may follow on another.
struct Pace {
    left: u32,
    since: Instant,
}

impl Pace {
    const fn new(now: Instant) -> Self {
        Self { left: AT_ONCE, since: now }
    }

    /// How long to wait before the next read, after a small one.
    fn pause(&mut self, now: Instant) -> Duration {
        let rested = now.saturating_duration_since(self.since).as_millis() / REST.as_millis();
        let rested = u32::try_from(rested).unwrap_or(u32::MAX);
        if rested > 0 {
            self.left = self.left.saturating_add(rested).min(AT_ONCE);
            self.since = now;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Duration::ZERO
            }
            None => GATHER_PAUSE,
        }
    }
}

async fn follow(follower: &Follower, log: &dyn Log) {
    begin(follower, log).await;
    let mut pace = Pace::new(Instant::now());
    loop {
        while follower.held.lock().bytes() >= follower.max_bytes {
            follower.room.notified().await;
        }
        let offset = follower.held.lock().next();
        let from = Position { partition: follower.partition, offset };
        match log.read(Topic::Audit, from, READ_BYTES, READ_WAIT).await {
            Ok(entries) => {
                follower.failing.store(false, Ordering::Relaxed);
                let bytes: usize = entries.iter().map(|entry| entry.value.len()).sum();
                hold(follower, offset, entries).await;
                if bytes < READ_BYTES / 2 {
                    tokio::time::sleep(pace.pause(Instant::now())).await;
                }
            }
            // The lake has what was dropped; a query that still needs it is told so.
            Err(ReadError::Truncated { earliest, .. }) => follower.held.lock().restart(earliest),
            Err(error) => {
                if !follower.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(partition = follower.partition, %error, "the tail waits for the log");
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

async fn begin(follower: &Follower, log: &dyn Log) {
    if let Ok(earliest) = log.earliest(Topic::Audit, follower.partition).await {
        let mut held = follower.held.lock();
        if held.next() < earliest {
            held.restart(earliest);
        }
    }
}

/// Holds the entries as they are, unless the reader was moved on meanwhile. What no question has asked for is decoded
/// only when it grows beyond what a question may have to wait for.
async fn hold(follower: &Follower, offset: u64, entries: Vec<Entry>) {
    let Some(last) = entries.last() else { return };
    let next = last.position.offset.saturating_add(1);
    let too_much = {
        let mut held = follower.held.lock();
        if held.next() == offset {
            held.push(next, entries);
        }
        let undecoded = held.undecoded();
        undecoded > follower.max_undecoded
            && held.bytes().saturating_add(undecoded.saturating_mul(DECODED_GROWTH))
                <= follower.max_bytes
    };
    if too_much && let Err(error) = follower.rows(0, u64::MAX).await {
        tracing::debug!(partition = follower.partition, %error, "the tail stays undecoded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_reads_follow_at_once_and_many_have_pauses() {
        let begun = Instant::now();
        let mut pace = Pace::new(begun);
        for _ in 0..AT_ONCE {
            assert_eq!(pace.pause(begun), Duration::ZERO);
        }
        let (mut now, mut reads) = (begun, 0);
        while now < begun + Duration::from_secs(40) {
            now += pace.pause(now);
            reads += 1;
        }
        assert!((400..=505).contains(&reads), "{reads} reads in 40 s");
        now += REST * (AT_ONCE + 5);
        let at_once =
            std::iter::repeat_with(|| pace.pause(now)).take_while(Duration::is_zero).count();
        assert_eq!(at_once, AT_ONCE as usize, "rest is not kept beyond");
    }
}
