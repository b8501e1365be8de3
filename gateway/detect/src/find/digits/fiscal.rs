//! The Italian codice fiscale (DM 12 March 1974): sixteen characters, of which no six digits stand together.

use crate::find::edges::{closes, is_word, opens};
use crate::find::{Found, Window, byte};
use crate::kind::Kind;

/// Characters of a code.
const LENGTH: usize = 16;

/// Where its digits begin.
const FIRST_DIGIT: usize = 6;

/// Where a code may begin, by the digits that follow: two digits, a letter, two digits, a letter, three digits, a letter.
pub(super) const fn candidates(digits: u128) -> u128 {
    let digits = digits >> FIRST_DIGIT;
    digits
        & (digits >> 1)
        & !(digits >> 2)
        & (digits >> 3)
        & (digits >> 4)
        & !(digits >> 5)
        & (digits >> 6)
        & (digits >> 7)
        & (digits >> 8)
        & !(digits >> 9)
}

pub(super) fn verify(window: Window<'_>, found: &mut Found<'_>) {
    let Window { bytes, anchor } = window;
    let end = anchor + LENGTH;
    let Some(code) = bytes.get(anchor..end).and_then(<[u8]>::first_chunk::<LENGTH>) else { return };
    let upper = code.map(|byte| byte.to_ascii_uppercase());
    let one_case = code.iter().all(|byte| !byte.is_ascii_lowercase())
        || code.iter().all(|byte| !byte.is_ascii_uppercase());
    if one_case && is_code(&upper) && opens(bytes, anchor, is_word) && closes(bytes, end, is_word) {
        found.push(Kind::ItCodiceFiscale, anchor..end);
    }
}

fn is_code(code: &[u8]) -> bool {
    let letters = [0, 1, 2, 3, 4, 5, 8, 11, 15];
    let day = u32::from(byte(code, 9).wrapping_sub(b'0')) * 10
        + u32::from(byte(code, 10).wrapping_sub(b'0'));
    letters.iter().all(|at| byte(code, *at).is_ascii_uppercase())
        && b"ABCDEHLMPRST".contains(&byte(code, 8))
        // Women have 40 added to the day.
        && matches!(day, 1..=31 | 41..=71)
        && check(code) == Some(byte(code, LENGTH - 1))
}

/// The letter of the sum by 26; characters at odd places have values of their own.
fn check(code: &[u8]) -> Option<u8> {
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    let mut sum = 0;
    for (place, character) in code.iter().take(LENGTH - 1).enumerate() {
        let value = match character {
            b'0'..=b'9' => character - b'0',
            _ => character.checked_sub(b'A')?,
        };
        sum += if place % 2 == 0 { *ODD.get(usize::from(value))? } else { u32::from(value) };
    }
    u8::try_from(sum % 26).ok().map(|rest| b'A' + rest)
}
