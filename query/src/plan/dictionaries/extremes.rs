//! `max` and `min` of texts for each of many groups. The engine keeps an allocation for each group and compares each row's
//! text; here a text that many groups have is kept once, and a row of a dictionary that has what its group has already is
//! not looked at.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray, StringArray, StringBuilder};
use arrow::compute::{cast, nullif};
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use super::entries::{Entries, dictionary};
use super::kept::{Kept, Place};
use super::texts::internal;

/// Which of a group's texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Which {
    Least,
    Greatest,
}

/// `engines`, which is `max` or `min`, of texts or of dictionaries of texts.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Extreme {
    engines: Arc<AggregateUDF>,
    which: Which,
    signature: Signature,
}

impl Extreme {
    /// `None` where `function` is neither.
    pub(super) fn of(function: &AggregateUDF) -> Option<Self> {
        let which = match function.name() {
            "max" => Which::Greatest,
            "min" => Which::Least,
            _ => return None,
        };
        let signature = Signature::any(1, Volatility::Immutable);
        Some(Self { engines: Arc::new(function.clone()), which, signature })
    }
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.engines.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match arg_types {
            [DataType::Utf8] => Ok(DataType::Utf8),
            [DataType::Dictionary(_, texts)] if **texts == DataType::Utf8 => Ok(DataType::Utf8),
            _ => Err(internal("the greatest or least of something else was asked for")),
        }
    }

    /// For all rows together there is nothing to gain, and this is not asked for them.
    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        self.engines.accumulator(args)
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        _args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(OfGroups::new(self.which)))
    }

    fn is_descending(&self) -> Option<bool> {
        self.engines.is_descending()
    }
}

/// The text of each group.
#[derive(Debug)]
struct OfGroups {
    which: Which,
    kept: Kept,
    groups: Vec<Option<Place>>,
    /// The texts of all groups, each as often as a group has it: so much is given out.
    bytes: usize,
    last: Option<Entries<Place>>,
}

impl OfGroups {
    fn new(which: Which) -> Self {
        Self { which, kept: Kept::default(), groups: Vec::new(), bytes: 0, last: None }
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

    fn offer_texts(&mut self, texts: &StringArray, groups: &[usize]) -> Result<()> {
        for (text, group) in texts.iter().zip(groups) {
            if let Some(text) = text {
                let _place = self.offer(*group, text, None)?;
            }
        }
        Ok(())
    }

    fn offer_dictionary(&mut self, column: &ArrayRef, groups: &[usize]) -> Result<()> {
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
        match values.as_string_opt::<i32>() {
            Some(texts) => self.offer_texts(texts, group_indices),
            None => self.offer_dictionary(&values, group_indices),
        }
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
        let emitted = emit_to.take_needed(&mut self.groups);
        let bytes = emitted.iter().flatten().map(|place| self.kept.text(*place).len()).sum();
        self.bytes -= bytes;
        if i32::try_from(bytes).is_err() {
            let full = "the greatest or least texts of all groups are more than 2 GiB";
            return Err(DataFusionError::ResourcesExhausted(full.to_owned()));
        }
        let mut texts = StringBuilder::with_capacity(emitted.len(), bytes);
        for place in &emitted {
            texts.append_option(place.map(|place| self.kept.text(place)));
        }
        if self.groups.is_empty() {
            (self.kept, self.last) = (Kept::default(), None);
        }
        Ok(Arc::new(texts.finish()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        Ok(vec![cast(&counted(values, opt_filter)?, &DataType::Utf8)?])
    }

    fn size(&self) -> usize {
        let groups = self.groups.capacity() * size_of::<Option<Place>>() + self.bytes;
        let last = self.last.as_ref().map_or(0, Entries::bytes);
        size_of::<Self>() + self.kept.bytes() + groups + last
    }
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

    use arrow::array::DictionaryArray;
    use arrow::datatypes::{Field, Int32Type, Schema};
    use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
    use datafusion::physical_expr::aggregate::AggregateExprBuilder;
    use datafusion::physical_expr::expressions::Column;

    use super::*;

    /// That of `function` over a column of this type.
    fn groups_of(function: Arc<AggregateUDF>, of: &DataType) -> Box<dyn GroupsAccumulator> {
        let schema = Arc::new(Schema::new(vec![Field::new("text", of.clone(), true)]));
        let column = Arc::new(Column::new("text", 0));
        let function = AggregateExprBuilder::new(function, vec![column]).schema(schema).alias("a");
        function.build().unwrap().create_groups_accumulator().unwrap()
    }

    fn ours(engines: &AggregateUDF) -> Arc<AggregateUDF> {
        Arc::new(AggregateUDF::from(Extreme::of(engines).unwrap()))
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
        let dictionary = super::super::scan::in_dictionary(&DataType::Utf8).unwrap();
        for engines in [max_udaf(), min_udaf()] {
            let mut dice = Dice(7);
            let mut wanted = groups_of(Arc::clone(&engines), &DataType::Utf8);
            let mut plain = groups_of(ours(&engines), &DataType::Utf8);
            let mut by_entry = groups_of(ours(&engines), &dictionary);
            let (mut merged, mut groups) = (groups_of(ours(&engines), &DataType::Utf8), 0);
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
                plain.update_batch(&values, &groups_of_rows, filter, rows).unwrap();
                by_entry.update_batch(&entries, &groups_of_rows, filter, rows).unwrap();
                // Rows as they are, as if they had been gathered.
                let source = if round % 2 == 0 { &values } else { &entries };
                let rows_as_state = merged.convert_to_state(source, filter).unwrap();
                merged.merge_batch(&rows_as_state, &groups_of_rows, rows).unwrap();
                if round % 20 == 19 {
                    let first = EmitTo::First(dice.below(groups as u64 + 1));
                    let first = if round == 99 { EmitTo::All } else { first };
                    let texts = wanted.evaluate(first).unwrap();
                    assert_eq!(&plain.evaluate(first).unwrap(), &texts, "{round}");
                    assert_eq!(&by_entry.state(first).unwrap()[0], &texts, "{round}");
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
        let mut greatest = groups_of(ours(&max_udaf()), &DataType::Utf8);
        for batch in 0..200 {
            let texts: StringArray = (0..1_000)
                .map(|row| Some(format!("a text of some length, the {:08}th", batch * 1_000 + row)))
                .collect();
            greatest.update_batch(&[Arc::new(texts)], &[0; 1_000], None, 1).unwrap();
        }
        assert!(greatest.size() < 2_500_000, "{}", greatest.size());
        let last = greatest.evaluate(EmitTo::All).unwrap();
        assert_eq!(last.as_string::<i32>().value(0), "a text of some length, the 00199999th");
    }

    #[test]
    fn what_is_given_out_counts_before_it_is() {
        let text = "x".repeat(1_100);
        let one: [ArrayRef; 1] = [Arc::new(StringArray::from(vec![text.as_str()]))];
        let entry = in_dictionary(&StringArray::from(vec![text.as_str()]));
        let mut groups = groups_of(ours(&max_udaf()), &DataType::Utf8);
        let before = groups.size();
        groups.update_batch(&one, &[0], None, 1).unwrap();
        assert!(groups.size() >= before + 2 * text.len(), "{}", groups.size());
        let many: Vec<usize> = (0..2_000_000).collect();
        let keys = arrow::array::Int32Array::from(vec![0; many.len()]);
        let values = Arc::clone(entry.as_dictionary::<Int32Type>().values());
        let all: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(keys, values));
        groups.update_batch(&[all], &many, None, many.len()).unwrap();
        assert!(groups.size() > many.len() * text.len(), "{}", groups.size());
        let error = groups.evaluate(EmitTo::All).unwrap_err();
        assert!(error.to_string().contains("2 GiB"), "{error}");
    }

    #[test]
    fn other_functions_and_other_columns_are_not_ours() {
        let count = datafusion::functions_aggregate::count::count_udaf();
        assert!(Extreme::of(&count).is_none());
        let greatest = Extreme::of(&max_udaf()).unwrap();
        assert!(greatest.return_type(&[DataType::Int32]).is_err());
        let numbers: [ArrayRef; 1] = [Arc::new(arrow::array::Int32Array::from(vec![1]))];
        let mut groups = OfGroups::new(Which::Greatest);
        assert!(groups.update_batch(&numbers, &[0], None, 1).is_err());
    }
}
