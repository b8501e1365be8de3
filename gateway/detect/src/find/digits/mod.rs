//! What is made of digits: cards, accounts, numbers of people, telephones.
//!
//! An anchor is where a group of digits begins that has [`MIN_DIGITS`] digits in its run.

mod cards;
mod fiscal;
mod iban;
mod ids;
mod letters;
mod phone;
mod read;

use std::ops::Range;

use self::ids::{FORMATS, Format};
use self::read::{Number, digits_from};
use super::edges::{closes_number, is_whole, opens_number};
use super::{Found, Window, byte};
use crate::kind::{Group, Kind, Kinds};

/// What all kinds of this module have, with separators between at most.
const MIN_DIGITS: usize = 6;

/// Bytes in which they must be.
const MIN_DIGITS_WITHIN: usize = 64;

/// More digits in a row than any kind has.
const MAX_GROUP: usize = 20;

/// Finds numbers of a set of kinds.
pub(super) struct Digits {
    kinds: Kinds,
    any: bool,
    /// By the length of the first group.
    formats: Vec<Vec<&'static Format>>,
}

impl Digits {
    pub(super) fn new(kinds: Kinds) -> Self {
        let mut formats: Vec<Vec<&'static Format>> = vec![Vec::new(); MAX_GROUP + 1];
        for format in FORMATS.iter().filter(|format| kinds.contains(format.kind)) {
            let first = format.groups.first().copied().unwrap_or_default();
            formats.get_mut(first).into_iter().for_each(|of| of.push(format));
        }
        let of = Kinds::of(Group::NationalIds).union(Kinds::of(Group::Financial));
        Self { kinds, any: kinds.intersects(of.union(Kind::Phone.into())), formats }
    }

    pub(super) fn find(&self, anchors: Range<usize>, found: &mut Found<'_>) {
        if self.any {
            self.runs(anchors.clone(), found);
        }
        if self.kinds.contains(Kind::ItCodiceFiscale) {
            fiscal::find(anchors, found);
        }
    }

    /// A run has as many bytes as digits at least, so every sixth byte of the text shows whether there is one; and with
    /// that byte the third before it or behind it is in the run.
    fn runs(&self, anchors: Range<usize>, found: &mut Found<'_>) {
        let view = found.view;
        let mut floor = anchors.start;
        let mut at = anchors.start + MIN_DIGITS - 1;
        while at < anchors.end + MIN_DIGITS - 1 {
            let Some(sample) = view.get(at) else { return };
            if !in_run(*sample) || !in_run(byte(view, at - 3)) && !in_run(byte(view, at + 3)) {
                at += MIN_DIGITS;
                continue;
            }
            let before = view.get(floor..at).unwrap_or_default();
            let start = at - before.iter().rev().take_while(|byte| in_run(**byte)).count();
            // No further than this block: a run of megabytes is not measured once for each.
            let limit = view.len().min(anchors.end + MIN_DIGITS);
            let after = view.get(at..limit).unwrap_or_default();
            let end = at + after.iter().take_while(|byte| in_run(**byte)).count();
            if end - start >= MIN_DIGITS {
                self.groups(start..end.min(anchors.end), found);
            }
            floor = end;
            at = end + MIN_DIGITS;
        }
    }

    /// Looks at every group of digits that begins in a run.
    fn groups(&self, run: Range<usize>, found: &mut Found<'_>) {
        let view = found.view;
        let mut inside = run.start.checked_sub(1).is_some_and(|at| byte(view, at).is_ascii_digit());
        for at in run {
            let digit = byte(view, at).is_ascii_digit();
            if digit && !inside && has_enough(view, at) {
                found.at(at, |window, found| self.verify(window, found));
            }
            inside = digit;
        }
    }

    fn verify(&self, window: Window<'_>, found: &mut Found<'_>) {
        let Window { bytes, anchor } = window;
        if self.kinds.contains(Kind::Phone) {
            phone::verify(window, found);
        }
        if self.kinds.contains(Kind::Iban) {
            iban::verify(window, found);
        }
        let first = digits_from(bytes, anchor);
        letters::verify(window, first, self.kinds, found);
        let Some(formats) = self.formats.get(first).filter(|formats| !formats.is_empty()) else {
            return;
        };
        if !opens_number(bytes, anchor) {
            return;
        }
        let next = match byte(bytes, anchor + first) {
            // NBSP and narrow NBSP.
            0xc2 | 0xe2 => b' ',
            next => next,
        };
        for format in formats {
            let gap = format.gaps.first().copied().unwrap_or_default();
            if gap != 0 && gap != next {
                continue;
            }
            let Some(number) = Number::read(bytes, anchor, format.groups, format.gaps) else {
                continue;
            };
            let range = anchor..number.end;
            if (format.check)(number.digits())
                && closes_number(bytes, number.end)
                && (gap == 0 || format.may_go_on || is_whole(bytes, anchor, number.end, gap))
                && (!format.needs_context || found.has_context(format.kind, &range))
            {
                found.push(format.kind, range);
            }
        }
    }
}

/// Whether a byte may be part of a number as people write them; of NBSP and narrow NBSP every byte.
const fn in_run(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut rest = "0123456789 -./()+\u{a0}\u{202f}".as_bytes();
        while let Some((byte, others)) = rest.split_first() {
            let (_, from) = table.split_at_mut(*byte as usize);
            if let Some((entry, _)) = from.split_first_mut() {
                *entry = true;
            }
            rest = others;
        }
        table
    };
    #[expect(clippy::indexing_slicing, reason = "a table of all bytes")]
    TABLE[byte as usize]
}

/// Whether the run has as many digits from here on as the shortest kind.
fn has_enough(view: &[u8], at: usize) -> bool {
    let near = view.get(at..).unwrap_or_default().iter().take(MIN_DIGITS_WITHIN);
    let digits = near.take_while(|byte| in_run(**byte)).filter(|byte| byte.is_ascii_digit());
    digits.take(MIN_DIGITS).count() == MIN_DIGITS
}
