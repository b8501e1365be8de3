//! Payment cards (ISO/IEC 7812): issuers by the first digits, lengths, Luhn.

use crate::find::checks::{luhn, number};

/// First digits from and to, and the lengths of cards that begin so.
const ISSUERS: &[(u64, u64, &[usize])] = &[
    (34, 34, &[15]), // American Express
    (37, 37, &[15]),
    (300, 305, &[14, 16, 19]), // Diners Club
    (36, 36, &[14, 16, 19]),
    (38, 39, &[14, 16, 19]),
    (3528, 3589, &[16, 17, 18, 19]), // JCB
    (4, 4, &[13, 16, 19]),           // Visa
    (51, 55, &[16]),                 // Mastercard
    (2221, 2720, &[16]),
    (2200, 2204, &[16, 17, 18, 19]), // Mir
    (6011, 6011, &[16, 17, 18, 19]), // Discover
    (644, 659, &[16, 17, 18, 19]),
    (62, 62, &[16, 17, 18, 19]), // UnionPay
    (81, 82, &[16]),             // RuPay
    (508, 508, &[16]),
    (60, 60, &[16]),
    (5018, 5018, &[12, 13, 14, 15, 16, 17, 18, 19]), // Maestro
    (5020, 5020, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (5038, 5038, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (5893, 5893, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (6304, 6304, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (6759, 6759, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (6761, 6763, &[12, 13, 14, 15, 16, 17, 18, 19]),
    (9792, 9792, &[16]), // Troy
];

pub(super) fn is_card(digits: &[u8]) -> bool {
    luhn(digits)
        && ISSUERS.iter().any(|(from, to, lengths)| {
            let prefix = digits.get(..from.ilog10() as usize + 1).map(number);
            prefix.is_some_and(|prefix| (*from..=*to).contains(&prefix))
                && lengths.contains(&digits.len())
        })
}
