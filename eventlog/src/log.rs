//! What every backend of the log promises.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

/// The two streams of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// All events, keyed by session.
    Audit,
    /// Approvals, grants, revocations, policy: what every gateway tails.
    Control,
}

impl Topic {
    /// Both topics.
    pub const ALL: [Self; 2] = [Self::Audit, Self::Control];

    /// The name on the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audit => "tallyport.audit.v1",
            Self::Control => "tallyport.control.v1",
        }
    }
}

/// What is appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The stream.
    pub topic: Topic,
    /// Chooses the partition: records of one key keep their order.
    pub key: Bytes,
    /// The encoded event.
    pub value: Bytes,
}

impl Record {
    /// The longest value that every backend takes, in bytes; a longer one is refused.
    pub const MAX_VALUE_BYTES: usize = 4 * 1024 * 1024;
    /// The longest key that every backend takes, in bytes; a longer one is refused.
    pub const MAX_KEY_BYTES: usize = 1024;

    /// Length of key and value, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.key.len() + self.value.len()
    }

    /// Whether every backend takes it.
    pub(crate) fn check_size(&self) -> Result<(), AppendError> {
        if self.value.len() <= Self::MAX_VALUE_BYTES && self.key.len() <= Self::MAX_KEY_BYTES {
            return Ok(());
        }
        Err(AppendError::Refused {
            reason: format!(
                "a record with a key of {} and a value of {} bytes is over the limits of {} and {} \
                 bytes; record it in smaller pieces",
                self.key.len(),
                self.value.len(),
                Self::MAX_KEY_BYTES,
                Self::MAX_VALUE_BYTES
            ),
        })
    }
}

/// Names one log among all: the same whenever it is opened, and another one for a log that was made anew in its place.
/// Whoever keeps positions of a log keeps its id beside them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(Arc<str>);

impl LogId {
    /// The log that `backend` names so.
    #[must_use]
    pub fn new(backend: &str, name: &str) -> Self {
        Self(format!("{backend}:{name}").into())
    }

    /// As it is written: the backend, a colon, and what names the log there.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place on a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The partition.
    pub partition: u32,
    /// The offset within it; grows, but not always by one.
    pub offset: u64,
}

/// What is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub position: Position,
    /// The record's key.
    pub key: Bytes,
    /// The record's value, byte for byte as appended.
    pub value: Bytes,
    /// When the log took it, in milliseconds since the Unix epoch.
    pub appended_at_ms: i64,
}

/// An append did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// Nothing of the batch is on the log, now or later.
    #[error("the log refused the append: {reason}")]
    Refused {
        /// Why, and what to do.
        reason: String,
    },
    /// Some of the batch may be on the log, or may yet come to be.
    #[error("the log did not say whether the append is durable: {reason}")]
    Unknown {
        /// Why, and what to do.
        reason: String,
    },
}

/// A read did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset is before the first one kept.
    #[error(
        "offset {wanted} is gone: the log keeps partition {partition} from offset {earliest} on"
    )]
    Truncated {
        /// The partition.
        partition: u32,
        /// The offset asked for.
        wanted: u64,
        /// The first offset kept.
        earliest: u64,
    },
    /// What is stored at an offset is not what was appended there: it was altered or lost.
    #[error(
        "offset {offset} of partition {partition} is damaged ({reason}); keep a copy of the log and \
         restore it from a backup"
    )]
    Damaged {
        /// The partition.
        partition: u32,
        /// The first offset that is not as it was appended.
        offset: u64,
        /// How that shows.
        reason: String,
    },
    /// The log cannot be read now.
    #[error("the log cannot be read: {reason}")]
    Unavailable {
        /// Why, and what to do.
        reason: String,
    },
}

/// A durable log.
///
/// Durability: when `append` returns `Ok`, every record of the batch survives the loss of power (embedded) or of any
/// one broker (kafka). Ordering: records of one key are read in the order of their appends; a batch keeps its order
/// within a partition. Atomicity: none is promised across a batch; an error may leave a part of it.
/// Concurrency: all methods may be called at once from many tasks.
#[async_trait]
pub trait Log: Debug + Send + Sync + 'static {
    /// Which log it is.
    fn id(&self) -> &LogId;

    /// Appends `batch` and returns the positions, in its order, once all of it is durable.
    ///
    /// # Errors
    /// [`AppendError::Refused`] only when it is certain that nothing persists; else [`AppendError::Unknown`].
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may still append. Treat it as [`AppendError::Unknown`].
    async fn append(&self, batch: Vec<Record>) -> Result<Vec<Position>, AppendError>;

    /// Whether `append` works on the thread that polls it, and so may block it for as long as a disk takes. Who appends
    /// much then does so on a thread of its own, and cannot give up on an append that hangs: its outcome comes, late.
    fn append_blocks(&self) -> bool {
        false
    }

    /// What an append leaves to be done once those who waited for it have their answer. May block where
    /// [`Self::append_blocks`]; a log without any of it stays right, and may grow.
    fn upkeep(&self) {}

    /// Whether appends are refused, or soon will be, unless more is released. Never for a log that has no bound of its own.
    fn is_short_of_room(&self) -> bool {
        false
    }

    /// How many partitions a topic has: they are numbered from 0.
    fn partitions(&self, topic: Topic) -> u32;

    /// How many it has now, where some may have been added since it was opened. Nothing is on those yet that came through
    /// this log, and they cannot be read before it is opened again.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn partitions_now(&self, topic: Topic) -> Result<u32, ReadError> {
        Ok(self.partitions(topic))
    }

    /// Ranges of offsets, `[first, next)`, that were acknowledged once and are gone: the disk lost them. They are never used
    /// again.
    fn lost(&self, _topic: Topic) -> Vec<(u64, u64)> {
        Vec::new()
    }

    /// Reads records of one partition with offset >= `from.offset`, in order: at least one where there is one, at
    /// most `max_bytes` of values (one larger record is given alone), waiting up to `wait` for the first.
    ///
    /// # Errors
    /// [`ReadError::Truncated`] when `from` is before the first kept offset, [`ReadError::Damaged`] when what is stored
    /// is not what was appended; [`ReadError::Unavailable`] otherwise.
    ///
    /// # Cancel safety
    /// Cancel safe: it changes nothing.
    async fn read(
        &self,
        topic: Topic,
        from: Position,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Vec<Entry>, ReadError>;

    /// The first offset kept; equal to [`Log::latest`] where there is none.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn earliest(&self, topic: Topic, partition: u32) -> Result<u64, ReadError>;

    /// The offset after the last durable record.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn latest(&self, topic: Topic, partition: u32) -> Result<u64, ReadError>;

    /// Says that records before `upto` are kept elsewhere for good, so that a bounded backend may drop them.
    /// Kafka keeps to its own retention and does nothing here.
    ///
    /// # Errors
    /// [`ReadError::Unavailable`]; nothing was dropped then.
    ///
    /// # Cancel safety
    /// Cancel safe: it drops all of them or none.
    async fn release(&self, topic: Topic, upto: Position) -> Result<(), ReadError>;
}
