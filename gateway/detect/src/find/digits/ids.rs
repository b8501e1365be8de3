//! Numbers of digits alone: how each is written, and its check.

use super::cards::is_card;
use crate::find::checks::{is_date, luhn, mod_11_10, number, verhoeff, weighted};
use crate::kind::Kind;

/// One way to write a kind of number.
pub(super) struct Format {
    pub kind: Kind,
    /// How many digits are in each group.
    pub groups: &'static [usize],
    /// What is between the groups; the last is repeated.
    pub gaps: &'static [u8],
    pub check: fn(&[u8]) -> bool,
    /// Whether a word near it must say what it is.
    pub needs_context: bool,
    /// Whether more groups may follow: an expiry date stands behind a card.
    pub may_go_on: bool,
}

const fn bare(
    kind: Kind,
    groups: &'static [usize],
    gaps: &'static [u8],
    check: fn(&[u8]) -> bool,
) -> Format {
    Format { kind, groups, gaps, check, needs_context: false, may_go_on: false }
}

const fn named(
    kind: Kind,
    groups: &'static [usize],
    gaps: &'static [u8],
    check: fn(&[u8]) -> bool,
) -> Format {
    Format { kind, groups, gaps, check, needs_context: true, may_go_on: false }
}

const fn card(groups: &'static [usize], gaps: &'static [u8]) -> Format {
    Format { may_go_on: true, ..bare(Kind::PaymentCard, groups, gaps, is_card) }
}

pub(super) const FORMATS: &[Format] = &[
    card(&[16], b""),
    card(&[15], b""),
    named(Kind::PaymentCard, &[12], b"", is_card),
    named(Kind::PaymentCard, &[13], b"", is_card),
    named(Kind::PaymentCard, &[14], b"", is_card),
    named(Kind::PaymentCard, &[17], b"", is_card),
    named(Kind::PaymentCard, &[18], b"", is_card),
    named(Kind::PaymentCard, &[19], b"", is_card),
    card(&[4, 4, 4, 4], b" "),
    card(&[4, 4, 4, 4], b"-"),
    card(&[4, 4, 4, 4, 3], b" "),
    card(&[4, 4, 4, 4, 3], b"-"),
    card(&[4, 6, 5], b" "),
    card(&[4, 6, 5], b"-"),
    card(&[4, 6, 4], b" "),
    card(&[4, 6, 4], b"-"),
    bare(Kind::UsSsn, &[3, 2, 4], b"-", is_ssn),
    named(Kind::UsSsn, &[3, 2, 4], b" ", is_ssn),
    named(Kind::UsSsn, &[9], b"", is_ssn),
    bare(Kind::FrNir, &[1, 2, 2, 2, 3, 3, 2], b" ", is_nir),
    named(Kind::FrNir, &[15], b"", is_nir),
    named(Kind::FrNir, &[13, 2], b" ", is_nir),
    bare(Kind::ChAhv, &[3, 4, 4, 2], b".", is_ahv),
    named(Kind::ChAhv, &[13], b"", is_ahv),
    bare(Kind::BeNationalNumber, &[2, 2, 2, 3, 2], b"..-.", is_be),
    named(Kind::BeNationalNumber, &[11], b"", is_be),
    bare(Kind::BrCpf, &[3, 3, 3, 2], b"..-", is_cpf),
    named(Kind::BrCpf, &[11], b"", is_cpf),
    named(Kind::NoFodselsnummer, &[11], b"", is_no),
    named(Kind::NoFodselsnummer, &[6, 5], b" ", is_no),
    named(Kind::PlPesel, &[11], b"", is_pesel),
    named(Kind::DeSteuerId, &[11], b"", is_steuer_id),
    named(Kind::DeSteuerId, &[2, 3, 3, 3], b" ", is_steuer_id),
    named(Kind::InAadhaar, &[12], b"", is_aadhaar),
    named(Kind::InAadhaar, &[4, 4, 4], b" ", is_aadhaar),
    named(Kind::InAadhaar, &[4, 4, 4], b"-", is_aadhaar),
    named(Kind::SePersonnummer, &[10], b"", is_se),
    named(Kind::SePersonnummer, &[12], b"", is_se),
    named(Kind::SePersonnummer, &[6, 4], b"-", is_se),
    named(Kind::SePersonnummer, &[6, 4], b"+", is_se),
    named(Kind::SePersonnummer, &[8, 4], b"-", is_se),
    named(Kind::DkCpr, &[10], b"", is_cpr),
    named(Kind::DkCpr, &[6, 4], b"-", is_cpr),
    named(Kind::NlBsn, &[9], b"", is_bsn),
    named(Kind::NlBsn, &[4, 2, 3], b".", is_bsn),
];

/// The number that some digits make; 0 where they are not.
fn part(digits: &[u8], from: usize, until: usize) -> u64 {
    digits.get(from..until).map_or(0, number)
}

fn digit(digits: &[u8], at: usize) -> u32 {
    digits.get(at).copied().map_or(0, u32::from)
}

/// Numbers that were never given out; there is no checksum.
fn is_ssn(digits: &[u8]) -> bool {
    let (area, group, serial) = (part(digits, 0, 3), part(digits, 3, 5), part(digits, 5, 9));
    area != 0 && area != 666 && area < 900 && group != 0 && serial != 0
}

/// Sex, year, month, then place and order, and 97 less the rest by 97.
fn is_nir(digits: &[u8]) -> bool {
    let month = part(digits, 3, 5);
    matches!(digit(digits, 0), 1..=4 | 7 | 8)
        && matches!(month, 1..=12 | 20..=42 | 50..=99)
        && is_nir_key(part(digits, 0, 13), part(digits, 13, 15))
}

pub(super) const fn is_nir_key(number: u64, key: u64) -> bool {
    97 - number % 97 == key
}

/// EAN-13 with the country's 756.
fn is_ahv(digits: &[u8]) -> bool {
    part(digits, 0, 3) == 756
        && weighted(digits, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10)
}

/// 97 less the rest by 97 of the first nine, which a 2 is put before for births from 2000 on.
fn is_be(digits: &[u8]) -> bool {
    let (month, day) = (part(digits, 2, 4), part(digits, 4, 6));
    // Months from 20 on and 40 on are of bis numbers; 0 is an unknown date.
    let dated = month % 20 <= 12 && month < 53 && day <= 31;
    let (body, check) = (part(digits, 0, 9), part(digits, 9, 11));
    let right = |body: u64| 97 - body % 97 == check;
    dated && body != 0 && (right(body) || right(body + 2_000_000_000))
}

fn is_cpf(digits: &[u8]) -> bool {
    let check = |length: usize, weights: &[u32]| {
        let rest = weighted(digits, weights) * 10 % 11 % 10;
        rest == digit(digits, length)
    };
    digits.iter().any(|one| Some(one) != digits.first())
        && check(9, &[10, 9, 8, 7, 6, 5, 4, 3, 2])
        && check(10, &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2])
}

/// A D number has 40 added to its day. The control digits as they are given out until 2032.
fn is_no(digits: &[u8]) -> bool {
    let (day, month) = (part(digits, 0, 2), part(digits, 2, 4));
    is_date(if day > 40 { day - 40 } else { day }, month)
        && weighted(digits, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]).is_multiple_of(11)
        && weighted(digits, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11)
}

/// The century is in the month: 20, 40, 60 or 80 added.
fn is_pesel(digits: &[u8]) -> bool {
    is_date(part(digits, 4, 6), part(digits, 2, 4) % 20)
        && weighted(digits, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]).is_multiple_of(10)
}

/// Of the first ten digits one comes twice or three times, and not three times in a row.
fn is_steuer_id(digits: &[u8]) -> bool {
    let Some(body) = digits.get(..10) else { return false };
    let counts: Vec<usize> =
        (0..10).map(|value| body.iter().filter(|digit| **digit == value).count()).collect();
    let (twice, thrice) = (
        counts.iter().filter(|count| **count == 2).count(),
        counts.iter().filter(|count| **count == 3).count(),
    );
    let spread =
        counts.iter().all(|count| *count <= 3) && matches!((twice, thrice), (1, 0) | (0, 1));
    let in_a_row =
        body.windows(3).any(|three| three.iter().all(|digit| Some(digit) == three.first()));
    digit(digits, 0) != 0 && spread && !in_a_row && mod_11_10(digits)
}

fn is_aadhaar(digits: &[u8]) -> bool {
    digit(digits, 0) >= 2 && verhoeff(digits)
}

/// The last ten digits count. A samordningsnummer has 60 added to its day.
fn is_se(digits: &[u8]) -> bool {
    let Some(short) = digits.len().checked_sub(10).and_then(|from| digits.get(from..)) else {
        return false;
    };
    let century = digits.len() == 10 || matches!(part(digits, 0, 2), 18..=20);
    let day = part(short, 4, 6);
    century && is_date(if day > 60 { day - 60 } else { day }, part(short, 2, 4)) && luhn(short)
}

/// A date and nothing more: since 2007 numbers are given out that fail the old check.
fn is_cpr(digits: &[u8]) -> bool {
    is_date(part(digits, 0, 2), part(digits, 2, 4))
}

/// The test of eleven: the last digit counts negatively.
fn is_bsn(digits: &[u8]) -> bool {
    let sum = weighted(digits, &[9, 8, 7, 6, 5, 4, 3, 2]) + 10 * digit(digits, 8);
    sum.is_multiple_of(11) && part(digits, 0, 9) > 9_999_999
}
