//! Texts as numbers, in the order in which they were first seen. Pure data, no IO.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, Int32Array, StringBuilder};
use arrow::datatypes::Int32Type;
use datafusion::common::hash_utils::RandomState;
use datafusion::error::{DataFusionError, Result};
use indexmap::IndexSet;

use super::entries::{Entries, dictionary};

/// What a text costs beside its bytes: where it lies, its hash and its share of the table.
const TEXT_BYTES: usize = 48;

/// The texts of one column. A text has one number, and a number one text, for ever.
#[derive(Debug, Default)]
pub(super) struct Texts {
    known: IndexSet<Box<str>, RandomState>,
    bytes: usize,
    last: Option<Entries<i32>>,
}

impl Texts {
    /// The numbers of `column`, a dictionary of texts. What is null stays so.
    pub(super) fn numbers(&mut self, column: &ArrayRef) -> Result<Int32Array> {
        let column = dictionary(column)?;
        let mut entries = Entries::of(column, self.last.take())?;
        let nulls = column.logical_nulls();
        let keys = column.keys().values();
        let mut numbers = Vec::with_capacity(keys.len());
        for (row, entry) in keys.iter().enumerate() {
            numbers.push(match entries.known(*entry) {
                _ if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) => 0,
                Some(known) => known,
                None => {
                    let number = self.number(entries.text(*entry)?)?;
                    entries.learn(*entry, number);
                    number
                }
            });
        }
        self.last = Some(entries);
        Ok(Int32Array::new(numbers.into(), nulls))
    }

    /// The texts of `numbers`.
    pub(super) fn texts(&self, numbers: &ArrayRef) -> Result<ArrayRef> {
        let numbers = numbers.as_primitive_opt::<Int32Type>();
        let numbers = numbers.ok_or_else(|| internal("a column of groups has no numbers"))?;
        let mut texts = StringBuilder::with_capacity(numbers.len(), 0);
        for number in numbers {
            let Some(number) = number else {
                texts.append_null();
                continue;
            };
            let text = usize::try_from(number).ok().and_then(|number| self.known.get_index(number));
            texts.append_value(text.ok_or_else(|| internal("a group has no text"))?);
        }
        Ok(Arc::new(texts.finish()))
    }

    /// About what it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.last.as_ref().map_or(0, Entries::bytes)
    }

    /// The number of `text`, a new one if it was never seen.
    fn number(&mut self, text: &str) -> Result<i32> {
        let number = match self.known.get_index_of(text) {
            Some(known) => known,
            None => {
                self.bytes += text.len() + TEXT_BYTES;
                self.known.insert_full(text.into()).0
            }
        };
        i32::try_from(number).map_err(|_| {
            DataFusionError::ResourcesExhausted("a column has too many texts".to_owned())
        })
    }
}

pub(super) fn internal(what: &str) -> DataFusionError {
    DataFusionError::Internal(format!("texts are read as dictionaries: {what}"))
}

#[cfg(test)]
mod tests {
    use arrow::array::{DictionaryArray, StringArray};

    use super::*;

    fn column(keys: &[Option<i32>], entries: &StringArray) -> ArrayRef {
        let keys: Int32Array = keys.iter().copied().collect();
        Arc::new(DictionaryArray::new(keys, Arc::new(entries.clone())))
    }

    fn texts_of(texts: &Texts, numbers: Int32Array) -> Vec<Option<String>> {
        let array = texts.texts(&(Arc::new(numbers) as ArrayRef)).unwrap();
        array.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn a_text_has_one_number_in_every_dictionary() {
        let mut texts = Texts::default();
        let first = StringArray::from(vec!["alice", "bob", "never asked for"]);
        let second = StringArray::from(vec!["bob", "", "alice"]);
        let one = texts.numbers(&column(&[Some(1), None, Some(0), Some(1)], &first)).unwrap();
        let other = texts.numbers(&column(&[Some(2), Some(0), Some(1)], &second)).unwrap();
        let again = texts.numbers(&column(&[Some(0)], &first)).unwrap();
        assert_eq!(Vec::from_iter(&one), [Some(0), None, Some(1), Some(0)]);
        assert_eq!(Vec::from_iter(&other), [Some(1), Some(0), Some(2)]);
        assert_eq!(Vec::from_iter(&again), [Some(1)]);
        let named = |names: &[Option<&str>]| {
            names.iter().map(|name| name.map(str::to_owned)).collect::<Vec<_>>()
        };
        assert_eq!(texts_of(&texts, one), named(&[Some("bob"), None, Some("alice"), Some("bob")]));
        assert_eq!(texts_of(&texts, other), named(&[Some("alice"), Some("bob"), Some("")]));
    }

    #[test]
    fn an_entry_that_is_null_is_no_text() {
        let mut texts = Texts::default();
        let entries = StringArray::from(vec![None, Some("alice")]);
        for _ in 0..2 {
            let numbers = texts.numbers(&column(&[Some(0), Some(1), None], &entries)).unwrap();
            assert_eq!(Vec::from_iter(&numbers), [None, Some(0), None]);
        }
    }

    /// Another dictionary may come to lie where one was: what was known of the first says nothing of it.
    #[test]
    fn a_dictionary_is_not_taken_for_the_one_before() {
        let mut texts = Texts::default();
        for round in 0..200 {
            let word = format!("word-{:04}", round * 7 % 50);
            let entries = StringArray::from(vec![word.clone()]);
            let numbers = texts.numbers(&column(&[Some(0)], &entries)).unwrap();
            drop(entries);
            assert_eq!(texts_of(&texts, numbers), [Some(word)]);
        }
        let part = StringArray::from(vec!["a", "b", "c"]);
        for (from, word) in [(0, "a"), (1, "b"), (2, "c")] {
            let numbers = texts.numbers(&column(&[Some(0)], &part.slice(from, 1))).unwrap();
            assert_eq!(texts_of(&texts, numbers), [Some(word.to_owned())], "from {from}");
        }
    }

    #[test]
    fn what_it_takes_is_told() {
        let mut texts = Texts::default();
        let words: Vec<String> = (0..1_000).map(|word| format!("a text, the {word}th")).collect();
        let keys: Vec<Option<i32>> = (0..1_000).map(Some).collect();
        let _numbers = texts.numbers(&column(&keys, &StringArray::from(words))).unwrap();
        assert!((60_000..150_000).contains(&texts.bytes()), "{}", texts.bytes());
        let known = texts.bytes();
        let _again =
            texts.numbers(&column(&[Some(0)], &StringArray::from(vec!["a text, the 5th"])));
        assert!(texts.bytes() <= known, "a text is kept once");
    }

    #[test]
    fn what_is_no_dictionary_of_texts_is_refused() {
        let mut texts = Texts::default();
        let plain: ArrayRef = Arc::new(StringArray::from(vec!["alice"]));
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![7]));
        assert!(texts.numbers(&plain).is_err());
        assert!(texts.texts(&plain).is_err());
        assert!(texts.texts(&numbers).is_err(), "nothing has that number");
    }
}
