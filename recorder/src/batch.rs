//! What was read from one partition and is not in the lake yet. No IO.

use arrow::error::ArrowError;
use tallyport_eventlog::Entry;
use tallyport_schemas::arrow::EventBatchBuilder;
use tallyport_schemas::ocsf;

use crate::config::CommitPolicy;
use crate::dead_letter::DeadLetter;
use crate::error::IntegrityError;
use crate::fingerprint::fingerprint;
use crate::lake::SORTED_BY;
use crate::rows::Rows;

/// Records of one partition, decoded, up to `next`.
#[derive(Debug)]
pub(crate) struct Pending {
    partition: u32,
    /// The offset after its last record.
    pub(crate) next: u64,
    /// The [`fingerprint`] of its last record.
    pub(crate) last: Option<u64>,
    /// Of the oldest record.
    pub(crate) oldest_ms: Option<i64>,
    pub(crate) dead: Vec<DeadLetter>,
    dead_bytes: usize,
    events: EventBatchBuilder,
}

impl Pending {
    /// `bytes` are about what it comes to: their room is asked for once, and taken as they come.
    pub(crate) fn new(partition: u32, from: u64, bytes: usize) -> Self {
        Self {
            partition,
            next: from,
            last: None,
            oldest_ms: None,
            dead: Vec::new(),
            dead_bytes: 0,
            events: EventBatchBuilder::with_capacity(bytes),
        }
    }

    /// Decodes and takes `entries`. What cannot be decoded becomes a dead letter; nothing is left out.
    ///
    /// # Errors
    /// When an offset is before the one that is due: the log is damaged then.
    pub(crate) fn absorb(&mut self, entries: Vec<Entry>) -> Result<(), IntegrityError> {
        self.last = entries.last().map(|last| fingerprint(&last.value)).or(self.last);
        for entry in entries {
            let offset = entry.position.offset;
            if offset < self.next {
                return Err(IntegrityError::OutOfOrder {
                    partition: self.partition,
                    offset,
                    expected: self.next,
                });
            }
            self.next = offset.saturating_add(1);
            self.oldest_ms = self.oldest_ms.or(Some(entry.appended_at_ms));
            match ocsf::decode(&entry.value) {
                Ok(event) => self.events.push(
                    &event,
                    &entry.value,
                    self.partition,
                    offset,
                    entry.appended_at_ms,
                ),
                Err(error) => {
                    self.dead_bytes += entry.key.len() + entry.value.len();
                    self.dead.push(DeadLetter { entry, error: error.to_string() });
                }
            }
        }
        Ok(())
    }

    pub(crate) fn rows(&self) -> usize {
        self.events.len() + self.dead.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    pub(crate) fn is_full(&self, policy: &CommitPolicy) -> bool {
        self.rows() >= policy.max_rows || self.events.bytes() + self.dead_bytes >= policy.max_bytes
    }

    /// The events, sorted.
    pub(crate) fn into_events(self) -> Result<Rows, ArrowError> {
        Rows::sorted(self.events.finish()?, &SORTED_BY)
    }
}

#[cfg(test)]
mod tests;
