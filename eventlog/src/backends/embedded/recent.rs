//! What was appended last, kept in memory for those who follow the log: they need not read it back from the disk.

use std::collections::VecDeque;
use std::ops::Range;

use parking_lot::Mutex;

use crate::backends::{PerTopic, ReadBudget};
use crate::{Entry, Topic};

/// Bytes of values kept per topic.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The end of each topic, in order and without a gap. Only what is durable gets in.
#[derive(Debug, Default)]
pub(super) struct Recent {
    topics: Mutex<PerTopic<Tail>>,
}

#[derive(Debug, Default)]
struct Tail {
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Recent {
    /// Takes note of what is durable now. What does not follow on what was noted before replaces it.
    pub(super) fn note(&self, topic: Topic, entries: Vec<Entry>) {
        let mut topics = self.topics.lock();
        let tail = topics.get_mut(topic);
        for entry in entries {
            let follows = |last: &Entry| last.position.offset + 1 == entry.position.offset;
            if !tail.entries.back().is_none_or(follows) {
                *tail = Tail::default();
            }
            tail.bytes += size(&entry);
            tail.entries.push_back(entry);
        }
        while tail.bytes > MAX_BYTES {
            let Some(oldest) = tail.entries.pop_front() else { break };
            tail.bytes -= size(&oldest);
        }
    }

    /// Entries of `range` from its start on; `None` when its start is not here.
    pub(super) fn read(
        &self,
        topic: Topic,
        range: Range<u64>,
        max_bytes: usize,
    ) -> Option<Vec<Entry>> {
        let topics = self.topics.lock();
        let tail = topics.get(topic);
        let first = tail.entries.front()?.position.offset;
        let from = usize::try_from(range.start.checked_sub(first)?).ok()?;
        let mut budget = ReadBudget::new(max_bytes);
        let entries: Vec<Entry> = tail
            .entries
            .range(from.min(tail.entries.len())..)
            .take_while(|entry| entry.position.offset < range.end && budget.take(entry.value.len()))
            .cloned()
            .collect();
        (!entries.is_empty()).then_some(entries)
    }
}

fn size(entry: &Entry) -> usize {
    entry.key.len() + entry.value.len() + size_of::<Entry>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Position;

    fn entry(offset: u64, bytes: usize) -> Entry {
        Entry {
            position: Position { partition: 0, offset },
            key: "k".into(),
            value: vec![0; bytes].into(),
            appended_at_ms: 0,
        }
    }

    fn offsets(recent: &Recent, range: Range<u64>, max_bytes: usize) -> Option<Vec<u64>> {
        let entries = recent.read(Topic::Audit, range, max_bytes)?;
        Some(entries.iter().map(|entry| entry.position.offset).collect())
    }

    #[test]
    fn it_gives_what_it_has_from_the_start_of_the_range() {
        let recent = Recent::default();
        assert_eq!(offsets(&recent, 0..9, 100), None);
        recent.note(Topic::Audit, (5..9).map(|offset| entry(offset, 10)).collect());
        assert_eq!(offsets(&recent, 4..9, 100), None, "its start is on the disk only");
        assert_eq!(offsets(&recent, 6..8, 100), Some(vec![6, 7]));
        assert_eq!(offsets(&recent, 5..9, 25), Some(vec![5, 6]));
        assert_eq!(offsets(&recent, 5..9, 1), Some(vec![5]), "one is always given");
        assert_eq!(offsets(&recent, 9..12, 100), None);
        assert_eq!(recent.read(Topic::Control, 5..9, 100), None);
    }

    #[test]
    fn it_is_bounded_and_never_has_a_gap() {
        let recent = Recent::default();
        recent.note(Topic::Audit, (0..20).map(|offset| entry(offset, 1 << 20)).collect());
        assert!(recent.topics.lock().audit.bytes <= MAX_BYTES);
        assert_eq!(offsets(&recent, 12..20, usize::MAX), None);
        assert_eq!(offsets(&recent, 13..20, usize::MAX), Some((13..20).collect()));
        recent.note(Topic::Audit, vec![entry(30, 1)]);
        assert_eq!(offsets(&recent, 19..31, usize::MAX), None);
        assert_eq!(offsets(&recent, 30..31, usize::MAX), Some(vec![30]));
    }
}
