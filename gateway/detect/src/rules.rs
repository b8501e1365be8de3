//! What a policy wants done with which kind.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::kind::{Group, Kind, Kinds};
use crate::names::{UnknownName, selector_names};

/// What is done with a hit; of several the strictest, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It passes, and is counted.
    Alert,
    /// A mark stands in its place.
    Mask,
    /// As [`Action::Mask`]; and the caller must not pass the text on.
    Deny,
}

/// Which kinds are looked for, and what is done with each.
///
/// In configuration a table of names and actions. A name is a kind, a group or `all`; the narrower one wins, in whatever
/// order they stand. `off` takes kinds out again:
///
/// ```toml
/// secrets = "deny"
/// all = "mask"
/// phone = "off"
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(BTreeMap<Kind, Action>);

/// Why a table of rules is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// A name that is no kind, no group and not `all`.
    #[error(transparent)]
    Name(#[from] UnknownName),
    /// An action that there is not.
    #[error("`{name}` cannot be `{action}`: say alert, mask, deny or off")]
    Action {
        /// The kind or group it stands with.
        name: String,
        /// What was written.
        action: String,
    },
    /// A table that looks for nothing.
    #[error(
        "no detector is on: name a kind, a group or `all` with alert, mask or deny, or leave the table out"
    )]
    Nothing,
}

impl Rules {
    /// One action for all kinds of a set.
    #[must_use]
    pub fn uniform(kinds: Kinds, action: Action) -> Self {
        Self(kinds.iter().map(|kind| (kind, action)).collect())
    }

    /// Reads names and actions as they stand in configuration.
    ///
    /// # Errors
    /// [`RulesError`] for a name or an action that is unknown, or when nothing is left on.
    pub fn parse<'a, I>(entries: I) -> Result<Self, RulesError>
    where
        I: IntoIterator<Item = (&'a str, &'a str)>,
    {
        let mut chosen: Vec<(Breadth, Kinds, Option<Action>)> = Vec::new();
        for (name, action) in entries {
            let (breadth, kinds) = select(name)?;
            chosen.push((breadth, kinds, parse_action(name, action)?));
        }
        chosen.sort_by_key(|(breadth, ..)| *breadth);
        let mut rules = BTreeMap::new();
        for (_, kinds, action) in chosen {
            for kind in kinds.iter() {
                match action {
                    Some(action) => rules.insert(kind, action),
                    None => rules.remove(&kind),
                };
            }
        }
        if rules.is_empty() { Err(RulesError::Nothing) } else { Ok(Self(rules)) }
    }

    /// What is done with a kind; `None` when it is not looked for.
    #[must_use]
    pub fn action(&self, kind: Kind) -> Option<Action> {
        self.0.get(&kind).copied()
    }

    /// The kinds that are looked for.
    #[must_use]
    pub fn kinds(&self) -> Kinds {
        self.0.keys().copied().collect()
    }
}

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = BTreeMap::<String, String>::deserialize(deserializer)?;
        let entries = table.iter().map(|(name, action)| (name.as_str(), action.as_str()));
        Self::parse(entries).map_err(serde::de::Error::custom)
    }
}

/// The wider is applied first, so that the narrower overrides it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Breadth {
    All,
    Group,
    Kind,
}

fn select(name: &str) -> Result<(Breadth, Kinds), UnknownName> {
    if name == "all" {
        return Ok((Breadth::All, Kinds::all()));
    }
    if let Some(group) = Group::ALL.iter().find(|group| group.name() == name) {
        return Ok((Breadth::Group, Kinds::of(*group)));
    }
    match name.parse::<Kind>() {
        Ok(kind) => Ok((Breadth::Kind, kind.into())),
        Err(_) => Err(UnknownName::new("kind or group", name, selector_names())),
    }
}

fn parse_action(name: &str, action: &str) -> Result<Option<Action>, RulesError> {
    match action {
        "alert" => Ok(Some(Action::Alert)),
        "mask" => Ok(Some(Action::Mask)),
        "deny" => Ok(Some(Action::Deny)),
        "off" => Ok(None),
        _ => Err(RulesError::Action { name: name.to_owned(), action: action.to_owned() }),
    }
}
