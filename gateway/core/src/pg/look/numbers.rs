//! Numbers as their decimal digits: without a sign, and without a fraction that is nothing.

use std::borrow::Cow;

use crate::pg::read::Reader;

/// Digits of a numeric that are looked at on either side of the point: no number that is looked for is longer.
const MAX_GROUPS: usize = 16;
/// Digits of one group.
const GROUP: usize = 4;
/// Signs of a numeric that is a number; others are infinite, or no number.
const SIGNS: [u16; 2] = [0x0000, 0x4000];

/// Of a number in text format.
pub(super) fn written(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let value = value.strip_prefix(b"-").unwrap_or(value);
    let Some(point) = value.iter().position(|byte| *byte == b'.') else {
        return Some(Cow::Borrowed(value));
    };
    let (whole, fraction) = value.split_at_checked(point)?;
    let is_whole = fraction.iter().skip(1).all(|byte| *byte == b'0');
    Some(Cow::Borrowed(if is_whole { whole } else { value }))
}

/// Of an `int4` in binary format.
pub(super) fn int4(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let number = i32::from_be_bytes(value.try_into().ok()?);
    Some(Cow::Owned(number.unsigned_abs().to_string().into_bytes()))
}

/// Of an `int8` in binary format.
pub(super) fn int8(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let number = i64::from_be_bytes(value.try_into().ok()?);
    Some(Cow::Owned(number.unsigned_abs().to_string().into_bytes()))
}

/// Of a `numeric` in binary format: groups of four digits, of which the first has the weight of so many powers of 10,000
/// (`src/backend/utils/adt/numeric.c`, `numeric_send`).
pub(super) fn numeric(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut reader = Reader::new(value, "numeric");
    let count = reader.count().ok()?;
    let weight = reader.i16().ok()?;
    let sign = u16::try_from(reader.count().ok()?).ok()?;
    let _scale = reader.i16().ok()?;
    let mut groups = Vec::with_capacity(count.min(2 * MAX_GROUPS));
    for _ in 0..count {
        groups.push(reader.i16().ok().filter(|group| (0..10_000).contains(group))?);
    }
    reader.end().ok()?;
    // Longer ones are no number that is looked for, nor are those below 1.
    let wholes = usize::try_from(i32::from(weight) + 1).unwrap_or_default();
    if !SIGNS.contains(&sign) || !(1..=MAX_GROUPS).contains(&wholes) {
        return Some(Cow::Borrowed(b""));
    }
    let mut digits = String::with_capacity((wholes + MAX_GROUPS) * GROUP);
    for place in 0..wholes {
        digits.push_str(&format!("{:04}", groups.get(place).copied().unwrap_or_default()));
    }
    let digits = digits.trim_start_matches('0');
    let fraction = groups.iter().skip(wholes).take(MAX_GROUPS);
    let fraction: String = fraction.map(|group| format!("{group:04}")).collect();
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    Some(Cow::Owned(format!("{digits}{point}{fraction}").into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(count: u16, weight: i16, sign: u16, groups: &[u16]) -> Option<String> {
        let mut value = [count, weight.cast_unsigned(), sign, 2].map(u16::to_be_bytes).concat();
        groups.iter().for_each(|group| value.extend_from_slice(&group.to_be_bytes()));
        numeric(&value).map(|digits| String::from_utf8(digits.into_owned()).unwrap())
    }

    #[test]
    fn numerics_are_read_as_they_would_be_written() {
        for (weight, groups, wanted) in [
            (3, &[4111, 1111, 1111, 1111][..], "4111111111111111"),
            (4, &[411, 1111], "4111111000000000000"),
            (1, &[12], "120000"),
            (0, &[7, 5000], "7.5"),
            (0, &[7, 5], "7.0005"),
            (-1, &[5000], ""),
        ] {
            let count = u16::try_from(groups.len()).unwrap();
            for sign in SIGNS {
                assert_eq!(read(count, weight, sign, groups).unwrap(), wanted);
            }
        }
        assert_eq!(read(0, 0, 0xC000, &[]).unwrap(), "", "not a number");
        assert_eq!(read(1, i16::MAX, 0, &[1]).unwrap(), "", "longer than anything");
        assert_eq!(read(1, 0, 0, &[10_000]), None);
        assert_eq!(read(2, 0, 0, &[1]), None);
        assert_eq!(read(0, 0, 0, &[1]), None);
    }

    #[test]
    fn what_is_around_the_digits_of_a_number_is_left_out() {
        for (text, digits) in [
            ("4111", "4111"),
            ("-4111", "4111"),
            ("4111.00", "4111"),
            ("4111.50", "4111.50"),
            ("NaN", "NaN"),
        ] {
            assert_eq!(&*written(text.as_bytes()).unwrap(), digits.as_bytes());
        }
        assert_eq!(&*int8(&(-4111_i64).to_be_bytes()).unwrap(), b"4111");
        assert_eq!(&*int8(&i64::MIN.to_be_bytes()).unwrap(), b"9223372036854775808");
        assert_eq!(&*int4(&123_456_789_i32.to_be_bytes()).unwrap(), b"123456789");
        assert_eq!((int8(b""), int4(b"12345678")), (None, None));
    }
}
