//! Candidates: where something may be, and whether it is.
//!
//! Three passes over a block find anchors, each with the cheapest means there is: the words of tokens (Aho-Corasick),
//! `@` (memchr), and runs of digits (masks of 64 bytes).
//! What is around an anchor is then verified by an anchored DFA or by hand, its checksum computed, its context sought, all
//! within one [`Window`]: a bounded piece of the text, so that no text costs more than linear time.

mod checks;
mod context;
mod digits;
mod edges;
mod email;
mod formats;
mod jwt;
mod pem;
mod tokens;
mod url;

use std::ops::Range;

use self::context::{Context, Seen};
use self::digits::Digits;
use self::tokens::Tokens;
use crate::detectors::CompileError;
use crate::kind::{Kind, Kinds};
use crate::settle::Candidate;

/// Bytes before an anchor at which a hit may begin.
pub const REACH_BEHIND: usize = 160;

/// Bytes after an anchor that its verdict may depend on.
pub const LOOK_AHEAD: usize = 1024;

/// Bytes before an anchor that its verdict may depend on: a hit's reach, its context and a mark before that.
pub(crate) const LOOK_BEHIND: usize = 320;

/// A bounded piece of the text around an anchor: all that a verdict can see.
#[derive(Clone, Copy)]
pub(crate) struct Window<'t> {
    pub bytes: &'t [u8],
    /// Where in them the anchor is.
    pub anchor: usize,
}

/// The byte at a place; NUL, which is part of nothing, where there is none.
pub(crate) fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or_default()
}

/// Finds the candidates of a set of kinds.
pub(crate) struct Finder {
    kinds: Kinds,
    context: Context,
    tokens: Tokens,
    digits: Digits,
}

/// Where candidates go, and what is known of the text.
pub(crate) struct Found<'a> {
    context: &'a Context,
    seen: Seen,
    given: Kinds,
    view: &'a [u8],
    /// Where in the view the window begins that is looked at.
    from: usize,
    out: &'a mut Vec<Candidate>,
}

impl Finder {
    pub(crate) fn compile(kinds: Kinds) -> Result<Self, CompileError> {
        Ok(Self {
            kinds,
            context: Context::compile(kinds)?,
            tokens: Tokens::compile(kinds)?,
            digits: Digits::new(kinds),
        })
    }

    pub(crate) const fn kinds(&self) -> Kinds {
        self.kinds
    }

    pub(crate) fn context_of(&self, name: &str) -> Kinds {
        self.context.of_name(name)
    }

    /// Appends the candidates whose anchors are at `anchors`, in positions of `view`.
    pub(crate) fn find(
        &self,
        view: &[u8],
        anchors: Range<usize>,
        given: Kinds,
        out: &mut Vec<Candidate>,
    ) {
        let seen = Seen::default();
        let mut found = Found { context: &self.context, seen, given, view, from: 0, out };
        self.tokens.find(anchors.clone(), &mut found);
        if self.kinds.contains(Kind::Email) {
            email::find(anchors.clone(), &mut found);
        }
        self.digits.find(anchors, &mut found);
    }

    /// Where in `view` a private key may have begun of which too little is there to say; its end if there is none.
    pub(crate) fn undecided(&self, view: &[u8]) -> usize {
        let keys = [Kind::PrivateKey, Kind::GcpServiceAccountKey];
        if keys.iter().any(|kind| self.kinds.contains(*kind)) {
            pem::undecided(view).unwrap_or(view.len())
        } else {
            view.len()
        }
    }
}

impl<'a> Found<'a> {
    /// Runs a verdict on the window around an anchor.
    fn at(&mut self, anchor: usize, verdict: impl FnOnce(Window<'a>, &mut Self)) {
        let view = self.view;
        self.from = anchor.saturating_sub(LOOK_BEHIND);
        let until = view.len().min(anchor + LOOK_AHEAD);
        let Some(bytes) = view.get(self.from..until) else { return };
        let before = self.out.len();
        verdict(Window { bytes, anchor: anchor - self.from }, self);
        for candidate in self.out.iter_mut().skip(before) {
            candidate.start += self.from;
            candidate.end += self.from;
        }
    }

    fn push(&mut self, kind: Kind, range: Range<usize>) {
        self.out.push(Candidate { kind, start: range.start, end: range.end, tail: None });
    }

    /// Whether a kind is given, or named near a range of the window.
    fn has_context(&mut self, kind: Kind, range: &Range<usize>) -> bool {
        let range = self.from + range.start..self.from + range.end;
        self.given.contains(kind)
            || self.context.near(self.view, &range, &mut self.seen).contains(kind)
    }
}
