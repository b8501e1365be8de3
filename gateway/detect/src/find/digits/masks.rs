//! 64 bytes at a time: where digits are, and where numbers may be. Written so that the compiler makes vectors of it.

use crate::find::byte;

/// Bytes that one mask is of.
pub(super) const WIDTH: usize = 64;

/// One bit for each of 64 bytes, and of the 64 after them: the first byte is the lowest bit.
#[derive(Clone, Copy, Default)]
pub(super) struct Masks {
    pub digits: u128,
    /// Digits and what may stand between them.
    pub run: u128,
}

/// Walks over a view in steps of 64 bytes.
pub(super) struct Walk<'t> {
    view: &'t [u8],
    at: usize,
    next: Masks,
    inside: bool,
}

impl<'t> Walk<'t> {
    pub(super) fn from(view: &'t [u8], at: usize) -> Self {
        let inside = at.checked_sub(1).is_some_and(|before| byte(view, before).is_ascii_digit());
        Self { view, at, next: Masks::of(view, at), inside }
    }

    /// The masks of the next 64 bytes with those after them, and where groups of digits begin.
    pub(super) fn step(&mut self) -> (Masks, u64) {
        let here = self.next;
        self.at += WIDTH;
        self.next = Masks::of(self.view, self.at);
        let masks = Masks {
            digits: here.digits | self.next.digits << WIDTH,
            run: here.run | self.next.run << WIDTH,
        };
        let starts = masks.digits & !(masks.digits << 1 | u128::from(self.inside));
        self.inside = here.digits >> (WIDTH - 1) & 1 == 1;
        (masks, low(starts))
    }
}

impl Masks {
    fn of(view: &[u8], from: usize) -> Self {
        let Some(rest) = view.get(from..) else { return Self::default() };
        let mut padded = [0; WIDTH];
        let block = match rest.first_chunk::<WIDTH>() {
            Some(block) => block,
            None => {
                padded.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
                &padded
            }
        };
        Self { digits: bits(block, is_digit), run: bits(block, may_be_in_run) }
    }
}

/// The bits of the first 64 bytes.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is asked for")]
pub(super) const fn low(mask: u128) -> u64 {
    mask as u64
}

const fn is_digit(byte: u8) -> bool {
    byte.wrapping_sub(b'0') < 10
}

/// More than [`super::in_run`] says, and cheaper to say: all of UTF-8 beyond ASCII.
const fn may_be_in_run(byte: u8) -> bool {
    // Bitwise, as a vector would.
    is_digit(byte)
        | (byte.wrapping_sub(b'(') < 8) & (byte != b',')
        | (byte == b' ')
        | (byte >= 0x80)
}

#[inline(always)]
fn bits(block: &[u8; WIDTH], is: impl Fn(u8) -> bool) -> u128 {
    let mut flags = [0u8; WIDTH];
    for (flag, byte) in flags.iter_mut().zip(block) {
        *flag = u8::from(is(*byte));
    }
    let (words, _) = flags.as_chunks::<8>();
    let eight =
        |word: &[u8; 8]| u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    words.iter().rev().fold(0u64, |mask, word| mask << 8 | eight(word)).into()
}
