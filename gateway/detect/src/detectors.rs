//! A compiled set of kinds.

use std::fmt;
use std::ops::Range;

use crate::find::Finder;
use crate::kind::{Kind, Kinds};
use crate::rules::{Action, Rules};
use crate::settle::{Search, Settle, Sink};

/// What finds a chosen set of kinds. Built once and shared: searching takes no lock and keeps nothing.
///
/// # What is promised
/// A search takes time linear in the text, whatever the text is, and memory for its hits alone. Every byte is judged by
/// the [`REACH_BEHIND`](crate::REACH_BEHIND) bytes before it and the [`LOOK_AHEAD`](crate::LOOK_AHEAD) after, so that a
/// [`Stream`](crate::Stream) finds what a search of the whole does. The text is bytes: what is not UTF-8 is read as it is.
pub struct Detectors {
    finder: Finder,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// What it is.
    pub kind: Kind,
    /// Where it is, in bytes of the text.
    pub range: Range<usize>,
}

/// Why detectors could not be built.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// A pattern of ours that the engine refuses.
    #[error("the pattern of {kind} does not compile: {reason}; report this")]
    Pattern {
        /// Whose pattern.
        kind: Kind,
        /// What the engine says.
        reason: String,
    },
    /// The words that candidates begin with.
    #[error("the words of the detectors do not compile: {0}; report this")]
    Words(String),
}

impl Detectors {
    /// Compiles the chosen kinds; takes milliseconds.
    ///
    /// # Errors
    /// [`CompileError`] when a pattern of this crate is broken; never for a choice of kinds.
    pub fn new(kinds: Kinds) -> Result<Self, CompileError> {
        Ok(Self { finder: Finder::compile(kinds)? })
    }

    /// The kinds that are looked for.
    #[must_use]
    pub const fn kinds(&self) -> Kinds {
        self.finder.kinds()
    }

    /// The hits of a whole value, in order; none overlaps another.
    ///
    /// Where candidates overlap, a byte belongs to the kind that is named first in [`Kind`]; of one kind to the hit that
    /// begins first, then to the longest. What a hit has beyond a better one stays a hit of its own kind: no byte of a
    /// candidate is ever left out.
    #[must_use]
    pub fn scan(&self, text: &[u8]) -> Vec<Hit> {
        self.scan_as(text, Kinds::NONE)
    }

    /// As [`Self::scan`], of a value of which something is known: for `given` no word of context is needed. See
    /// [`Self::context_of`].
    #[must_use]
    pub fn scan_as(&self, text: &[u8], given: Kinds) -> Vec<Hit> {
        let mut hits = Hits::default();
        let search = Search { finder: &self.finder, given, rank: &Rank::ALIKE };
        Settle::default().step(&search, text, true, &mut hits);
        hits.0
    }

    /// The kinds that a name is context for: of a column, a key, a header. `customer_ssn` is of [`Kind::UsSsn`].
    #[must_use]
    pub fn context_of(&self, name: &str) -> Kinds {
        self.finder.context_of(name)
    }

    pub(crate) const fn finder(&self) -> &Finder {
        &self.finder
    }
}

impl fmt::Debug for Detectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detectors").field("kinds", &self.kinds()).finish_non_exhaustive()
    }
}

/// Which of two kinds has a byte that both claim: first by what their rules do, then by how specific they are.
#[derive(Clone, Debug)]
pub(crate) struct Rank([u8; Kind::ALL.len()]);

impl Rank {
    pub(crate) const ALIKE: Self = Self([0; Kind::ALL.len()]);

    pub(crate) fn by(rules: &Rules) -> Self {
        let mut ranks = Self::ALIKE;
        for (rank, kind) in ranks.0.iter_mut().zip(Kind::ALL) {
            *rank = match rules.action(*kind) {
                Some(Action::Deny) => 0,
                Some(Action::Mask) => 1,
                Some(Action::Alert) | None => 2,
            };
        }
        ranks
    }

    /// The smaller wins.
    pub(crate) fn of(&self, kind: Kind) -> (u8, Kind) {
        (self.0.get(kind as usize).copied().unwrap_or(u8::MAX), kind)
    }
}

#[derive(Default)]
struct Hits(Vec<Hit>);

impl Sink for Hits {
    fn clear(&mut self, _: &[u8]) {}
    fn begin(&mut self, _: Kind, _: &[u8]) {}
    fn covered(&mut self, _: Kind, _: &[u8]) {}
    fn end(&mut self, kind: Kind, range: Range<usize>) {
        self.0.push(Hit { kind, range });
    }
}
