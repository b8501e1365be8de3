//! What is made of digits: cards, accounts, numbers of people, telephones.
//!
//! An anchor is where a group of digits begins that has [`MIN_DIGITS`] digits in its run.

mod cards;
mod fiscal;
mod iban;
mod ids;
mod letters;
mod masks;
mod phone;
mod read;

use std::ops::Range;

use self::ids::{FORMATS, Format};
use self::masks::{WIDTH, Walk, low};
use self::read::{Number, digits_from, skip_gap};
use super::edges::{closes_number, is_escape, is_whole, opens_number};
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
    /// Numbers in one group, by its length.
    solid: Vec<Vec<&'static Format>>,
    /// Numbers in several, by the length of the first.
    grouped: Vec<Vec<&'static Format>>,
}

impl Digits {
    pub(super) fn new(kinds: Kinds) -> Self {
        let by_first = |solid: bool| {
            let mut formats: Vec<Vec<&'static Format>> = vec![Vec::new(); MAX_GROUP + 1];
            for format in FORMATS.iter().filter(|format| kinds.contains(format.kind)) {
                let first = format.groups.first().copied().unwrap_or_default();
                let of = formats.get_mut(first).filter(|_| format.gaps.is_empty() == solid);
                of.into_iter().for_each(|of| of.push(format));
            }
            formats
        };
        let of = Kinds::of(Group::NationalIds).union(Kinds::of(Group::Financial));
        Self {
            kinds,
            any: kinds.intersects(of.union(Kind::Phone.into())),
            solid: by_first(true),
            grouped: by_first(false),
        }
    }

    pub(super) fn find(&self, anchors: Range<usize>, found: &mut Found<'_>) {
        let fiscal = self.kinds.contains(Kind::ItCodiceFiscale);
        if !self.any {
            return;
        }
        let view = found.view;
        let mut walk = Walk::from(view, anchors.start);
        let mut at = anchors.start;
        while at < anchors.end {
            let (masks, starts) = walk.step();
            let asked = u64::MAX >> (WIDTH - WIDTH.min(anchors.end - at));
            // Six bytes of a run at least: a number has as many digits.
            let two = masks.run & masks.run >> 1;
            let six = low(two & two >> 2 & two >> 4);
            for place in places(starts & six & asked) {
                if has_enough(view, at + place) {
                    found.at(at + place, |window, found| self.verify(window, found));
                }
            }
            if fiscal {
                for place in places(low(fiscal::candidates(masks.digits)) & asked) {
                    found.at(at + place, fiscal::verify);
                }
            }
            at += WIDTH;
        }
    }

    fn verify(&self, window: Window<'_>, found: &mut Found<'_>) {
        let Window { bytes, anchor } = window;
        let before = anchor.checked_sub(1).map_or(0, |at| byte(bytes, at));
        let in_word = before.is_ascii_lowercase() || before == b'_';
        if in_word && !is_escape(bytes, anchor - 1) {
            return;
        }
        let first = digits_from(bytes, anchor);
        if self.kinds.contains(Kind::Iban) && iban::may_precede(before) {
            iban::verify(window, found);
        }
        letters::verify(window, first, self.kinds, found);
        if before.is_ascii_uppercase() {
            return;
        }
        if self.kinds.contains(Kind::Phone) && first <= phone::MAX_DIGITS {
            phone::verify(window, found);
        }
        self.formats(window, first, found);
    }

    /// Numbers of digits alone.
    fn formats(&self, window: Window<'_>, first: usize, found: &mut Found<'_>) {
        let Window { bytes, anchor } = window;
        let [solid, grouped] = [&self.solid, &self.grouped]
            .map(|formats| formats.get(first).map(Vec::as_slice).unwrap_or_default());
        if solid.is_empty() && grouped.is_empty() || !opens_number(bytes, anchor) {
            return;
        }
        if let Some(number) =
            Number::read(bytes, anchor, &[first], b"").filter(|_| !solid.is_empty())
        {
            solid.iter().for_each(|format| judge(format, &number, window, found));
        }
        // What follows the first group tells most of them: a gap, and so many digits.
        let gap = match byte(bytes, anchor + first) {
            // NBSP and narrow NBSP.
            0xc2 | 0xe2 => b' ',
            gap => gap,
        };
        let second = skip_gap(bytes, anchor + first, gap).map_or(0, |at| digits_from(bytes, at));
        for format in grouped {
            if format.gaps.first() == Some(&gap) && format.groups.get(1) == Some(&second) {
                let number = Number::read(bytes, anchor, format.groups, format.gaps);
                number.iter().for_each(|number| judge(format, number, window, found));
            }
        }
    }
}

/// Whether a number that is written like some kind is one.
fn judge(format: &Format, number: &Number, window: Window<'_>, found: &mut Found<'_>) {
    let Window { bytes, anchor } = window;
    let range = anchor..number.end;
    let whole = |gap: &u8| format.may_go_on || is_whole(bytes, anchor, number.end, *gap);
    if (format.check)(number.digits())
        && closes_number(bytes, number.end)
        && format.gaps.first().is_none_or(whole)
        && (!format.needs_context || found.has_context(format.kind, &range))
    {
        found.push(format.kind, range);
    }
}

/// The places of the bits that are set.
fn places(mut mask: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = mask.trailing_zeros();
        mask &= mask.checked_sub(1)?;
        usize::try_from(place).ok()
    })
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
