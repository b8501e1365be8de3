//! International bank account numbers (ISO 13616), with the lengths of the SWIFT registry.

use super::read::skip_gap;
use crate::find::checks::mod_97;
use crate::find::edges::{closes, is_word, opens};
use crate::find::{Found, Window, byte};
use crate::kind::Kind;

/// Bytes before a run of digits in which its account number may begin: `KZ86 125K ZT50 0410 0100`.
const BACK_BYTES: usize = 14;

/// Characters in all, by country.
const LENGTHS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// Whether a group of digits behind this byte may be inside an account number.
pub(super) const fn may_precede(byte: u8) -> bool {
    // The last bytes of NBSP and narrow NBSP.
    byte.is_ascii_uppercase() || matches!(byte, b' ' | b'-' | 0xa0 | 0xaf)
}

pub(super) fn verify(window: Window<'_>, found: &mut Found<'_>) {
    let Window { bytes, anchor } = window;
    let from = anchor.saturating_sub(BACK_BYTES);
    let near = bytes.get(from..anchor + 2).unwrap_or_default();
    // Two letters, then two digits: one bit for each byte, since most text has none.
    let bits = |is: fn(&u8) -> bool| {
        near.iter().rev().fold(0u32, |bits, byte| bits << 1 | u32::from(is(byte)))
    };
    let letters = bits(u8::is_ascii_uppercase);
    if letters & letters >> 1 == 0 {
        return;
    }
    let digits = bits(u8::is_ascii_digit);
    let heads = letters & letters >> 1 & digits >> 2 & digits >> 3;
    for place in (0..near.len()).filter(|place| heads >> place & 1 == 1) {
        if let Some(end) = account(bytes, from + place).filter(|end| *end > anchor) {
            found.push(Kind::Iban, from + place..end);
        }
    }
}

/// Where the account number ends that begins at `start`.
fn account(bytes: &[u8], start: usize) -> Option<usize> {
    let head = bytes.get(start..start + 4)?;
    let [one, two, ..] = *head.first_chunk::<4>()?;
    let (_, length) = LENGTHS.iter().find(|(country, _)| **country == [one, two])?;
    if !opens(bytes, start, is_word) {
        return None;
    }
    let gap = match byte(bytes, start + 4) {
        b'-' => Some(b'-'),
        other if is_word(other) => None,
        _ => Some(b' '),
    };
    let mut account = Vec::with_capacity(*length);
    let mut at = start;
    while account.len() < *length {
        if let (Some(gap), 0, true) = (gap, account.len() % 4, at > start) {
            at = skip_gap(bytes, at, gap)?;
        }
        let next = byte(bytes, at);
        if !(next.is_ascii_uppercase() || next.is_ascii_digit()) {
            return None;
        }
        account.push(next);
        at += 1;
    }
    let (head, body) = account.split_at_checked(4)?;
    let right = mod_97(body.iter().chain(head).copied()) == 1;
    (right && closes(bytes, at, is_word)).then_some(at)
}
