//! Rows that are grouped by texts are grouped by their numbers.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties as _, InputOrderMode, PhysicalExpr,
};

use super::nodes::{Renumber, Shared, To};
use super::way::{in_dictionaries, uses};

/// `aggregate` with the texts it groups by as numbers, those that can be.
pub(super) fn by_number(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let reads_rows = matches!(aggregate.mode(), AggregateMode::Partial | AggregateMode::Single);
    let plain = aggregate.group_expr().is_single()
        && aggregate.limit_options().is_none()
        && *aggregate.input_order_mode() == InputOrderMode::Linear;
    if !reads_rows || !plain {
        return Ok(None);
    }
    let mut input = Arc::clone(aggregate.input());
    let (mut below, mut above) = (Vec::new(), Vec::new());
    for (group, (expr, _)) in aggregate.group_expr().expr().iter().enumerate() {
        let Some(column) = expr.downcast_ref::<Column>() else { continue };
        let schema = input.schema();
        let text = *schema.field(column.index()).data_type() == DataType::Utf8;
        if !text || used(aggregate, column.index()) > 1 {
            continue;
        }
        if let Some(other) = in_dictionaries(&input, column.index())? {
            input = other;
            below.push(column.index());
            above.push(group);
        }
    }
    if below.is_empty() {
        return Ok(None);
    }
    let shared = Shared::new(input.output_partitioning().partition_count());
    let numbered = Renumber::new(To::Numbers, input, below.into(), Arc::clone(&shared));
    let numbered: Arc<dyn ExecutionPlan> = Arc::new(numbered);
    let schema = numbered.schema();
    let by_numbers = AggregateExec::try_new(
        *aggregate.mode(),
        aggregate.group_expr().clone(),
        aggregate.aggr_expr().to_vec(),
        aggregate.filter_expr().to_vec(),
        numbered,
        schema,
    )?;
    // An order that was known to be there, of a column that a filter holds to one value, is not known of numbers.
    if by_numbers.required_input_ordering().iter().any(Option::is_some) {
        return Ok(None);
    }
    Ok(Some(Arc::new(Renumber::new(To::Texts, Arc::new(by_numbers), above.into(), shared))))
}

/// How often `aggregate` looks at the `column` of its input.
fn used(aggregate: &AggregateExec, column: usize) -> usize {
    let groups = aggregate.group_expr().expr().iter().map(|(expr, _)| Arc::clone(expr));
    let computed = aggregate.aggr_expr().iter().flat_map(|function| {
        let ordered = function.order_bys().iter().map(|order| Arc::clone(&order.expr));
        function.expressions().into_iter().chain(ordered.collect::<Vec<_>>())
    });
    let filters = aggregate.filter_expr().iter().flatten().cloned();
    let all: Vec<Arc<dyn PhysicalExpr>> = groups.chain(computed).chain(filters).collect();
    uses(&all, column)
}
