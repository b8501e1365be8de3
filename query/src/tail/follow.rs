//! One follower per partition: reads the log as it grows and holds it, decoded only as far as it must be.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tallyport_eventlog::{Entry, Log, Position, ReadError, Topic};
use tokio_util::sync::CancellationToken;

use super::Follower;

/// What one read asks for, in bytes.
const READ_BYTES: usize = 1024 * 1024;
/// How long one read waits for something new.
const READ_WAIT: Duration = Duration::from_secs(1);
/// Pause after a read that did not fill up: many small reads cost more than a few large ones, and a query reads from
/// the log what is not held yet.
const GATHER_PAUSE: Duration = Duration::from_millis(100);
/// What rows weigh at most, in multiples of the entries they come from: where they would not fit they are not made.
const DECODED_GROWTH: usize = 2;
/// Pause after a read that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Follows until `stop`.
pub(super) async fn run(follower: Arc<Follower>, log: Arc<dyn Log>, stop: CancellationToken) {
    stop.run_until_cancelled(follow(&follower, log.as_ref())).await;
}

async fn follow(follower: &Follower, log: &dyn Log) {
    begin(follower, log).await;
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
                    tokio::time::sleep(GATHER_PAUSE).await;
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
