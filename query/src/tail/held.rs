//! What is held of one partition: pieces in order, without a hole, as they were read until somebody asks. Sans-IO.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use tallyport_eventlog::Entry;

/// Undecoded pieces that are decoded into one batch, in bytes: to decode a few events by themselves costs many times
/// what they cost in company.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// What an entry weighs beside its key and value, in bytes.
const ENTRY_BYTES: usize = size_of::<Entry>();

/// Events of one partition, from [`Self::start`] up to [`Self::next`].
#[derive(Debug, Default)]
pub(super) struct Held {
    pieces: VecDeque<Piece>,
    start: u64,
    next: u64,
    bytes: usize,
    undecoded: usize,
}

/// Events that follow the piece before.
#[derive(Debug)]
struct Piece {
    /// Ends before this offset.
    next: u64,
    form: Form,
    bytes: usize,
}

#[derive(Debug)]
enum Form {
    /// As it was read.
    Entries(Arc<Vec<Entry>>),
    /// Absent when none of them could be decoded.
    Rows(Option<RecordBatch>),
}

/// What is held of a range.
#[derive(Debug, Default)]
pub(super) struct Slice {
    /// The rows of what is decoded.
    pub(super) batches: Vec<RecordBatch>,
    /// What has to be decoded. It may begin before the slice and end behind it.
    pub(super) groups: Vec<Group>,
    /// Where it begins: at or after what was asked for.
    pub(super) from: u64,
    /// Where it ends: at or before what was asked for.
    pub(super) goal: u64,
}

/// Pieces, one after the other, that are not decoded.
#[derive(Debug)]
pub(super) struct Group {
    start: u64,
    next: u64,
    bytes: usize,
    /// Their entries.
    pub(super) entries: Vec<Arc<Vec<Entry>>>,
}

impl Slice {
    /// Nothing is held of `from..`; all of it lies after what is held.
    pub(super) const fn nothing(from: u64) -> Self {
        Self { batches: Vec::new(), groups: Vec::new(), from, goal: from }
    }
}

impl Held {
    /// Where to read on.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// How many offsets it spans.
    pub(super) const fn offsets(&self) -> u64 {
        self.next.saturating_sub(self.start)
    }

    /// What it weighs, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What of it is not decoded, in bytes: what the next question has to decode.
    pub(super) const fn undecoded(&self) -> usize {
        self.undecoded
    }

    /// Forgets everything and begins at `start`.
    pub(super) fn restart(&mut self, start: u64) {
        *self = Self { start, next: start, ..Self::default() };
    }

    /// Adds what was read from [`Self::next`] on; the read ended before `next`.
    pub(super) fn push(&mut self, next: u64, entries: Vec<Entry>) {
        let weight = |entry: &Entry| ENTRY_BYTES + entry.key.len() + entry.value.len();
        let bytes = entries.iter().map(weight).sum();
        self.bytes = self.bytes.saturating_add(bytes);
        self.undecoded = self.undecoded.saturating_add(bytes);
        self.next = next;
        self.pieces.push_back(Piece { next, form: Form::Entries(Arc::new(entries)), bytes });
    }

    /// Drops the pieces that lie wholly before `upto`.
    pub(super) fn trim(&mut self, upto: u64) {
        while let Some(piece) = self.pieces.pop_front_if(|piece| piece.next <= upto) {
            self.start = piece.next;
            self.forget(&piece);
        }
        if self.next < upto {
            self.restart(upto);
        }
    }

    /// What is held with an offset in `from..goal`.
    pub(super) fn slice(&self, from: u64, goal: u64) -> Slice {
        let (begin, end) = (from.max(self.start), goal.min(self.next));
        if begin >= end {
            return Slice::nothing(from);
        }
        let mut slice = Slice { from: begin, goal: end, ..Slice::default() };
        let mut start = self.start;
        for piece in &self.pieces {
            if start >= end {
                break;
            }
            match &piece.form {
                _ if piece.next <= begin => {}
                Form::Rows(None) => {}
                Form::Rows(Some(batch)) => slice.batches.push(between(batch, begin, end)),
                Form::Entries(entries) => gather(&mut slice.groups, start, piece, entries),
            }
            start = piece.next;
        }
        slice.batches.retain(|batch| batch.num_rows() > 0);
        slice
    }

    /// Holds the rows of `group` in the place of its entries, unless they were dropped meanwhile, or all would weigh
    /// more than `max_bytes` then.
    pub(super) fn adopt(&mut self, group: &Group, rows: Option<RecordBatch>, max_bytes: usize) {
        let bytes = rows.as_ref().map_or(0, RecordBatch::get_array_memory_size);
        if self.bytes.saturating_sub(group.bytes).saturating_add(bytes) > max_bytes {
            return;
        }
        let first = match group.start == self.start {
            true => Some(0),
            false => {
                self.pieces.iter().position(|piece| piece.next == group.start).map(|at| at + 1)
            }
        };
        let last = self.pieces.iter().position(|piece| piece.next == group.next);
        let (Some(first), Some(last)) = (first, last) else { return };
        // An offset is read once between two restarts: what lies between is what was decoded.
        let old: Vec<Piece> = self.pieces.drain(first..=last).collect();
        for piece in &old {
            self.forget(piece);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.pieces.insert(first, Piece { next: group.next, form: Form::Rows(rows), bytes });
    }

    fn forget(&mut self, piece: &Piece) {
        self.bytes = self.bytes.saturating_sub(piece.bytes);
        if let Form::Entries(_) = piece.form {
            self.undecoded = self.undecoded.saturating_sub(piece.bytes);
        }
    }
}

/// Adds a piece to the last group that it follows and that has room, or begins another.
fn gather(groups: &mut Vec<Group>, start: u64, piece: &Piece, entries: &Arc<Vec<Entry>>) {
    let fits = |group: &&mut Group| {
        group.next == start && group.bytes.saturating_add(piece.bytes) <= GROUP_BYTES
    };
    if let Some(group) = groups.last_mut().filter(fits) {
        group.next = piece.next;
        group.bytes += piece.bytes;
        group.entries.push(Arc::clone(entries));
        return;
    }
    let entries = vec![Arc::clone(entries)];
    groups.push(Group { start, next: piece.next, bytes: piece.bytes, entries });
}

/// The rows of `batch`, which are in the order of the log, with an offset in `from..goal`.
pub(super) fn between(batch: &RecordBatch, from: u64, goal: u64) -> RecordBatch {
    let offsets =
        batch.column_by_name("log_offset").and_then(|c| c.as_primitive_opt::<Int64Type>());
    let Some(offsets) = offsets else { return batch.slice(0, 0) };
    let before = |bound: u64| {
        let bound = i64::try_from(bound).unwrap_or(i64::MAX);
        offsets.values().partition_point(|offset| *offset < bound).min(offsets.len())
    };
    let (first, end) = (before(from), before(goal));
    batch.slice(first, end.saturating_sub(first))
}

#[cfg(test)]
mod tests;
