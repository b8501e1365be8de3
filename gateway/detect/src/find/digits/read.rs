//! Reading numbers in groups.

use super::MAX_GROUP;
use crate::find::byte;

/// A number that was read, without its separators.
pub(super) struct Number {
    digits: [u8; MAX_GROUP],
    length: usize,
    /// Behind its last digit.
    pub end: usize,
}

impl Number {
    /// Reads groups of exactly these lengths, with these gaps between, of which the last is repeated.
    pub(super) fn read(bytes: &[u8], at: usize, groups: &[usize], gaps: &[u8]) -> Option<Self> {
        let mut number = Self { digits: [0; MAX_GROUP], length: 0, end: at };
        for (place, group) in groups.iter().enumerate() {
            if let Some(gap) = place.checked_sub(1) {
                let gap = gaps.get(gap).or(gaps.last())?;
                number.end = skip_gap(bytes, number.end, *gap)?;
            }
            let digits = bytes.get(number.end..number.end + group)?;
            let room = number.digits.get_mut(number.length..number.length + group)?;
            for (to, from) in room.iter_mut().zip(digits) {
                *to = from.wrapping_sub(b'0');
                if *to > 9 {
                    return None;
                }
            }
            number.length += group;
            number.end += group;
            if byte(bytes, number.end).is_ascii_digit() {
                return None;
            }
        }
        Some(number)
    }

    pub(super) fn digits(&self) -> &[u8] {
        self.digits.get(..self.length).unwrap_or_default()
    }
}

/// Behind one separator: a space may be an ordinary one, NBSP or narrow NBSP.
pub(super) fn skip_gap(bytes: &[u8], at: usize, gap: u8) -> Option<usize> {
    let rest = bytes.get(at..)?;
    if rest.first() == Some(&gap) {
        return Some(at + 1);
    }
    if gap != b' ' {
        return None;
    }
    let wide = ["\u{a0}", "\u{202f}"].into_iter().find(|space| rest.starts_with(space.as_bytes()));
    wide.map(|space| at + space.len())
}

/// How many digits follow, up to one more than any number has.
pub(super) fn digits_from(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    rest.iter().take(MAX_GROUP + 1).take_while(|byte| byte.is_ascii_digit()).count()
}
