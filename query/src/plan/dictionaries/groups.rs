//! Rows that are grouped by texts are grouped by their numbers, and what is computed of groups is given dictionaries.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties as _, InputOrderMode, PhysicalExpr,
};

use super::best::HandsOn;
use super::halves::{extreme_of, extremes, over_halves};
use super::nodes::{Renumber, Shared, To};
use super::scan::in_dictionary;
use super::way::{in_dictionaries, looks_at, uses};

/// `aggregate` with the texts it groups by as numbers, and the others that it can take from their dictionaries, with the
/// greatest and least texts of its groups computed in our own way. `None` where it stays as it is.
pub(super) fn by_number(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if aggregate.group_expr().is_empty() || aggregate.limit_options().is_some() {
        return Ok(None);
    }
    let reads_rows = matches!(aggregate.mode(), AggregateMode::Partial | AggregateMode::Single);
    let plain = aggregate.group_expr().is_single()
        && *aggregate.input_order_mode() == InputOrderMode::Linear;
    if reads_rows
        && plain
        && let Some(over_dictionaries) = over_dictionaries(aggregate)?
    {
        return Ok(Some(over_dictionaries));
    }
    over_halves(aggregate)
}

/// `aggregate`, which reads rows, over dictionaries, if there is one for it.
fn over_dictionaries(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let mut input = Arc::clone(aggregate.input());
    let (mut below, mut above) = (Vec::new(), Vec::new());
    for (group, (expr, _)) in aggregate.group_expr().expr().iter().enumerate() {
        let Some(column) = expr.downcast_ref::<Column>() else { continue };
        let text = *input.schema().field(column.index()).data_type() == DataType::Utf8;
        if !text || used(aggregate, column.index()) > 1 {
            continue;
        }
        if let Some(other) = in_dictionaries(&input, column.index())? {
            input = other;
            below.push(column.index());
            above.push(group);
        }
    }
    let mut found = !below.is_empty();
    for column in passed(aggregate) {
        if let Some(other) = in_dictionaries(&input, column)? {
            input = other;
            found = true;
        }
    }
    if !found {
        return Ok(None);
    }
    let shared = Shared::new(input.output_partitioning().partition_count());
    if !below.is_empty() {
        input = Arc::new(Renumber::new(To::Numbers, input, below.into(), Arc::clone(&shared)));
    }
    let schema = input.schema();
    let functions = extremes(aggregate.aggr_expr(), &schema, HandsOn::Texts)?;
    let over_dictionaries = AggregateExec::try_new(
        *aggregate.mode(),
        aggregate.group_expr().clone(),
        functions.unwrap_or_else(|| aggregate.aggr_expr().to_vec()),
        aggregate.filter_expr().to_vec(),
        input,
        schema,
    )?;
    // An order that was known to be there, of a column that a filter holds to one value, is not known of numbers.
    if over_dictionaries.required_input_ordering().iter().any(Option::is_some) {
        return Ok(None);
    }
    let mut all: Arc<dyn ExecutionPlan> = Arc::new(over_dictionaries);
    if !above.is_empty() {
        all = Arc::new(Renumber::new(To::Texts, all, above.into(), shared));
    }
    Ok(Some(all))
}

/// The columns of the input whose texts `aggregate` needs no more than whether they are one text, or which is the greatest
/// or least.
fn passed(aggregate: &AggregateExec) -> Vec<usize> {
    let functions = aggregate.aggr_expr().iter();
    let functions = functions.filter(|function| extreme_of(function, HandsOn::Texts).is_none());
    let groups = aggregate.group_expr().expr().iter().map(|(expr, _)| Arc::clone(expr));
    let filters = aggregate.filter_expr().iter().flatten().cloned();
    let looking = functions.flat_map(|function| computed_of(function)).chain(groups).chain(filters);
    let looking: Vec<Arc<dyn PhysicalExpr>> = looking.collect();
    let schema = aggregate.input().schema();
    let fields = schema.fields().iter().enumerate();
    let texts = fields.filter(|(_, field)| in_dictionary(field.data_type()).is_some());
    let columns = texts.map(|(column, _)| column);
    columns.filter(|column| !looking.iter().any(|expr| looks_at(expr, *column))).collect()
}

/// How often `aggregate` looks at the `column` of its input.
fn used(aggregate: &AggregateExec, column: usize) -> usize {
    let groups = aggregate.group_expr().expr().iter().map(|(expr, _)| Arc::clone(expr));
    let computed = aggregate.aggr_expr().iter().flat_map(|function| computed_of(function));
    let filters = aggregate.filter_expr().iter().flatten().cloned();
    let all: Vec<Arc<dyn PhysicalExpr>> = groups.chain(computed).chain(filters).collect();
    uses(&all, column)
}

/// What `function` looks at.
fn computed_of(function: &AggregateFunctionExpr) -> Vec<Arc<dyn PhysicalExpr>> {
    let ordered = function.order_bys().iter().map(|order| Arc::clone(&order.expr));
    function.expressions().into_iter().chain(ordered).collect()
}
