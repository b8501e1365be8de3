//! A log that forgets when it is dropped: for tests only.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout_at;
use uuid::Uuid;

use super::{PerTopic, ReadBudget, no_such_partition, read_deadline, unix_time_ms};
use crate::{AppendError, Entry, Log, LogId, Position, ReadError, Record, Topic};

/// The most it keeps; an append beyond it is refused.
const MAX_BYTES: usize = 1024 * 1024 * 1024;

/// A log in memory. It keeps every promise of [`Log`] but durability.
#[derive(Debug)]
pub struct MemoryLog {
    id: LogId,
    partitions: u32,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    topics: PerTopic<Vec<Partition>>,
    bytes: usize,
}

#[derive(Clone, Debug, Default)]
struct Partition {
    first: u64,
    entries: VecDeque<Entry>,
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryLog {
    /// One partition per topic.
    #[must_use]
    pub fn new() -> Self {
        Self::with_partitions(1)
    }

    /// `partitions` per topic, at least one. A record's key chooses its partition.
    #[must_use]
    pub fn with_partitions(partitions: u32) -> Self {
        let partitions = partitions.max(1);
        let empty = vec![Partition::default(); partitions as usize];
        let topics = PerTopic { audit: empty.clone(), control: empty };
        Self {
            id: LogId::new("memory", &Uuid::new_v4().to_string()),
            partitions,
            state: Mutex::new(State { topics, bytes: 0 }),
            changed: watch::Sender::new(()),
        }
    }

    fn partition_of(&self, key: &[u8]) -> u32 {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        u32::try_from(hasher.finish() % u64::from(self.partitions)).unwrap_or_default()
    }

    fn on<T>(
        &self,
        topic: Topic,
        partition: u32,
        look: impl FnOnce(&Partition) -> T,
    ) -> Result<T, ReadError> {
        let state = self.state.lock();
        let found = state.topics.get(topic).get(partition as usize);
        found.map(look).ok_or_else(|| no_such_partition(topic, partition, self.partitions))
    }
}

impl Partition {
    fn next(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn take(&self, from: Position, max_bytes: usize) -> Result<Vec<Entry>, ReadError> {
        let Some(skipped) = from.offset.checked_sub(self.first) else {
            return Err(ReadError::Truncated {
                partition: from.partition,
                wanted: from.offset,
                earliest: self.first,
            });
        };
        let mut budget = ReadBudget::new(max_bytes);
        let kept = self.entries.iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX));
        Ok(kept.take_while(|entry| budget.take(entry.value.len())).cloned().collect())
    }
}

#[async_trait]
impl Log for MemoryLog {
    fn id(&self) -> &LogId {
        &self.id
    }

    async fn append(&self, batch: Vec<Record>) -> Result<Vec<Position>, AppendError> {
        batch.iter().try_for_each(Record::check_size)?;
        let mut state = self.state.lock();
        let bytes = state.bytes + batch.iter().map(Record::bytes).sum::<usize>();
        if bytes > MAX_BYTES {
            let reason =
                format!("the memory log is full at {MAX_BYTES} bytes; release what is kept");
            return Err(AppendError::Refused { reason });
        }
        state.bytes = bytes;
        let appended_at_ms = unix_time_ms();
        let mut positions = Vec::with_capacity(batch.len());
        for Record { topic, key, value } in batch {
            let number = self.partition_of(&key);
            if let Some(partition) = state.topics.get_mut(topic).get_mut(number as usize) {
                let position = Position { partition: number, offset: partition.next() };
                partition.entries.push_back(Entry { position, key, value, appended_at_ms });
                positions.push(position);
            }
        }
        drop(state);
        self.changed.send_replace(());
        Ok(positions)
    }

    fn partitions(&self, _topic: Topic) -> u32 {
        self.partitions
    }

    async fn read(
        &self,
        topic: Topic,
        from: Position,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Vec<Entry>, ReadError> {
        let deadline = read_deadline(wait);
        let mut changes = self.changed.subscribe();
        loop {
            let entries =
                self.on(topic, from.partition, |partition| partition.take(from, max_bytes))??;
            if !entries.is_empty() {
                return Ok(entries);
            }
            let Ok(Ok(())) = timeout_at(deadline, changes.changed()).await else {
                return Ok(Vec::new());
            };
        }
    }

    async fn earliest(&self, topic: Topic, partition: u32) -> Result<u64, ReadError> {
        self.on(topic, partition, |partition| partition.first)
    }

    async fn latest(&self, topic: Topic, partition: u32) -> Result<u64, ReadError> {
        self.on(topic, partition, Partition::next)
    }

    async fn release(&self, topic: Topic, upto: Position) -> Result<(), ReadError> {
        let mut state = self.state.lock();
        let mut freed = 0;
        let Some(partition) = state.topics.get_mut(topic).get_mut(upto.partition as usize) else {
            return Err(no_such_partition(topic, upto.partition, self.partitions));
        };
        while partition.first < upto.offset {
            let Some(entry) = partition.entries.pop_front() else { break };
            freed += entry.key.len() + entry.value.len();
            partition.first += 1;
        }
        state.bytes = state.bytes.saturating_sub(freed);
        Ok(())
    }
}
