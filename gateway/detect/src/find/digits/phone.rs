//! Telephone numbers: E.164 with its plus, North American ones with brackets, others beside a word.

use crate::find::edges::{closes, is_word, opens};
use crate::find::{Found, Window, byte};
use crate::kind::Kind;
use crate::mark;

/// ITU-T E.164, 6.2.
pub(super) const MAX_DIGITS: usize = 15;

/// The shortest with a country code.
const MIN_E164: usize = 8;

/// The shortest beside a word.
const MIN_NAMED: usize = 7;

/// Country codes of one and two digits; all others have three.
const SHORT_CODES: &[&[u8]] = &[
    b"1", b"7", b"20", b"27", b"30", b"31", b"32", b"33", b"34", b"36", b"39", b"40", b"41", b"43",
    b"44", b"45", b"46", b"47", b"48", b"49", b"51", b"52", b"53", b"54", b"55", b"56", b"57",
    b"58", b"60", b"61", b"62", b"63", b"64", b"65", b"66", b"81", b"82", b"84", b"86", b"90",
    b"91", b"92", b"93", b"94", b"95", b"98",
];

/// How the three-digit ones begin.
const LONG_CODES: &[&[u8]] = &[
    b"21", b"22", b"23", b"24", b"25", b"26", b"29", b"35", b"37", b"38", b"42", b"50", b"59",
    b"67", b"68", b"69", b"80", b"85", b"87", b"88", b"96", b"97", b"99",
];

pub(super) fn verify(window: Window<'_>, found: &mut Found<'_>) {
    let Window { bytes, anchor } = window;
    match anchor.checked_sub(1).map_or(0, |at| byte(bytes, at)) {
        b'+' => {
            let number = Dialled::read(bytes, anchor);
            let start = anchor - 1;
            if opens(bytes, start, is_word)
                && number.digits().len() >= MIN_E164
                && has_country(number.digits())
                && ends(bytes, number.end)
            {
                found.push(Kind::Phone, start..number.end);
            }
        }
        b'(' => national(bytes, anchor - 1, anchor, found),
        _ => national(bytes, anchor, anchor, found),
    }
}

/// A number without its country.
fn national(bytes: &[u8], start: usize, anchor: usize, found: &mut Found<'_>) {
    if !begins(bytes, start) {
        return;
    }
    let number = Dialled::read(bytes, anchor);
    let range = start..number.end;
    if number.digits().len() < MIN_NAMED || number.is_something_else() || !ends(bytes, number.end) {
        return;
    }
    let north_american =
        start < anchor && number.groups() == [3, 3, 4] && is_north_american(number.digits());
    if north_american || found.has_context(Kind::Phone, &range) {
        found.push(Kind::Phone, range);
    }
}

/// Digits as they are dialled, and how they were grouped.
struct Dialled {
    digits: [u8; MAX_DIGITS],
    length: usize,
    groups: [usize; MAX_DIGITS],
    grouped: usize,
    dotted: bool,
    end: usize,
}

impl Dialled {
    /// As many groups as a number may have, with one or two separators between.
    fn read(bytes: &[u8], start: usize) -> Self {
        let mut number = Self {
            digits: [0; MAX_DIGITS],
            length: 0,
            groups: [0; MAX_DIGITS],
            grouped: 0,
            dotted: true,
            end: start,
        };
        let mut at = start;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let group = rest.iter().take(MAX_DIGITS + 1).take_while(|byte| byte.is_ascii_digit());
            let group = group.count();
            let room = number.digits.get_mut(number.length..number.length + group);
            let (Some(room), false) = (room, group == 0) else { return number };
            room.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            number.dotted &= at == start || at == number.end + 1 && byte(bytes, number.end) == b'.';
            number.length += group;
            number.groups.get_mut(number.grouped).into_iter().for_each(|of| *of = group);
            number.grouped += 1;
            number.end = at + group;
            let separators = bytes.get(number.end..).unwrap_or_default().iter().take(3);
            match separators.take_while(|byte| is_separator(**byte)).count() {
                gap @ 1..=2 => at = number.end + gap,
                _ => return number,
            }
        }
    }

    fn digits(&self) -> &[u8] {
        self.digits.get(..self.length).unwrap_or_default()
    }

    fn groups(&self) -> &[usize] {
        self.groups.get(..self.grouped).unwrap_or_default()
    }

    /// A date, a decimal, or an address of IPv4.
    fn is_something_else(&self) -> bool {
        let groups = self.groups();
        let decimal = self.dotted && groups.len() == 2;
        let date = matches!(groups, [4, 2, 2, ..] | [2, 2, 4, ..]);
        let address = self.dotted && groups.len() == 4 && groups.iter().all(|group| *group <= 3);
        date || decimal || address
    }
}

const fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')' | 0xc2 | 0xa0)
}

/// Whether a number without a plus may begin here: not in the middle of one.
fn begins(bytes: &[u8], start: usize) -> bool {
    if !opens(bytes, start, is_word) {
        return false;
    }
    let Some(before) = start.checked_sub(1) else { return true };
    // Behind a colon stands a number or the rest of a time.
    if !is_separator(byte(bytes, before)) && !matches!(byte(bytes, before), b'+' | b':') {
        return true;
    }
    let inner = before.checked_sub(1).map_or(0, |at| byte(bytes, at));
    !(is_word(inner) && inner.is_ascii_digit()
        || matches!(byte(bytes, before), b'-' | b'.' | b'/') && is_word(inner))
        && mark::ending(bytes, before).is_none()
}

/// Whether a number may end here: what went on behind it may have been masked since.
fn ends(bytes: &[u8], end: usize) -> bool {
    let gaps = bytes.get(end..).unwrap_or_default().iter().take(3);
    let gap = gaps.take_while(|byte| is_separator(**byte)).count();
    closes(bytes, end, is_word) && mark::starting(bytes, end + gap).is_none()
}

fn has_country(digits: &[u8]) -> bool {
    SHORT_CODES.iter().chain(LONG_CODES).any(|code| digits.starts_with(code))
}

/// Area and exchange begin with 2 to 9.
fn is_north_american(digits: &[u8]) -> bool {
    [0, 3].iter().all(|at| matches!(byte(digits, *at), b'2'..=b'9'))
}
