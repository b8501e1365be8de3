//! What is held of one partition: decoded pieces, in order, without a hole. Sans-IO.

use std::collections::VecDeque;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;

/// Decoded events of one partition, from [`Self::start`] up to [`Self::next`].
#[derive(Debug, Default)]
pub(super) struct Held {
    pieces: VecDeque<Piece>,
    start: u64,
    next: u64,
    bytes: usize,
}

/// Events of one read.
#[derive(Debug)]
struct Piece {
    /// Ends before this offset.
    next: u64,
    /// Absent when none of them could be decoded.
    batch: Option<RecordBatch>,
    bytes: usize,
}

/// What is held of a range.
#[derive(Debug, Default)]
pub(super) struct Slice {
    /// The rows.
    pub(super) batches: Vec<RecordBatch>,
    /// Where it begins: at or after what was asked for.
    pub(super) from: u64,
    /// Where it ends: at or before what was asked for.
    pub(super) goal: u64,
}

impl Slice {
    /// Nothing is held of `from..goal`; all of it lies after what is held.
    pub(super) const fn nothing(from: u64, _goal: u64) -> Self {
        Self { batches: Vec::new(), from, goal: from }
    }
}

impl Held {
    /// Where to read on.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// What it weighs, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets everything and begins at `start`.
    pub(super) fn restart(&mut self, start: u64) {
        *self = Self { start, next: start, ..Self::default() };
    }

    /// Adds what was read from [`Self::next`] on; the read ended before `next`.
    pub(super) fn push(&mut self, next: u64, batch: Option<RecordBatch>) {
        let bytes = batch.as_ref().map_or(0, RecordBatch::get_array_memory_size);
        self.bytes = self.bytes.saturating_add(bytes);
        self.next = next;
        self.pieces.push_back(Piece { next, batch, bytes });
    }

    /// Drops the pieces that lie wholly before `upto`.
    pub(super) fn trim(&mut self, upto: u64) {
        while let Some(piece) = self.pieces.pop_front_if(|piece| piece.next <= upto) {
            self.start = piece.next;
            self.bytes = self.bytes.saturating_sub(piece.bytes);
        }
        if self.next < upto {
            self.restart(upto);
        }
    }

    /// The rows with an offset in `from..goal` that are held.
    pub(super) fn slice(&self, from: u64, goal: u64) -> Slice {
        let (begin, end) = (from.max(self.start), goal.min(self.next));
        if begin >= end {
            return Slice::nothing(from, goal);
        }
        let batches = self
            .pieces
            .iter()
            .filter(|piece| piece.next > begin)
            .filter_map(|piece| piece.batch.as_ref())
            .map(|batch| between(batch, begin, end))
            .filter(|batch| batch.num_rows() > 0)
            .collect();
        Slice { batches, from: begin, goal: end }
    }
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
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn batch(offsets: &[i64]) -> RecordBatch {
        let offsets: ArrayRef = Arc::new(Int64Array::from(offsets.to_vec()));
        RecordBatch::try_from_iter([("log_offset", offsets)]).unwrap()
    }

    /// 10, 11, 13 | nothing decodable in 14..20 | 20, 25
    fn held() -> Held {
        let mut held = Held::default();
        held.restart(10);
        held.push(14, Some(batch(&[10, 11, 13])));
        held.push(20, None);
        held.push(26, Some(batch(&[20, 25])));
        held
    }

    fn offsets(slice: &Slice) -> Vec<i64> {
        let of =
            |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
        slice.batches.iter().flat_map(of).collect()
    }

    #[test]
    fn every_range_has_exactly_its_rows_and_says_what_it_lacks() {
        let held = held();
        let all = [10_i64, 11, 13, 20, 25];
        for from in 0..32_u64 {
            for goal in from..32 {
                let slice = held.slice(from, goal);
                let (begin, end) = (slice.from, slice.goal);
                assert!(from <= begin && begin <= end && end <= goal.max(from), "{from}..{goal}");
                let want: Vec<_> = all
                    .into_iter()
                    .filter(|o| (begin..end).contains(&u64::try_from(*o).unwrap()))
                    .collect();
                assert_eq!(offsets(&slice), want, "{from}..{goal}");
                let in_reach = (from.max(10)..goal.min(26)).count();
                assert_eq!((end - begin) as usize, in_reach, "{from}..{goal} gives all it can");
            }
        }
    }

    #[test]
    fn trimming_drops_whole_pieces_only_and_counts_bytes() {
        let mut held = held();
        let full = held.bytes();
        held.trim(13);
        assert_eq!(
            (held.bytes(), held.slice(13, 26).from),
            (full, 13),
            "offset 13 is still needed"
        );
        held.trim(14);
        assert!(held.bytes() < full);
        assert_eq!(held.slice(0, 26).from, 14);
        assert_eq!(offsets(&held.slice(14, 26)), [20, 25]);
        held.trim(26);
        assert_eq!((held.bytes(), held.next()), (0, 26));
    }

    #[test]
    fn a_snapshot_beyond_what_is_held_moves_the_reader_on() {
        let mut held = held();
        held.trim(100);
        assert_eq!((held.next(), held.bytes()), (100, 0));
        assert!(held.slice(100, 120).batches.is_empty());
    }
}
