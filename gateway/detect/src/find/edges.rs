//! Where a value may begin and end. A mark of ours is no edge: what did not stand free before it was masked does not after.

use super::byte;
use crate::mark;

/// Part of a word, of a number or of an identifier.
pub(super) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether a token may begin at `at`: what stands before it is not of this alphabet.
pub(super) fn opens(bytes: &[u8], at: usize, alphabet: fn(u8) -> bool) -> bool {
    let Some(before) = at.checked_sub(1) else { return true };
    (!alphabet(byte(bytes, before)) || is_escape(bytes, before))
        && mark::ending(bytes, at).is_none()
}

/// Whether a token may end at `end`: what follows is not of its alphabet.
pub(super) fn closes(bytes: &[u8], end: usize, alphabet: fn(u8) -> bool) -> bool {
    bytes.get(end).is_none_or(|next| !alphabet(*next)) && mark::starting(bytes, end).is_none()
}

/// Whether a number may begin at `at`: not inside a word, a decimal or a longer chain of numbers.
pub(super) fn opens_number(bytes: &[u8], at: usize) -> bool {
    if !opens(bytes, at, is_word) {
        return false;
    }
    let Some(before) = at.checked_sub(1) else { return true };
    match byte(bytes, before) {
        b'-' | b'.' => {
            let inner = before.checked_sub(1).map_or(0, |inner| byte(bytes, inner));
            !is_word(inner) && mark::ending(bytes, before).is_none()
        }
        _ => true,
    }
}

/// Whether a number may end at `end`: what follows goes on with neither it nor a chain of numbers.
pub(super) fn closes_number(bytes: &[u8], end: usize) -> bool {
    if !closes(bytes, end, is_word) {
        return false;
    }
    match byte(bytes, end) {
        b'-' => !is_word(byte(bytes, end + 1)) && mark::starting(bytes, end + 1).is_none(),
        b'.' => !byte(bytes, end + 1).is_ascii_digit() && mark::starting(bytes, end + 1).is_none(),
        _ => true,
    }
}

/// Whether a number in groups is whole: no further group stands before or after it.
pub(super) fn is_whole(bytes: &[u8], start: usize, end: usize, separator: u8) -> bool {
    let before = match start.checked_sub(1) {
        Some(gap) if byte(bytes, gap) == separator => {
            let digit = gap.checked_sub(1).is_some_and(|at| byte(bytes, at).is_ascii_digit());
            digit || mark::ending(bytes, gap).is_some()
        }
        _ => false,
    };
    let after = byte(bytes, end) == separator
        && (byte(bytes, end + 1).is_ascii_digit() || mark::starting(bytes, end + 1).is_some());
    !before && !after
}

/// Whether the letter at `at` is that of an escape: `\n` in a JSON text is a line break and no letter.
pub(super) fn is_escape(bytes: &[u8], at: usize) -> bool {
    let slashes = bytes.get(..at).unwrap_or_default().iter().rev().take(4);
    let slashes = slashes.take_while(|byte| **byte == b'\\').count();
    matches!(byte(bytes, at), b'n' | b'r' | b't') && slashes % 2 == 1
}
