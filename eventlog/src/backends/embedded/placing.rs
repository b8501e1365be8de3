//! Which offsets records get, and which of them one block holds. Pure data, no IO.

use super::block::MAX_BLOCK_BYTES;
use super::store::Span;
use crate::backends::{PerTopic, unix_time_ms};
use crate::{Entry, Position, Record};

/// Records with their offsets.
#[derive(Debug, Default)]
pub(super) struct Placed {
    pub(super) records: PerTopic<Vec<Entry>>,
    /// In the order of the batch.
    pub(super) positions: Vec<Position>,
}

/// Gives every record the next offset of its topic.
pub(super) fn place(mut kept: PerTopic<Span>, batch: &[Record]) -> (Placed, PerTopic<Span>) {
    let appended_at_ms = unix_time_ms();
    let mut placed = Placed::default();
    for record in batch {
        let span = kept.get_mut(record.topic);
        let position = Position { partition: 0, offset: span.next };
        span.next += 1;
        placed.positions.push(position);
        placed.records.get_mut(record.topic).push(Entry {
            position,
            key: record.key.clone(),
            value: record.value.clone(),
            appended_at_ms,
        });
    }
    (placed, kept)
}

/// Cuts entries into what one block holds.
pub(super) fn blocks(entries: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    let mut bytes = 0;
    entries.chunk_by(move |entry, _next| {
        bytes += entry.key.len() + entry.value.len();
        let more = bytes < MAX_BLOCK_BYTES;
        bytes = if more { bytes } else { 0 };
        more
    })
}
