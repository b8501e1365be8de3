//! Sets of whole numbers, one for each group, as blocks of 64: what lies close together takes a bit each.

use datafusion::common::HashMap;

/// The numbers of all groups.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// By group and block, which numbers of the block are there.
    blocks: HashMap<(usize, i64), u64>,
    /// By group, how many numbers there are.
    counts: Vec<i64>,
}

/// A block and which of its numbers are there.
pub(super) type Block = (i64, u64);

/// The block of `number`, with it alone.
pub(super) const fn block_of(number: i64) -> Block {
    let numbers = u64::BITS as i64;
    (number.div_euclid(numbers), 1 << number.rem_euclid(numbers))
}

impl Numbers {
    pub(super) const fn groups(&self) -> usize {
        self.counts.len()
    }

    /// There are at least so many groups from now on.
    pub(super) fn grow(&mut self, groups: usize) {
        self.counts.resize(groups.max(self.counts.len()), 0);
    }

    /// `group` has the numbers of a block, too.
    pub(super) fn add(&mut self, group: usize, (block, bits): Block) {
        let there = self.blocks.entry((group, block)).or_default();
        let new = bits & !*there;
        *there |= new;
        if let Some(count) = self.counts.get_mut(group) {
            *count += i64::from(new.count_ones());
        }
    }

    /// How many numbers each of the first `groups` has; see [`Self::take`].
    pub(super) fn take_counts(&mut self, groups: usize) -> Vec<i64> {
        self.let_go(groups, |_, _| {})
    }

    /// The blocks of each of the first `groups`, which are forgotten. Those behind them move up.
    pub(super) fn take(&mut self, groups: usize) -> Vec<Vec<Block>> {
        let mut taken = vec![Vec::new(); groups];
        let _counts = self.let_go(groups, |group, block| {
            if let Some(blocks) = taken.get_mut(group) {
                blocks.push(block);
            }
        });
        taken
    }

    fn let_go(&mut self, groups: usize, mut each: impl FnMut(usize, Block)) -> Vec<i64> {
        let behind = self.counts.split_off(groups.min(self.counts.len()));
        for ((group, block), bits) in std::mem::take(&mut self.blocks) {
            match group.checked_sub(groups) {
                Some(group) => drop(self.blocks.insert((group, block), bits)),
                None => each(group, (block, bits)),
            }
        }
        std::mem::replace(&mut self.counts, behind)
    }

    /// What it takes of memory, and once more what it will when it is taken: then the blocks are here and there.
    pub(super) fn bytes(&self) -> usize {
        let counts = self.counts.capacity() * size_of::<i64>();
        size_of::<Self>() + 2 * self.blocks.allocation_size() + counts
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn with(numbers: impl IntoIterator<Item = (usize, i64)>) -> Numbers {
        let mut all = Numbers::default();
        for (group, number) in numbers {
            all.grow(group + 1);
            all.add(group, block_of(number));
        }
        all
    }

    #[test]
    fn each_number_counts_once_wherever_it_lies() {
        let edges =
            [0, 1, -1, 63, 64, -63, -64, -65, i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1];
        let distinct: HashSet<i64> = edges.into_iter().collect();
        let twice = edges.into_iter().chain(edges).map(|number| (1, number));
        let counts = with(twice).take_counts(2);
        assert_eq!(counts, [0, i64::try_from(distinct.len()).unwrap()]);
    }

    #[test]
    fn groups_are_apart_and_those_behind_move_up() {
        let mut all = with([(0, 1), (1, 1), (1, 2), (2, 1), (2, 2), (2, 300)]);
        assert_eq!(all.take_counts(1), [1]);
        assert_eq!(all.groups(), 2);
        assert_eq!(all.take(1), [vec![(0, 0b110)]]);
        all.add(0, block_of(300));
        assert_eq!(all.take_counts(1), [3]);
        assert_eq!((all.groups(), all.take_counts(0)), (0, Vec::new()));
    }

    /// A million dense numbers, as a writer of the log has: a set of hashes takes 17 MB and more.
    #[test]
    fn dense_numbers_take_little_memory() {
        let dense = with((0..1_000_000).map(|number| (0, number)));
        assert!(dense.bytes() < 2_000_000, "{}", dense.bytes());
        let apart = with((0..1_000).map(|number| (0, number << 32)));
        assert!(apart.bytes() > 48 * 1_000, "what is taken is said: {}", apart.bytes());
    }
}
