//! Names in configuration, and what to say of one that nobody knows.

use crate::kind::{Group, Kind};

/// A name that is none of those that may stand in its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} `{name}`: {hint}use one of {known}")]
pub struct UnknownName {
    what: &'static str,
    name: String,
    hint: String,
    known: String,
}

/// What of an unknown name is repeated: enough to find it in a file.
const MAX_NAME_SHOWN: usize = 64;

/// Edits up to which a known name counts as what was meant.
const MAX_EDITS: usize = 3;

impl UnknownName {
    pub(crate) fn new(what: &'static str, name: &str, known: Vec<&'static str>) -> Self {
        let name: String = name.chars().take(MAX_NAME_SHOWN).collect();
        let nearest = known.iter().map(|known| (edits(&name, known), *known)).min();
        let hint = match nearest {
            Some((distance, nearest)) if distance <= MAX_EDITS => {
                format!("did you mean `{nearest}`? Otherwise ")
            }
            _ => String::new(),
        };
        Self { what, name, hint, known: known.join(", ") }
    }
}

/// What a rule may name: `all`, groups, kinds.
pub(crate) fn selector_names() -> Vec<&'static str> {
    let groups = Group::ALL.iter().map(|group| group.name());
    std::iter::once("all").chain(groups).chain(kind_names()).collect()
}

pub(crate) fn kind_names() -> Vec<&'static str> {
    Kind::ALL.iter().map(|kind| kind.name()).collect()
}

/// How many letters must be added, removed or replaced (Levenshtein).
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (place, letter) in one.chars().enumerate() {
        let mut next = vec![place + 1];
        for (column, against) in other.iter().enumerate() {
            let replaced = row.get(column).copied().unwrap_or(usize::MAX / 2)
                + usize::from(letter != *against);
            let removed = row.get(column + 1).copied().unwrap_or(usize::MAX / 2) + 1;
            let added = next.last().copied().unwrap_or(usize::MAX / 2) + 1;
            next.push(replaced.min(removed).min(added));
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}
