//! Where the log is kept.

use std::time::Duration;

use tokio::time::Instant;

use crate::{ReadError, Topic};

pub mod embedded;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "memory")]
pub mod memory;

/// One of something for each topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PerTopic<T> {
    audit: T,
    control: T,
}

impl<T> PerTopic<T> {
    const fn get(&self, topic: Topic) -> &T {
        match topic {
            Topic::Audit => &self.audit,
            Topic::Control => &self.control,
        }
    }

    const fn get_mut(&mut self, topic: Topic) -> &mut T {
        match topic {
            Topic::Audit => &mut self.audit,
            Topic::Control => &mut self.control,
        }
    }
}

/// How many bytes a read may still return. The first record always fits, so that no record blocks a reader.
struct ReadBudget {
    left: usize,
    first: bool,
}

impl ReadBudget {
    const fn new(max_bytes: usize) -> Self {
        Self { left: max_bytes, first: true }
    }

    /// Takes `bytes` and says whether they fit.
    fn take(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.left || self.first;
        self.first = false;
        self.left = self.left.saturating_sub(bytes);
        fits
    }
}

/// The longest that one read waits; a longer wait is cut to it.
const MAX_READ_WAIT: Duration = Duration::from_secs(3600);

fn read_deadline(wait: Duration) -> Instant {
    Instant::now() + wait.min(MAX_READ_WAIT)
}

fn no_such_partition(topic: Topic, partition: u32, partitions: u32) -> ReadError {
    ReadError::Unavailable {
        reason: format!(
            "{} has no partition {partition}; it has {partitions}, numbered from 0",
            topic.name()
        ),
    }
}

fn unix_time_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
