//! Numbers of people with letters in them.

use std::ops::Range;

use super::ids::is_nir_key;
use super::read::{Number, skip_gap};
use crate::find::checks::{is_date, number};
use crate::find::edges::{closes, is_word, opens_number};
use crate::find::{Found, Window, byte};
use crate::kind::{Kind, Kinds};

/// Where a number is, if it is one.
type Verdict = fn(Window<'_>, &mut Found<'_>) -> Option<Range<usize>>;

/// What all of these have in common: the window, and the length of the group of digits at its anchor.
pub(super) fn verify(window: Window<'_>, first: usize, kinds: Kinds, found: &mut Found<'_>) {
    let tries: &[(Kind, Verdict)] = match first {
        1 => &[(Kind::FrNir, corsican)],
        2 => &[(Kind::UkNino, nino), (Kind::DeSocialInsurance, social_insurance)],
        6 => &[(Kind::UkNino, nino), (Kind::FiHetu, hetu), (Kind::FrNir, corsican)],
        7 => &[(Kind::EsDni, nie)],
        8 => &[(Kind::EsDni, dni), (Kind::DeSocialInsurance, social_insurance)],
        _ => return,
    };
    for (kind, verdict) in tries.iter().filter(|(kind, _)| kinds.contains(*kind)) {
        if let Some(range) = verdict(window, found) {
            found.push(*kind, range);
        }
    }
}

/// The range if it stands free.
fn free(bytes: &[u8], range: Range<usize>) -> Option<Range<usize>> {
    (opens_number(bytes, range.start) && closes(bytes, range.end, is_word)).then_some(range)
}

/// Two letters, six digits in one group or three, a letter from A to D. Without spaces it needs context.
fn nino(window: Window<'_>, found: &mut Found<'_>) -> Option<Range<usize>> {
    let Window { bytes, anchor } = window;
    let spaced = Number::read(bytes, anchor, &[2, 2, 2], b" ");
    let (start, end) = match &spaced {
        Some(digits) if anchor.checked_sub(1).is_some_and(|at| byte(bytes, at) == b' ') => {
            (anchor.checked_sub(3)?, skip_gap(bytes, digits.end, b' ')? + 1)
        }
        Some(_) => return None,
        None => (anchor.checked_sub(2)?, Number::read(bytes, anchor, &[6], b"")?.end + 1),
    };
    let prefix = bytes.get(start..start + 2)?;
    let (first, second) = (byte(prefix, 0), byte(prefix, 1));
    let allowed = first.is_ascii_uppercase()
        && second.is_ascii_uppercase()
        && !b"DFIQUV".contains(&first)
        && !b"DFIQUVO".contains(&second)
        && ![b"BG", b"GB", b"NK", b"KN", b"TN", b"NT", b"ZZ"].iter().any(|no| *no == prefix);
    let range = free(bytes, start..end)?;
    let named = spaced.is_some() || found.has_context(Kind::UkNino, &range);
    (allowed && matches!(byte(bytes, end - 1), b'A'..=b'D') && named).then_some(range)
}

/// Area, date of birth, initial, serial; the check digit is over the letter's two digits too.
fn social_insurance(window: Window<'_>, _: &mut Found<'_>) -> Option<Range<usize>> {
    let Window { bytes, anchor } = window;
    let (digits, gap) = match Number::read(bytes, anchor, &[8], b"") {
        Some(digits) => (digits, false),
        None => (Number::read(bytes, anchor, &[2, 6], b" ")?, true),
    };
    let behind = |at| if gap { skip_gap(bytes, at, b' ') } else { Some(at) };
    let letter_at = behind(digits.end)?;
    let letter = byte(bytes, letter_at);
    if !letter.is_ascii_uppercase() {
        return None;
    }
    let serial = Number::read(bytes, behind(letter_at + 1)?, &[3], b"")?;
    let letter = letter - b'A' + 1;
    let mut all: Vec<u8> = digits.digits().to_vec();
    all.extend([letter / 10, letter % 10]);
    all.extend(serial.digits().iter().take(2));
    let weights = [2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1];
    let products = all.iter().zip(weights).map(|(digit, weight)| u32::from(*digit) * weight);
    let sum: u32 = products.map(|product| product / 10 + product % 10).sum();
    let (day, month) = (all.get(2..4).map(number)?, all.get(4..6).map(number)?);
    let right = Some(sum % 10) == serial.digits().last().copied().map(u32::from);
    (right && is_date(day, month)).then(|| free(bytes, anchor..serial.end)).flatten()
}

/// A date, the sign of the century, three digits and a character of their rest by 31.
fn hetu(window: Window<'_>, found: &mut Found<'_>) -> Option<Range<usize>> {
    const CHARACTERS: &[u8] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";
    let Window { bytes, anchor } = window;
    let date = Number::read(bytes, anchor, &[6], b"")?;
    let sign = byte(bytes, date.end);
    let serial = bytes.get(date.end + 1..date.end + 4)?;
    if !b"+-ABCDEFUVWXY".contains(&sign) || !serial.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let whole = serial
        .iter()
        .fold(number(date.digits()), |whole, digit| whole * 10 + u64::from(digit - b'0'));
    let check = *CHARACTERS.get(usize::try_from(whole % 31).ok()?)?;
    let end = date.end + 5;
    let (day, month) = (date.digits().get(..2).map(number)?, date.digits().get(2..4).map(number)?);
    let range = free(bytes, anchor..end)?;
    let digits_alone = check.is_ascii_digit() && !sign.is_ascii_uppercase();
    let named = !digits_alone || found.has_context(Kind::FiHetu, &range);
    (byte(bytes, end - 1) == check && is_date(day, month) && named).then_some(range)
}

/// Eight digits and a letter.
fn dni(window: Window<'_>, found: &mut Found<'_>) -> Option<Range<usize>> {
    let Window { bytes, anchor } = window;
    spanish(window, anchor, Number::read(bytes, anchor, &[8], b"")?, 0, found)
}

/// X, Y or Z for the first digit.
fn nie(window: Window<'_>, found: &mut Found<'_>) -> Option<Range<usize>> {
    let Window { bytes, anchor } = window;
    let before = anchor.checked_sub(1)?;
    let start = if byte(bytes, before) == b'-' { before.checked_sub(1)? } else { before };
    let first = match byte(bytes, start) {
        letter @ b'X'..=b'Z' => letter - b'X',
        _ => return None,
    };
    spanish(window, start, Number::read(bytes, anchor, &[7], b"")?, first, found)
}

fn spanish(
    window: Window<'_>,
    start: usize,
    digits: Number,
    first: u8,
    found: &mut Found<'_>,
) -> Option<Range<usize>> {
    const LETTERS: &[u8] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let bytes = window.bytes;
    let at = digits.end + usize::from(byte(bytes, digits.end) == b'-');
    let whole = u64::from(first) * 10_000_000 + number(digits.digits());
    let check = *LETTERS.get(usize::try_from(whole % 23).ok()?)?;
    let range = free(bytes, start..at + 1)?;
    let right = byte(bytes, at).to_ascii_uppercase() == check;
    (right && found.has_context(Kind::EsDni, &range)).then_some(range)
}

/// A NIR of Corsica, where the department is 2A or 2B: reckoned as 19 and 18.
fn corsican(window: Window<'_>, found: &mut Found<'_>) -> Option<Range<usize>> {
    let Window { bytes, anchor } = window;
    let spaced = byte(bytes, anchor + 1) == b' ';
    let gap = |at| if spaced { skip_gap(bytes, at, b' ') } else { Some(at) };
    let (head, groups): (&[usize], &[usize]) =
        if spaced { (&[1, 2, 2, 1], &[3, 3, 2]) } else { (&[6], &[8]) };
    let head = Number::read(bytes, anchor, head, b" ")?;
    let department = match byte(bytes, head.end) {
        b'A' => 19,
        b'B' => 18,
        _ => return None,
    };
    let rest = Number::read(bytes, gap(head.end + 1)?, groups, b" ")?;
    let (head, rest_digits) = (head.digits(), rest.digits());
    let birth = head.get(..5).map(number)?;
    let (order, key) = (rest_digits.get(..6).map(number)?, rest_digits.get(6..8).map(number)?);
    let whole = (birth * 100 + department) * 1_000_000 + order;
    let range = free(bytes, anchor..rest.end)?;
    let right = head.get(5) == Some(&2) && matches!(byte(head, 0), 1 | 2) && is_nir_key(whole, key);
    (right && (spaced || found.has_context(Kind::FrNir, &range))).then_some(range)
}
