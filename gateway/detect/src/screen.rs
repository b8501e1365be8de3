//! Detectors with rules: what masks.

use std::ops::Range;
use std::sync::Arc;

use crate::detectors::{CompileError, Detectors, Rank};
use crate::findings::Findings;
use crate::kind::{Kind, Kinds};
use crate::mark;
use crate::rules::{Action, Rules};
use crate::settle::{Search, Settle, Sink};
use crate::stream::Stream;

/// What is shown of a card that is masked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cards {
    /// Nothing: `[payment_card]`.
    #[default]
    Hidden,
    /// Its last four digits: `[payment_card 1111]`.
    LastFour,
}

/// Detectors with rules. A clone is the same screen and costs nothing.
#[derive(Clone, Debug)]
pub struct Screen(Arc<Parts>);

#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) detectors: Detectors,
    pub(crate) rules: Rules,
    pub(crate) rank: Rank,
    pub(crate) cards: Cards,
}

impl Screen {
    /// Compiles what the rules look for.
    ///
    /// # Errors
    /// As [`Detectors::new`].
    pub fn new(rules: Rules, cards: Cards) -> Result<Self, CompileError> {
        let detectors = Detectors::new(rules.kinds())?;
        Ok(Self(Arc::new(Parts { detectors, rank: Rank::by(&rules), rules, cards })))
    }

    /// The detectors, for a search without masking.
    #[must_use]
    pub fn detectors(&self) -> &Detectors {
        &self.0.detectors
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.0.rules
    }

    /// Appends a whole value to `out` with marks in place of what is masked or denied; `given` as in
    /// [`Detectors::scan_as`].
    ///
    /// Overlaps are resolved as in [`Detectors::scan`], but that a stricter action goes before a more specific kind. When
    /// the findings say [`Action::Deny`], `out` must not be passed on.
    pub fn mask(&self, text: &[u8], given: Kinds, out: &mut Vec<u8>) -> Findings {
        let mut findings = Findings::default();
        let parts = &*self.0;
        let mut sink = Masked { parts, out, findings: &mut findings };
        Settle::default().step(&parts.search(given), text, true, &mut sink);
        findings
    }

    /// Opens a stream of one text; `given` as in [`Detectors::scan_as`].
    #[must_use]
    pub fn stream(&self, given: Kinds) -> Stream {
        Stream::new(self.clone(), given)
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.0
    }
}

impl Parts {
    pub(crate) fn search(&self, given: Kinds) -> Search<'_> {
        Search { finder: self.detectors.finder(), given, rank: &self.rank }
    }
}

/// Writes text with marks, and counts.
pub(crate) struct Masked<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) out: &'a mut Vec<u8>,
    pub(crate) findings: &'a mut Findings,
}

impl Masked<'_> {
    fn action(&self, kind: Kind) -> Action {
        // A kind is only found when a rule asks for it; were one found without, it is hidden.
        self.parts.rules.action(kind).unwrap_or(Action::Mask)
    }
}

impl Sink for Masked<'_> {
    fn clear(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn begin(&mut self, kind: Kind, whole: &[u8]) {
        let action = self.action(kind);
        self.findings.add(kind, action);
        if action != Action::Alert {
            let shown = kind == Kind::PaymentCard && self.parts.cards == Cards::LastFour;
            mark::write(kind, shown.then(|| last_four(whole)).flatten(), self.out);
        }
    }

    fn covered(&mut self, kind: Kind, bytes: &[u8]) {
        if self.action(kind) == Action::Alert {
            self.out.extend_from_slice(bytes);
        }
    }

    fn end(&mut self, _: Kind, _: Range<usize>) {}
}

fn last_four(card: &[u8]) -> Option<[u8; 4]> {
    let digits: Vec<u8> = card.iter().copied().filter(u8::is_ascii_digit).collect();
    digits.last_chunk::<4>().copied()
}
