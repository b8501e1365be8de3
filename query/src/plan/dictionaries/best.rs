//! The greatest or least text of each of many groups. The engine keeps an allocation for each group and compares each row's
//! text; here a text that many groups have is kept once, and a row of a dictionary that has what its group has already is
//! not looked at.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, BooleanArray, DictionaryArray, Int32Array, StringArray, StringBuilder,
};
use arrow::compute::{cast, nullif};
use arrow::datatypes::DataType;
use datafusion::common::hash_utils::RandomState;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use indexmap::IndexSet;

use super::entries::{Entries, dictionary};
use super::kept::{Kept, Place};
use super::texts::internal;

/// Which of a group's texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Which {
    Least,
    Greatest,
}

/// What one half of an aggregation gives to the other. Each takes dictionaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum HandsOn {
    /// As the engine's.
    Texts,
    Dictionaries,
}

/// The text of each group.
#[derive(Debug)]
pub(super) struct OfGroups {
    which: Which,
    hands_on: HandsOn,
    kept: Kept,
    groups: Vec<Option<Place>>,
    /// The texts of all groups, each as often as a group has it: so much is given out.
    bytes: usize,
    last: Option<Entries<Place>>,
}

impl OfGroups {
    pub(super) fn new(which: Which, hands_on: HandsOn) -> Self {
        Self { which, hands_on, kept: Kept::default(), groups: Vec::new(), bytes: 0, last: None }
    }

    /// `text` is one of those of `group`. Where it lies, if it is the one now.
    fn offer(&mut self, group: usize, text: &str, lies: Option<Place>) -> Result<Option<Place>> {
        let group = self.groups.get_mut(group).ok_or_else(|| internal("a group is not there"))?;
        let better = group.is_none_or(|place| match self.which {
            Which::Least => text < self.kept.text(place),
            Which::Greatest => text > self.kept.text(place),
        });
        if better {
            let place = match lies {
                Some(place) => place,
                None => self.kept.keep(text)?,
            };
            self.bytes -= group.map_or(0, |place| self.kept.text(place).len());
            self.bytes += text.len();
            *group = Some(place);
        }
        Ok(group.filter(|_| better))
    }

    fn offer_all(&mut self, column: &ArrayRef, groups: &[usize]) -> Result<()> {
        let column = dictionary(column)?;
        let mut entries = Entries::of(column, self.last.take())?;
        let nulls = column.logical_nulls();
        for (row, (entry, group)) in column.keys().values().iter().zip(groups).enumerate() {
            let lies = entries.known(*entry);
            let has = lies.is_some() && self.groups.get(*group) == Some(&lies);
            if has || nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            if let Some(place) = self.offer(*group, entries.text(*entry)?, lies)? {
                entries.learn(*entry, place);
            }
        }
        self.last = Some(entries);
        Ok(())
    }

    /// The groups that are given out, which are forgotten.
    fn emitted(&mut self, emit_to: EmitTo) -> Vec<Option<Place>> {
        let groups = emit_to.take_needed(&mut self.groups);
        let bytes = groups.iter().flatten().map(|place| self.kept.text(*place).len());
        self.bytes -= bytes.sum::<usize>();
        groups
    }

    fn forget_all_if_done(&mut self) {
        if self.groups.is_empty() {
            (self.kept, self.last) = (Kept::default(), None);
        }
    }

    /// So that what is kept stays in proportion to what is needed, however often a group's text changes.
    fn forget(&mut self) -> Result<()> {
        if self.kept.is_enough() {
            self.last = None;
            self.kept.forget_all_but(self.groups.iter_mut().flatten())?;
        }
        Ok(())
    }
}

impl GroupsAccumulator for OfGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.forget()?;
        self.groups.resize(total_num_groups.max(self.groups.len()), None);
        let values = counted(values, opt_filter)?;
        self.offer_all(&values, group_indices)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.update_batch(values, group_indices, None, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.emitted(emit_to);
        let bytes = groups.iter().flatten().map(|place| self.kept.text(*place).len()).sum();
        if i32::try_from(bytes).is_err() {
            let full = "the greatest or least texts of all groups are more than 2 GiB";
            return Err(DataFusionError::ResourcesExhausted(full.to_owned()));
        }
        let mut texts = StringBuilder::with_capacity(groups.len(), bytes);
        for place in &groups {
            texts.append_option(place.map(|place| self.kept.text(place)));
        }
        self.forget_all_if_done();
        Ok(Arc::new(texts.finish()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        if self.hands_on == HandsOn::Texts {
            return Ok(vec![self.evaluate(emit_to)?]);
        }
        let groups = self.emitted(emit_to);
        // By what they say, since a text may lie in more places than one.
        let mut entries = IndexSet::<&str, RandomState>::default();
        let keys = groups.iter().map(|place| {
            let entry = place.map(|place| entries.insert_full(self.kept.text(place)).0);
            entry.and_then(|entry| i32::try_from(entry).ok())
        });
        let keys: Int32Array = keys.collect();
        let texts = StringArray::from_iter_values(entries);
        self.forget_all_if_done();
        Ok(vec![Arc::new(DictionaryArray::try_new(keys, Arc::new(texts))?)])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let counted = counted(values, opt_filter)?;
        Ok(vec![match self.hands_on {
            HandsOn::Texts => cast(&counted, &DataType::Utf8)?,
            HandsOn::Dictionaries => cast(&counted, &dictionary_of_texts())?,
        }])
    }

    fn size(&self) -> usize {
        let groups = self.groups.capacity() * size_of::<Option<Place>>() + self.bytes;
        let last = self.last.as_ref().map_or(0, Entries::bytes);
        size_of::<Self>() + self.kept.bytes() + groups + last
    }
}

pub(super) fn dictionary_of_texts() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// The one argument, null where `filter` does not let a row count.
fn counted(values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<ArrayRef> {
    let [values] = values else { return Err(internal("one argument is wanted")) };
    let Some(filter) = filter else { return Ok(Arc::clone(values)) };
    let out = filter.iter().map(|counts| Some(counts != Some(true))).collect();
    Ok(nullif(values, &out)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arrow::array::AsArray as _;
    use arrow::datatypes::{Field, Int32Type, Schema};
    use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
    use datafusion::logical_expr::AggregateUDF;
    use datafusion::physical_expr::aggregate::AggregateExprBuilder;
    use datafusion::physical_expr::expressions::Column;

    use super::super::extremes::Extreme;
    use super::*;

    /// That of `function` over a column of this type.
    fn groups_of(function: Arc<AggregateUDF>, of: &DataType) -> Box<dyn GroupsAccumulator> {
        let schema = Arc::new(Schema::new(vec![Field::new("text", of.clone(), true)]));
        let column = Arc::new(Column::new("text", 0));
        let function = AggregateExprBuilder::new(function, vec![column]).schema(schema).alias("a");
        function.build().unwrap().create_groups_accumulator().unwrap()
    }

    fn ours(engines: &AggregateUDF, hands_on: HandsOn) -> Arc<AggregateUDF> {
        Arc::new(AggregateUDF::from(Extreme::of(engines, hands_on).unwrap()))
    }

    fn in_dictionary(texts: &StringArray) -> ArrayRef {
        // Each text twice in the dictionary, one after the other asked for, and one that nobody asks for.
        let all: BTreeSet<&str> = texts.iter().flatten().collect();
        let entries: Vec<&str> = all.iter().flat_map(|text| [*text, *text]).chain(["~"]).collect();
        let keys = texts.iter().enumerate().map(|(row, text)| {
            let place = all.iter().position(|one| Some(*one) == text)?;
            i32::try_from(place * 2 + row % 2).ok()
        });
        let keys = keys.collect();
        Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(StringArray::from(entries))))
    }

    /// Numbers that are the same at each run.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, limit: u64) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            usize::try_from((self.0 >> 33) % limit).unwrap()
        }
    }

    const WORDS: [&str; 9] =
        ["", "a", "aa", "b", "bob", "bobby", "zoë", "ünter", "a very long text"];
    const ROWS: usize = 64;

    #[test]
    fn they_are_the_engines() {
        for engines in [max_udaf(), min_udaf()] {
            let mut dice = Dice(7);
            let mut wanted = groups_of(Arc::clone(&engines), &DataType::Utf8);
            let mut to_texts = groups_of(ours(&engines, HandsOn::Texts), &dictionary_of_texts());
            let mut by_entry =
                groups_of(ours(&engines, HandsOn::Dictionaries), &dictionary_of_texts());
            let (mut merged, mut groups) =
                (groups_of(ours(&engines, HandsOn::Dictionaries), &dictionary_of_texts()), 0);
            for round in 0..200 {
                groups += dice.below(4);
                let groups_of_rows: Vec<usize> =
                    (0..ROWS).map(|_| dice.below(groups as u64 + 1)).collect();
                let rows = groups + 1;
                let texts: StringArray =
                    (0..ROWS).map(|_| WORDS.get(dice.below(12)).copied()).collect();
                let filter: BooleanArray = (0..ROWS)
                    .map(|_| {
                        [Some(true), Some(false), None]
                            .get(dice.below(4))
                            .copied()
                            .unwrap_or(Some(true))
                    })
                    .collect();
                let filter = (round % 3 == 0).then_some(&filter);
                let values: [ArrayRef; 1] = [Arc::new(texts.clone())];
                let entries = [in_dictionary(&texts)];
                wanted.update_batch(&values, &groups_of_rows, filter, rows).unwrap();
                to_texts.update_batch(&entries, &groups_of_rows, filter, rows).unwrap();
                by_entry.update_batch(&entries, &groups_of_rows, filter, rows).unwrap();
                // Rows as they are, as if they had been gathered.
                let rows_as_state = merged.convert_to_state(&entries, filter).unwrap();
                let as_texts = to_texts.convert_to_state(&entries, filter).unwrap();
                assert_eq!(&cast(&rows_as_state[0], &DataType::Utf8).unwrap(), &as_texts[0]);
                merged.merge_batch(&rows_as_state, &groups_of_rows, rows).unwrap();
                if round % 20 == 19 {
                    let first = EmitTo::First(dice.below(groups as u64 + 1));
                    let first = if round == 99 { EmitTo::All } else { first };
                    let texts = wanted.evaluate(first).unwrap();
                    assert_eq!(&to_texts.state(first).unwrap()[0], &texts, "{round}");
                    let handed_on = by_entry.state(first).unwrap();
                    let entries = dictionary(&handed_on[0]).unwrap().values();
                    let different: BTreeSet<_> = entries.as_string::<i32>().iter().collect();
                    assert_eq!(different.len(), entries.len(), "a text is handed on once");
                    assert_eq!(&cast(&handed_on[0], &DataType::Utf8).unwrap(), &texts, "{round}");
                    assert_eq!(&merged.evaluate(first).unwrap(), &texts, "{round}");
                    groups = (groups + 1).saturating_sub(texts.len()).saturating_sub(1);
                    assert!(!texts.is_empty() || first == EmitTo::First(0));
                }
            }
        }
    }

    /// A group whose text changes with every row keeps one.
    #[test]
    fn texts_that_are_no_longer_needed_are_forgotten() {
        let mut greatest = groups_of(ours(&max_udaf(), HandsOn::Texts), &dictionary_of_texts());
        for batch in 0..200 {
            let texts: StringArray = (0..1_000)
                .map(|row| Some(format!("a text of some length, the {:08}th", batch * 1_000 + row)))
                .collect();
            let texts = cast(&texts, &dictionary_of_texts()).unwrap();
            greatest.update_batch(&[texts], &[0; 1_000], None, 1).unwrap();
        }
        assert!(greatest.size() < 2_500_000, "{}", greatest.size());
        let last = greatest.evaluate(EmitTo::All).unwrap();
        assert_eq!(last.as_string::<i32>().value(0), "a text of some length, the 00199999th");
    }

    /// What was known of a dictionary's entries says nothing of where they lie after that.
    #[test]
    fn a_dictionary_outlives_what_is_forgotten() {
        let mut greatest = groups_of(ours(&max_udaf(), HandsOn::Texts), &dictionary_of_texts());
        let long = ["1", "2", "3"].map(|text| text.repeat(500_000));
        let entries = ["mine", "yours"].into_iter().chain(long.iter().map(String::as_str));
        let entries: ArrayRef = Arc::new(StringArray::from_iter_values(entries));
        let rows = |keys: Vec<i32>| -> [ArrayRef; 1] {
            let keys = Int32Array::from(keys);
            [Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::clone(&entries)))]
        };
        // Otherwise than they were kept, so that they lie elsewhere then.
        greatest.update_batch(&rows(vec![0, 1, 2, 3, 4]), &[1, 0, 2, 3, 4], None, 5).unwrap();
        greatest.update_batch(&rows(vec![0, 1]), &[5, 6], None, 7).unwrap();
        let found = greatest.evaluate(EmitTo::All).unwrap();
        let found: Vec<_> = found.as_string::<i32>().iter().flatten().collect();
        assert_eq!(found[..2], ["yours", "mine"]);
        assert_eq!(found[5..], ["mine", "yours"]);
    }

    #[test]
    fn what_is_given_out_counts_before_it_is() {
        let text = "x".repeat(1_100);
        let entry = in_dictionary(&StringArray::from(vec![text.as_str()]));
        let mut groups = groups_of(ours(&max_udaf(), HandsOn::Texts), &dictionary_of_texts());
        let before = groups.size();
        groups.update_batch(&[Arc::clone(&entry)], &[0], None, 1).unwrap();
        assert!(groups.size() >= before + 2 * text.len(), "{}", groups.size());
        let many: Vec<usize> = (0..2_000_000).collect();
        let keys = Int32Array::from(vec![0; many.len()]);
        let values = Arc::clone(entry.as_dictionary::<Int32Type>().values());
        let all: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(keys, values));
        groups.update_batch(&[all], &many, None, many.len()).unwrap();
        assert!(groups.size() > many.len() * text.len(), "{}", groups.size());
        let error = groups.evaluate(EmitTo::All).unwrap_err();
        assert!(error.to_string().contains("2 GiB"), "{error}");
    }
}
