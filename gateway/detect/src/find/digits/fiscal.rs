//! The Italian codice fiscale (DM 12 March 1974): sixteen characters, of which no six digits stand together.

use std::ops::Range;

use crate::find::edges::{closes, is_word, opens};
use crate::find::{Found, Window, byte};
use crate::kind::Kind;

/// Characters of a code.
const LENGTH: usize = 16;

/// Where its digits begin.
const FIRST_DIGIT: usize = 6;

/// Places that are looked at in one word: the ten bits from the first digit on must be in it.
const PLACES: usize = 64 - 10;

pub(super) fn find(anchors: Range<usize>, found: &mut Found<'_>) {
    let view = found.view;
    let mut at = anchors.start;
    while at < anchors.end {
        let mut places = candidates(digit_mask(view, at + FIRST_DIGIT)) & ((1 << PLACES) - 1);
        while places != 0 {
            let anchor = at + places.trailing_zeros() as usize;
            places &= places - 1;
            if anchor < anchors.end {
                found.at(anchor, verify);
            }
        }
        at += PLACES;
    }
}

/// Where `dd.dd.ddd.` may be: two digits, a letter, two digits, a letter, three digits, a letter.
const fn candidates(digits: u64) -> u64 {
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

/// One bit for each of 64 bytes: whether it is a digit.
fn digit_mask(view: &[u8], from: usize) -> u64 {
    let Some(rest) = view.get(from..) else { return 0 };
    let mut padded = [0; 64];
    let block = match rest.first_chunk::<64>() {
        Some(block) => block,
        None => {
            padded.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            &padded
        }
    };
    let (words, _) = block.as_chunks::<8>();
    words.iter().rev().fold(0, |mask, word| mask << 8 | digits_of(u64::from_le_bytes(*word)))
}

/// The same for eight bytes in one word, without a branch.
const fn digits_of(word: u64) -> u64 {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Digits become 0 to 9, all else more; then 118 more sets the high bit of what is over 9.
    let values = word ^ 0x3030_3030_3030_3030;
    let over = ((values & !HIGH) + 0x7676_7676_7676_7676) | values;
    let digits = (!over & HIGH) >> 7;
    digits.wrapping_mul(0x0102_0408_1020_4080) >> 56
}

fn verify(window: Window<'_>, found: &mut Found<'_>) {
    let Window { bytes, anchor } = window;
    let end = anchor + LENGTH;
    let Some(code) = bytes.get(anchor..end) else { return };
    let upper = code.to_ascii_uppercase();
    let one_case = code.iter().all(|byte| !byte.is_ascii_lowercase())
        || code.iter().all(|byte| !byte.is_ascii_uppercase());
    if one_case && is_code(&upper) && opens(bytes, anchor) && closes(bytes, end, is_word) {
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
