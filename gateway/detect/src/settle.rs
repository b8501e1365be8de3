//! From candidates to hits: which byte belongs to what, however the text comes.
//!
//! The text is looked through once, from the front. An anchor (a word or a digit that a candidate is built around) is
//! looked at when all that its verdict may depend on is there; a byte is settled when no anchor that is still to come can
//! reach it. Both follow from positions in the text alone, so the cuts between chunks change nothing.

use std::cmp::Reverse;
use std::ops::Range;

use crate::detectors::Rank;
use crate::find::{Finder, LOOK_AHEAD, LOOK_BEHIND, REACH_BEHIND};
use crate::kind::{Kind, Kinds};
use crate::tail::Tail;

/// Bytes that are looked through before they are settled: what bounds the candidates that wait at one time.
pub(crate) const BLOCK_BYTES: usize = 32 * 1024;

/// What is looked for, and by which rule of precedence.
pub(crate) struct Search<'a> {
    pub finder: &'a Finder,
    /// Kinds that need no word of context.
    pub given: Kinds,
    pub rank: &'a Rank,
}

/// A candidate that passed all its checks.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
    /// How it may go on behind `end`.
    pub tail: Option<Tail>,
}

/// Takes the text in order, as bytes of hits and bytes between them.
pub(crate) trait Sink {
    /// Bytes of no hit.
    fn clear(&mut self, bytes: &[u8]);
    /// A hit begins; `whole` is its text as far as it is there.
    fn begin(&mut self, kind: Kind, whole: &[u8]);
    /// Bytes of the hit that began.
    fn covered(&mut self, kind: Kind, bytes: &[u8]);
    /// The hit that began ends; where it was in the text.
    fn end(&mut self, kind: Kind, range: Range<usize>);
}

/// How far a text is settled. Positions are those of the whole text; the view is the part of it that is at hand.
#[derive(Debug, Default)]
pub(crate) struct Settle {
    /// Where the view begins.
    base: usize,
    /// Anchors before this were looked at.
    looked: usize,
    /// Bytes before this are with the sink.
    done: usize,
    /// What reaches beyond `done`, by its start.
    waiting: Vec<Waiting>,
    /// The hit that the byte before `done` belongs to: its number, its kind and where in the text it began.
    current: Option<(u64, Kind, usize)>,
    numbered: u64,
    /// Where the last hit of each kind ends that is longer than a window.
    long: Vec<(Kind, usize)>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    candidate: Candidate,
}

impl Settle {
    /// Looks at what can be decided in `view` and settles it. With `last` nothing follows the view, and all is settled.
    pub(crate) fn step(
        &mut self,
        search: &Search<'_>,
        view: &[u8],
        last: bool,
        sink: &mut impl Sink,
    ) {
        let end = self.base + view.len();
        let limit = if last { end } else { end.saturating_sub(LOOK_AHEAD) };
        while self.looked < limit {
            let until = limit.min(self.looked + BLOCK_BYTES);
            self.look(search, view, until);
            self.settle(search.rank, view, until.saturating_sub(REACH_BEHIND), sink);
        }
        if last {
            self.settle(search.rank, view, end, sink);
            // What never ended ends with the text.
            self.waiting.clear();
            self.long.clear();
            self.close(sink);
        }
    }

    /// Settles the text up to a place in the view as if nothing followed there; the text goes on all the same.
    pub(crate) fn release(
        &mut self,
        search: &Search<'_>,
        view: &[u8],
        until: usize,
        sink: &mut impl Sink,
    ) {
        let until = self.base + until;
        if until > self.looked {
            self.look(search, view, until);
        }
        self.settle(search.rank, view, until, sink);
    }

    /// Bytes at the front of the view that nothing needs any more.
    pub(crate) fn spent(&self) -> usize {
        self.done.min(self.looked.saturating_sub(LOOK_BEHIND)).saturating_sub(self.base)
    }

    /// The first bytes of the view are gone.
    pub(crate) const fn shift(&mut self, bytes: usize) {
        self.base += bytes;
    }

    /// Bytes of a view of this length that are not with the sink yet.
    pub(crate) const fn held(&self, view: usize) -> usize {
        (self.base + view).saturating_sub(self.done)
    }

    /// Looks at the anchors before `until`.
    fn look(&mut self, search: &Search<'_>, view: &[u8], until: usize) {
        let anchors = self.looked - self.base..until - self.base;
        let mut found = Vec::new();
        search.finder.find(view, anchors, search.given, &mut found);
        self.looked = until;
        if found.is_empty() {
            return self.grow(view);
        }
        // In the order of the text, so that the long ones swallow what is inside them.
        found.sort_by_key(|candidate| candidate.start);
        self.grow(view);
        for mut candidate in found {
            candidate.start += self.base;
            candidate.end += self.base;
            if candidate.tail.is_some() && !self.is_new(&mut candidate, view) {
                continue;
            }
            self.numbered += 1;
            self.waiting.push(Waiting { number: self.numbered, candidate });
        }
        self.waiting.sort_by_key(|waiting| (waiting.candidate.start, waiting.number));
    }

    /// Lets a hit with a tail take what is there of it, unless it begins inside one of its kind: were that not a part of
    /// the first, a text of beginnings alone would be gone through once for each.
    fn is_new(&mut self, candidate: &mut Candidate, view: &[u8]) -> bool {
        let kind = candidate.kind;
        let before = self.long.iter().find(|(other, _)| *other == kind);
        if before.is_some_and(|(_, end)| candidate.start < *end) {
            return false;
        }
        extend(candidate, view, self.base);
        self.long.retain(|(other, _)| *other != kind);
        self.long.push((kind, candidate.end));
        true
    }

    /// Lets open hits take what is there of them.
    fn grow(&mut self, view: &[u8]) {
        for Waiting { candidate, .. } in &mut self.waiting {
            if candidate.tail.is_some() {
                extend(candidate, view, self.base);
                let last = self.long.iter_mut().find(|(kind, _)| *kind == candidate.kind);
                last.into_iter().for_each(|(_, end)| *end = candidate.end.max(*end));
            }
        }
    }

    /// Hands everything before `until` to the sink.
    fn settle(&mut self, rank: &Rank, view: &[u8], until: usize, sink: &mut impl Sink) {
        let mut coming = 0;
        let mut over: Vec<usize> = Vec::new();
        while self.done < until {
            while self.waiting.get(coming).is_some_and(|next| next.candidate.start <= self.done) {
                over.push(coming);
                coming += 1;
            }
            let waiting = |place: &usize| self.waiting.get(*place);
            over.retain(|place| waiting(place).is_some_and(|next| next.candidate.end > self.done));
            let best = over.iter().filter_map(waiting).min_by_key(|next| {
                let one = &next.candidate;
                (rank.of(one.kind), one.start, Reverse(one.end), next.number)
            });
            let best = best.map(Piece::of);
            let starts = self.waiting.get(coming).map(|next| next.candidate.start);
            let ends = over.iter().filter_map(waiting).map(|next| next.candidate.end).min();
            let change = starts.into_iter().chain(ends).fold(until, usize::min);
            self.hand_over(best, view, change, sink);
        }
        let done = self.done;
        self.waiting.retain(|next| next.candidate.end > done || next.candidate.tail.is_some());
    }

    /// Gives the bytes up to `until` to the hit that has them, or to none.
    fn hand_over(&mut self, best: Option<Piece>, view: &[u8], until: usize, sink: &mut impl Sink) {
        let current = self.current.as_ref().map(|(number, ..)| *number);
        if current != best.as_ref().map(|piece| piece.number) {
            self.close(sink);
        }
        let bytes = part(view, self.base, self.done..until);
        match best {
            None => sink.clear(bytes),
            Some(piece) => {
                if self.current.is_none() {
                    self.current = Some((piece.number, piece.kind, self.done));
                    sink.begin(piece.kind, part(view, self.base, piece.whole));
                }
                sink.covered(piece.kind, bytes);
            }
        }
        self.done = until;
    }

    fn close(&mut self, sink: &mut impl Sink) {
        if let Some((_, kind, start)) = self.current.take() {
            sink.end(kind, start..self.done);
        }
    }
}

/// Takes what is there of a hit that may go on.
fn extend(candidate: &mut Candidate, view: &[u8], base: usize) {
    let rest = view.get(candidate.end.saturating_sub(base)..).unwrap_or_default();
    if let Some((taken, ended)) = candidate.tail.as_mut().map(|tail| tail.take(rest)) {
        candidate.end += taken;
        if ended {
            candidate.tail = None;
        }
    }
}

/// A candidate that has some bytes.
struct Piece {
    number: u64,
    kind: Kind,
    whole: Range<usize>,
}

impl Piece {
    const fn of(waiting: &Waiting) -> Self {
        let Waiting { number, candidate } = waiting;
        Self { number: *number, kind: candidate.kind, whole: candidate.start..candidate.end }
    }
}

/// A range of the text, as far as it is in the view.
fn part(view: &[u8], base: usize, range: Range<usize>) -> &[u8] {
    view.get(range.start.saturating_sub(base)..range.end.saturating_sub(base)).unwrap_or_default()
}
