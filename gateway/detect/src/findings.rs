//! How many of each kind were found.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::kind::Kind;
use crate::rules::Action;

/// Counts by kind, and the strictest action that any of them calls for. Never content: not in `Debug` either.
///
/// Serialised as `{"payment_card": 3, "email": 1}`. As many entries as there are kinds at most; counts saturate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Findings {
    counts: BTreeMap<Kind, u64>,
    /// Not part of the serialised form: it follows from the counts and the rules.
    #[serde(skip)]
    action: Option<Action>,
}

impl Findings {
    /// Counts one hit.
    pub fn add(&mut self, kind: Kind, action: Action) {
        let count = self.counts.entry(kind).or_default();
        *count = count.saturating_add(1);
        self.action = self.action.max(Some(action));
    }

    /// Adds what was found elsewhere.
    pub fn merge(&mut self, other: &Self) {
        for (kind, more) in &other.counts {
            let count = self.counts.entry(*kind).or_default();
            *count = count.saturating_add(*more);
        }
        self.action = self.action.max(other.action);
    }

    /// How many of a kind.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or_default()
    }

    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Each kind that was found, with its count, in the order of rank.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> {
        self.counts.iter().map(|(kind, count)| (*kind, *count))
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The strictest action; `None` when nothing was found. [`Action::Deny`]: the text must not be passed on.
    #[must_use]
    pub const fn action(&self) -> Option<Action> {
        self.action
    }
}
