//! Numbers that were not acknowledged and that the log does not explain yet.

use tallyport_schemas::{GapOutcome, Integrity};

/// One range of numbers with one outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) first_seq: u64,
    /// Inclusive.
    pub(super) last_seq: u64,
    pub(super) outcome: GapOutcome,
    pub(super) reason: String,
}

impl Gap {
    pub(super) fn event(&self) -> Integrity {
        Integrity::Gap {
            first_seq: self.first_seq,
            last_seq: self.last_seq,
            outcome: self.outcome,
            reason: self.reason.clone(),
        }
    }
}

/// Unexplained ranges in ascending order, neighbours of one outcome merged.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    ranges: Vec<Gap>,
}

impl Gaps {
    /// Beyond so many, neighbours of different outcomes merge too, as unknown: the weaker claim is true of both. Ranges
    /// that are no neighbours have an acknowledged append between them, and those that the queue holds are few.
    const MAX_RANGES: usize = 256;

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.ranges.len()
    }

    pub(super) fn as_slice(&self) -> &[Gap] {
        &self.ranges
    }

    /// Notes a range that shares no number with those noted before.
    pub(super) fn add(&mut self, gap: Gap) {
        let at = self.ranges.partition_point(|known| known.first_seq < gap.first_seq);
        self.ranges.insert(at, gap);
        let full = self.ranges.len() > Self::MAX_RANGES;
        self.ranges.dedup_by(|next, known| {
            let alike = known.outcome == next.outcome;
            let one = known.last_seq + 1 == next.first_seq && (alike || full);
            if one {
                known.last_seq = next.last_seq;
                known.outcome = if alike { known.outcome } else { GapOutcome::Unknown };
            }
            one
        });
    }

    /// Forgets the numbers of `explained`. A range may have grown since it was explained: the rest of it stays.
    pub(super) fn explained(&mut self, explained: &[Gap]) {
        for done in explained {
            let rest = |gap: Gap| {
                let apart = gap.last_seq < done.first_seq || done.last_seq < gap.first_seq;
                let below = Gap { last_seq: done.first_seq.saturating_sub(1), ..gap.clone() };
                let above = Gap { first_seq: done.last_seq + 1, ..gap.clone() };
                let has_below = !apart && gap.first_seq < done.first_seq;
                let has_above = !apart && done.last_seq < gap.last_seq;
                [(apart, gap), (has_below, below), (has_above, above)]
            };
            let ranges = std::mem::take(&mut self.ranges).into_iter().flat_map(rest);
            self.ranges = ranges.filter_map(|(kept, gap)| kept.then_some(gap)).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(first_seq: u64, last_seq: u64, outcome: GapOutcome) -> Gap {
        Gap { first_seq, last_seq, outcome, reason: "r".to_owned() }
    }

    #[test]
    fn neighbours_of_one_outcome_merge_and_others_do_not() {
        let mut gaps = Gaps::default();
        gaps.add(gap(1, 2, GapOutcome::Unknown));
        gaps.add(gap(3, 3, GapOutcome::Unknown));
        gaps.add(gap(4, 5, GapOutcome::NotPersisted));
        gaps.add(gap(7, 7, GapOutcome::NotPersisted));
        let ranges: Vec<_> = gaps.as_slice().iter().map(|g| (g.first_seq, g.last_seq)).collect();
        assert_eq!(ranges, [(1, 3), (4, 5), (7, 7)]);
    }

    #[test]
    fn a_range_noted_late_takes_its_place() {
        let mut gaps = Gaps::default();
        gaps.add(gap(5, 6, GapOutcome::NotPersisted));
        gaps.add(gap(1, 4, GapOutcome::NotPersisted));
        assert_eq!(gaps.as_slice(), [gap(1, 6, GapOutcome::NotPersisted)]);
        gaps.explained(&[gap(3, 4, GapOutcome::NotPersisted)]);
        let kept = [gap(1, 2, GapOutcome::NotPersisted), gap(5, 6, GapOutcome::NotPersisted)];
        assert_eq!(gaps.as_slice(), kept);
    }

    #[test]
    fn the_number_of_ranges_is_bounded_and_no_number_is_forgotten() {
        let mut gaps = Gaps::default();
        for seq in 0..10_000 {
            let outcomes = [GapOutcome::Unknown, GapOutcome::NotPersisted];
            gaps.add(gap(seq, seq, outcomes[usize::from(seq % 2 == 0)]));
            assert!(gaps.len() <= Gaps::MAX_RANGES + 1);
        }
        let covered: u64 = gaps.as_slice().iter().map(|gap| gap.last_seq - gap.first_seq + 1).sum();
        assert_eq!(covered, 10_000);
        assert!(
            gaps.as_slice()
                .iter()
                .all(|gap| gap.first_seq == gap.last_seq || gap.outcome == GapOutcome::Unknown)
        );
    }

    #[test]
    fn a_range_that_grew_after_its_explanation_keeps_the_rest() {
        let mut gaps = Gaps::default();
        gaps.add(gap(1, 2, GapOutcome::Unknown));
        let explained = gaps.as_slice().to_vec();
        gaps.add(gap(3, 9, GapOutcome::Unknown));
        gaps.explained(&explained);
        assert_eq!(gaps.as_slice(), [gap(3, 9, GapOutcome::Unknown)]);
        let explained = gaps.as_slice().to_vec();
        gaps.explained(&explained);
        assert!(gaps.is_empty());
    }
}
