//! Checksums, over digits as numbers from 0 to 9.

/// ISO/IEC 7812-1, annex B.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let values = digits.iter().rev().enumerate().map(|(place, digit)| {
        let value = u32::from(*digit) << (place % 2);
        value / 10 + value % 10
    });
    values.sum::<u32>() % 10 == 0
}

/// The sum of digits by weights; what is longer is left out.
pub(super) fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| u32::from(*digit) * weight).sum()
}

/// The digits as one number: up to 19 of them.
pub(super) fn number(digits: &[u8]) -> u64 {
    digits
        .iter()
        .fold(0, |number: u64, digit| number.wrapping_mul(10).wrapping_add(u64::from(*digit)))
}

/// ISO/IEC 7064 MOD 97-10 over letters and digits (ISO 13616): 1 when right.
pub(super) fn mod_97(text: impl Iterator<Item = u8>) -> u32 {
    text.fold(0, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        b'A'..=b'Z' => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
        _ => rest,
    })
}

/// ISO/IEC 7064 MOD 11,10, with the check digit last.
pub(super) fn mod_11_10(digits: &[u8]) -> bool {
    let Some((check, digits)) = digits.split_last() else { return false };
    let product = digits.iter().fold(10, |product, digit| {
        let sum = (u32::from(*digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == u32::from(*check)
}

/// Verhoeff's check, by the dihedral group of order ten.
pub(super) fn verhoeff(digits: &[u8]) -> bool {
    let check = digits.iter().rev().enumerate().fold(0, |check, (place, digit)| {
        let permuted = (0..place % 8).fold(*digit, |digit, _| permute(digit));
        dihedral(check, permuted)
    });
    check == 0
}

/// 0 to 4 are rotations, 5 to 9 reflections of a pentagon.
const fn dihedral(one: u8, other: u8) -> u8 {
    match (one < 5, other < 5) {
        (true, true) => (one + other) % 5,
        (true, false) => 5 + (one + other) % 5,
        (false, true) => 5 + (one + 5 - other) % 5,
        (false, false) => (one + 5 - other) % 5,
    }
}

/// The permutation that Verhoeff applies once more at each place.
fn permute(digit: u8) -> u8 {
    const NEXT: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    NEXT.get(usize::from(digit)).copied().unwrap_or_default()
}

/// The last six characters of GitHub's and npm's tokens: the CRC-32 of the rest behind the prefix, in base 62.
pub(super) fn base62_crc(body: &[u8]) -> bool {
    let Some((random, check)) = body.split_last_chunk::<6>() else { return false };
    let mut rest = crc32fast::hash(random);
    check.iter().rev().all(|shown| {
        let digit = u8::try_from(rest % 62).unwrap_or_default();
        rest /= 62;
        let letter = match digit {
            0..=9 => b'0' + digit,
            10..=35 => b'A' + digit - 10,
            _ => b'a' + digit - 36,
        };
        letter == *shown
    })
}

/// A day that there may be.
pub(super) const fn is_date(day: u64, month: u64) -> bool {
    day >= 1 && day <= 31 && month >= 1 && month <= 12
}
