//! Seeded mutations. Execution `n` of a seed is the same on every machine, however far others got.

/// The longest input that is made.
pub const MAX_BYTES: usize = 4096;

/// SplitMix64 (Steele, Lea and Flood 2014): small, and good enough to choose mutations.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator of one execution.
    #[must_use]
    pub const fn new(seed: u64, execution: u64) -> Self {
        Self(seed ^ execution.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 for 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % (end.max(1) as u64)) as usize
    }

    /// One of them.
    pub fn choose<'a, T: ?Sized>(&mut self, all: &'a [&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

/// Values at which counts and lengths go wrong.
const EDGES: [u32; 12] =
    [0, 1, 2, 3, 0x7f, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/// One of `kept`, changed one to eight times.
#[must_use]
pub fn mutated(random: &mut Random, kept: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
    let mut input = kept.get(random.below(kept.len())).cloned().unwrap_or_default();
    for _ in 0..=random.below(8) {
        change(random, &mut input, kept, words);
    }
    input.truncate(MAX_BYTES);
    input
}

fn change(random: &mut Random, input: &mut Vec<u8>, kept: &[Vec<u8>], words: &[&[u8]]) {
    let at = random.below(input.len());
    let length = 1 + random.below(16);
    let end = (at + length).min(input.len());
    match random.below(11) {
        0 if !input.is_empty() => input[at] ^= 1 << random.below(8),
        1 if !input.is_empty() => input[at] = random.number() as u8,
        2 => {
            let noise: Vec<u8> = (0..length).map(|_| random.number() as u8).collect();
            input.splice(at..at, noise);
        }
        3 => drop(input.drain(at..end)),
        4 => {
            let again = input[at..end].to_vec();
            for _ in 0..=random.below(4) {
                input.splice(at..at, again.iter().copied());
            }
        }
        5 => input.truncate(at),
        6 => length_field(random, input, at),
        7 => number(random, input),
        8 if !words.is_empty() => {
            let word = random.choose(words);
            input.splice(at..at, word.iter().copied());
        }
        9 if !words.is_empty() => {
            let word = random.choose(words);
            let end = (at + word.len()).min(input.len());
            input.splice(at..end, word.iter().copied());
        }
        _ => {
            let other = &kept[random.below(kept.len())];
            let from = random.below(other.len());
            let end = if random.below(2) == 0 { input.len() } else { at };
            input.splice(at..end, other[from..].iter().copied());
        }
    }
}

/// Sets or shifts what may be a length of one, two or four bytes, of either byte order.
fn length_field(random: &mut Random, input: &mut [u8], at: usize) {
    let width = [1, 2, 4][random.below(3)];
    let Some(field) = input.get_mut(at..at + width) else { return };
    let old = field.iter().fold(0_u32, |value, byte| (value << 8) | u32::from(*byte));
    let new = match random.below(4) {
        0 => old.wrapping_add(1),
        1 => old.wrapping_sub(1),
        _ => EDGES[random.below(EDGES.len())],
    };
    let bytes = new.to_be_bytes();
    field.copy_from_slice(&bytes[4 - width..]);
    if random.below(4) == 0 {
        field.reverse();
    }
}

/// Replaces a run of digits by an edge.
fn number(random: &mut Random, input: &mut Vec<u8>) {
    const NUMBERS: [&str; 9] =
        ["0", "-1", "1", "255", "65536", "4294967296", "9223372036854775807", "1e999", "0.5"];
    let digits: Vec<usize> = (0..input.len()).filter(|at| input[*at].is_ascii_digit()).collect();
    let Some(from) = digits.get(random.below(digits.len())).copied() else { return };
    let run = input[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let new = NUMBERS[random.below(NUMBERS.len())];
    input.splice(from..from + run, new.bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execution_of_a_seed_is_the_same_every_time() {
        let kept = [b"SELECT 1".to_vec(), b"length\0\0\0\x08".to_vec()];
        let made = |seed| {
            (0..200)
                .map(|n| mutated(&mut Random::new(seed, n), &kept, &[b"word"]))
                .collect::<Vec<_>>()
        };
        assert_eq!(made(7), made(7));
        assert_ne!(made(7), made(8));
        assert!(made(7).iter().all(|input| input.len() <= MAX_BYTES));
    }

    #[test]
    fn nothing_kept_is_no_trouble() {
        for n in 0..200 {
            let _made = mutated(&mut Random::new(1, n), &[Vec::new()], &[]);
        }
    }
}
