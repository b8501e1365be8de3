//! `count(DISTINCT number)`, for numbers that lie close together: each event of a writer of the log has the next one, and
//! whether one is missing is what auditors ask first.
//!
//! The engine keeps every number, 17 bytes or more of each, so that a question about all events would need more memory than
//! it may have. Here a number takes a bit and its share of a block of 64 where its neighbours are there, and more than the
//! engine's where it is alone.
//! It is computed in two forms: over all rows, and over each of many groups.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BooleanArray, Int64Array, Int64Builder, ListBuilder,
    UInt64Builder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, UInt64Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::functions_aggregate::count::count_udaf;
use datafusion::logical_expr::expr::AggregateFunctionParams;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use super::numbers::{Block, Numbers, block_of};

/// How many distinct numbers there are. To whoever asked it is `count(DISTINCT number)`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct CountNumbers {
    signature: Signature,
}

impl CountNumbers {
    pub(super) fn new() -> Self {
        let numbers = vec![DataType::Int32, DataType::Int64];
        Self { signature: Signature::uniform(1, numbers, Volatility::Immutable) }
    }

    /// As whoever asked wrote it.
    fn asked(params: &AggregateFunctionParams) -> AggregateFunctionParams {
        AggregateFunctionParams { distinct: true, ..params.clone() }
    }
}

impl AggregateUDFImpl for CountNumbers {
    fn name(&self) -> &str {
        "count_numbers"
    }

    fn schema_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        count_udaf().inner().schema_name(&Self::asked(params))
    }

    fn human_display(&self, params: &AggregateFunctionParams) -> Result<String> {
        count_udaf().inner().human_display(&Self::asked(params))
    }

    fn display_name(&self, params: &AggregateFunctionParams) -> Result<String> {
        count_udaf().inner().display_name(&Self::asked(params))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn default_value(&self, _data_type: &DataType) -> Result<ScalarValue> {
        Ok(ScalarValue::Int64(Some(0)))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let list = |name: &str, of: DataType| {
            let name = format_state_name(args.name, name);
            Arc::new(Field::new_list(name, Field::new_list_field(of, true), false))
        };
        Ok(vec![list("blocks", DataType::Int64), list("bits", DataType::UInt64)])
    }

    fn accumulator(&self, _args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let mut of_all = OfAll::default();
        of_all.0.grow(1);
        Ok(Box::new(of_all))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        _args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(OfGroups::default()))
    }
}

/// Over all rows: one group.
#[derive(Debug, Default)]
struct OfAll(Numbers);

impl Accumulator for OfAll {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for number in numbers(values)?.iter().flatten() {
            self.0.add(0, block_of(number));
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        each_block(states, |_, block| self.0.add(0, block))
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let count = self.0.take_counts(1).pop();
        self.0.grow(1);
        Ok(ScalarValue::Int64(count))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = state(&self.0.take(1));
        self.0.grow(1);
        state.iter().map(|array| ScalarValue::try_from_array(array, 0)).collect()
    }

    fn size(&self) -> usize {
        self.0.bytes()
    }
}

/// Over each of many groups.
#[derive(Debug, Default)]
struct OfGroups(Numbers);

impl GroupsAccumulator for OfGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.0.grow(total_num_groups);
        let numbers = numbers(values)?;
        for (row, (number, group)) in numbers.iter().zip(group_indices).enumerate() {
            if let Some(number) = number.filter(|_| counts(opt_filter, row)) {
                self.0.add(*group, block_of(number));
            }
        }
        Ok(())
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.0.grow(total_num_groups);
        each_block(values, |row, block| {
            if let Some(group) = group_indices.get(row) {
                self.0.add(*group, block);
            }
        })
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.emitted(emit_to);
        Ok(Arc::new(Int64Array::from(self.0.take_counts(groups))))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = self.emitted(emit_to);
        Ok(state(&self.0.take(groups)))
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let numbers = numbers(values)?;
        let own = |(row, number): (usize, Option<i64>)| {
            number.filter(|_| counts(opt_filter, row)).map(block_of).into_iter().collect()
        };
        Ok(state(&numbers.iter().enumerate().map(own).collect::<Vec<Vec<Block>>>()))
    }

    fn size(&self) -> usize {
        self.0.bytes()
    }
}

impl OfGroups {
    const fn emitted(&self, emit_to: EmitTo) -> usize {
        match emit_to {
            EmitTo::All => self.0.groups(),
            EmitTo::First(groups) => groups,
        }
    }
}

/// Whether the row is to be counted at all.
fn counts(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

/// The one argument.
fn numbers(values: &[ArrayRef]) -> Result<Int64Array> {
    let [values] = values else { return internal("one argument") };
    if let Some(numbers) = values.as_primitive_opt::<Int64Type>() {
        return Ok(numbers.clone());
    }
    Ok(cast(values, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

/// The blocks of each group, as the halves of an aggregation hand them over: which, and what is in them.
fn state(groups: &[Vec<Block>]) -> Vec<ArrayRef> {
    let all = groups.iter().map(Vec::len).sum();
    let mut numbers = ListBuilder::with_capacity(Int64Builder::with_capacity(all), groups.len());
    let mut bits = ListBuilder::with_capacity(UInt64Builder::with_capacity(all), groups.len());
    for blocks in groups {
        for (block, there) in blocks {
            numbers.values().append_value(*block);
            bits.values().append_value(*there);
        }
        numbers.append(true);
        bits.append(true);
    }
    vec![Arc::new(numbers.finish()), Arc::new(bits.finish())]
}

/// What [`state`] made, row by row.
fn each_block(states: &[ArrayRef], mut each: impl FnMut(usize, Block)) -> Result<()> {
    let [blocks, bits] = states else { return internal("two states") };
    let (blocks, bits) = (blocks.as_list::<i32>(), bits.as_list::<i32>());
    for row in 0..blocks.len() {
        let (own, there) = (blocks.value(row), bits.value(row));
        let (own, there) = (own.as_primitive::<Int64Type>(), there.as_primitive::<UInt64Type>());
        for (block, bits) in own.values().iter().zip(there.values()) {
            each(row, (*block, *bits));
        }
    }
    Ok(())
}

fn internal<T>(wanted: &str) -> Result<T> {
    Err(DataFusionError::Internal(format!("count_numbers was not given its {wanted}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The engine hands rows over as they are when there are about as many groups as rows.
    #[test]
    fn rows_that_were_not_gathered_count_as_if_they_had_been() {
        let values: ArrayRef =
            Arc::new(Int64Array::from(vec![Some(1), Some(1), None, Some(-1), Some(64), Some(7)]));
        let filter = BooleanArray::from(vec![
            Some(true),
            Some(true),
            Some(true),
            Some(true),
            None,
            Some(false),
        ]);
        let groups = [0, 0, 0, 1, 1, 1];
        let mut gathered = OfGroups::default();
        gathered.update_batch(&[Arc::clone(&values)], &groups, Some(&filter), 3).unwrap();
        let rows = gathered.convert_to_state(&[values], Some(&filter)).unwrap();
        let mut merged = OfGroups::default();
        merged.merge_batch(&rows, &groups, 3).unwrap();
        let of_groups = gathered.state(EmitTo::First(1)).unwrap();
        merged.merge_batch(&of_groups, &[2], 3).unwrap();
        let counted: ArrayRef = Arc::new(Int64Array::from(vec![1, 1, 1]));
        assert_eq!(&merged.evaluate(EmitTo::All).unwrap(), &counted);
        let rest: ArrayRef = Arc::new(Int64Array::from(vec![1, 0]));
        assert_eq!(&gathered.evaluate(EmitTo::All).unwrap(), &rest);
    }
}
