//! Texts one after the other in one place, most of them once. Pure data, no IO.

use std::hash::BuildHasher as _;

use datafusion::common::HashMap;
use datafusion::common::hash_utils::RandomState;
use datafusion::error::{DataFusionError, Result};

/// As many texts as are remembered to lie there already.
const REMEMBERED: usize = 1_024;
/// Bytes below which it is never worth to look for what nobody needs.
const LITTLE: usize = 1 << 20;

/// Where a text lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    at: u32,
    bytes: u32,
}

/// The texts.
#[derive(Debug)]
pub(super) struct Kept {
    texts: String,
    /// By their hashes, where some texts lie: what comes again and again is kept once.
    remembered: Vec<Option<Place>>,
    hashes: RandomState,
    /// The bytes at which it is time to look for what nobody needs.
    enough: usize,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            texts: String::new(),
            remembered: vec![None; REMEMBERED],
            hashes: RandomState::default(),
            enough: LITTLE,
        }
    }
}

impl Kept {
    pub(super) fn keep(&mut self, text: &str) -> Result<Place> {
        let slot = usize::try_from(self.hashes.hash_one(text)).unwrap_or_default() % REMEMBERED;
        let known = self.remembered.get(slot).copied().flatten();
        if let Some(known) = known.filter(|known| self.text(*known) == text) {
            return Ok(known);
        }
        let place = self.append(text)?;
        if let Some(remembered) = self.remembered.get_mut(slot) {
            *remembered = Some(place);
        }
        Ok(place)
    }

    /// The text at `place`, one that this gave.
    pub(super) fn text(&self, place: Place) -> &str {
        let at = place.at as usize;
        self.texts.get(at..at + place.bytes as usize).unwrap_or_default()
    }

    /// Whether so much was kept that much of it may be no longer needed.
    pub(super) const fn is_enough(&self) -> bool {
        self.texts.len() > self.enough
    }

    /// Forgets all texts but those at `needed`, which lie elsewhere from now on.
    pub(super) fn forget_all_but<'a>(
        &mut self,
        needed: impl Iterator<Item = &'a mut Place>,
    ) -> Result<()> {
        let before = std::mem::take(self);
        let mut moved = HashMap::new();
        for place in needed {
            *place = match moved.get(place) {
                Some(place) => *place,
                None => {
                    let new = self.keep(before.text(*place))?;
                    moved.insert(*place, new);
                    new
                }
            };
        }
        self.enough = LITTLE.max(2 * self.texts.len());
        Ok(())
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.texts.capacity() + self.remembered.capacity() * size_of::<Option<Place>>()
    }

    fn append(&mut self, text: &str) -> Result<Place> {
        let place = (u32::try_from(self.texts.len()), u32::try_from(text.len()));
        let (Ok(at), Ok(bytes)) = place else {
            let full = "the greatest or least texts of all groups are more than 4 GiB";
            return Err(DataFusionError::ResourcesExhausted(full.to_owned()));
        };
        self.texts.push_str(text);
        Ok(Place { at, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_where_it_was_kept() {
        let mut kept = Kept::default();
        let words: Vec<String> = (0..5_000).map(|word| format!("wörd {word}")).collect();
        let places: Vec<Place> = words.iter().map(|word| kept.keep(word).unwrap()).collect();
        let empty = kept.keep("").unwrap();
        assert_eq!(kept.text(empty), "");
        for (word, place) in words.iter().zip(places) {
            assert_eq!(kept.text(place), word);
        }
    }

    #[test]
    fn what_comes_again_and_again_takes_little() {
        let mut kept = Kept::default();
        let nothing = kept.bytes();
        for round in 0..100_000 {
            let text = ["alice", "bob", "carol"][round % 3];
            let place = kept.keep(text).unwrap();
            assert_eq!(kept.text(place), text);
        }
        assert!(kept.bytes() < nothing + 100, "{}", kept.bytes());
    }

    #[test]
    fn what_nobody_needs_is_forgotten_and_the_rest_stays() {
        let mut kept = Kept::default();
        let mut needed = Vec::new();
        for word in 0..200_000 {
            let place = kept.keep(&format!("a text of some length, the {word}th")).unwrap();
            if word % 100 == 0 {
                needed.extend([place, place]);
            }
        }
        assert!(kept.is_enough());
        kept.forget_all_but(needed.iter_mut()).unwrap();
        assert!(!kept.is_enough());
        assert!(kept.bytes() < 200_000, "{}", kept.bytes());
        for (number, places) in needed.chunks(2).enumerate() {
            let wanted = format!("a text of some length, the {}th", number * 100);
            assert_eq!(
                places.iter().map(|place| kept.text(*place)).collect::<Vec<_>>(),
                [&wanted, &wanted]
            );
            assert_eq!(places[0], places[1], "a text that two need is kept once");
        }
        // What was remembered of before says nothing of now.
        let place = kept.keep("a text of some length, the 199999th").unwrap();
        assert_eq!(kept.text(place), "a text of some length, the 199999th");
    }
}
