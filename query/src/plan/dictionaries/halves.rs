//! The two halves of an aggregation, with the greatest and least texts of its groups computed in our own way.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateInputMode, AggregateMode};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, replace_children_if_necessary};

use super::best::HandsOn;
use super::extremes::Extreme;
use super::nodes::Renumber;

type Function = Arc<AggregateFunctionExpr>;

/// `aggregate` with ours, if it has such functions. What the half below took from dictionaries, it hands on as dictionaries.
pub(super) fn with_our_extremes(
    aggregate: &AggregateExec,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let schema = aggregate.input_schema();
    let functions = extremes(aggregate.aggr_expr(), &schema, HandsOn::Texts)?;
    let Some(functions) = functions else { return Ok(None) };
    let ours: Arc<dyn ExecutionPlan> = Arc::new(aggregate.with_new_aggr_exprs(functions));
    if aggregate.mode().input_mode() == AggregateInputMode::Partial
        && let Some(input) = handing_on_dictionaries(aggregate.input())?
    {
        return replace_children_if_necessary(ours, vec![input]).map(Some);
    }
    Ok(Some(ours))
}

/// The half below, which is `plan` or below it, with what ours took from dictionaries handed on as such; `None` where it
/// took nothing from there.
fn handing_on_dictionaries(
    plan: &Arc<dyn ExecutionPlan>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(half) = plan.downcast_ref::<AggregateExec>() {
        let schema = half.input_schema();
        if *half.mode() != AggregateMode::Partial {
            return Ok(None);
        }
        let functions = extremes(half.aggr_expr(), &schema, HandsOn::Dictionaries)?;
        let Some(functions) = functions else { return Ok(None) };
        let half = AggregateExec::try_new(
            *half.mode(),
            half.group_expr().clone(),
            functions,
            half.filter_expr().to_vec(),
            Arc::clone(half.input()),
            schema,
        )?;
        return Ok(Some(Arc::new(half)));
    }
    let passes_on = plan.is::<RepartitionExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<Renumber>();
    let [below] = plan.children().try_into().unwrap_or([plan]);
    if !passes_on {
        return Ok(None);
    }
    let Some(below) = handing_on_dictionaries(below)? else { return Ok(None) };
    replace_children_if_necessary(Arc::clone(plan), vec![below]).map(Some)
}

/// `functions` over rows of `schema`, those that take the greatest or least text of a group as ours. They hand on
/// dictionaries where that is wanted and they take them. `None` if there is no such one.
pub(super) fn extremes(
    functions: &[Function],
    schema: &SchemaRef,
    hands_on: HandsOn,
) -> Result<Option<Vec<Function>>> {
    let mut found = false;
    let mut all = Vec::with_capacity(functions.len());
    for function in functions {
        let ours = extreme_of(function, hands_on).filter(|(_, column)| {
            let dictionary = matches!(schema.field(*column).data_type(), DataType::Dictionary(..));
            dictionary || hands_on == HandsOn::Texts
        });
        let Some((extreme, _)) = ours else {
            all.push(Arc::clone(function));
            continue;
        };
        let extreme = Arc::new(AggregateUDF::from(extreme));
        let mut builder = AggregateExprBuilder::new(extreme, function.expressions())
            .schema(Arc::clone(schema))
            .alias(function.name());
        if let Some(display) = function.human_display() {
            builder = builder.human_display(display);
        }
        if let Some(alias) = function.human_display_alias() {
            builder = builder.human_display_alias(alias);
        }
        all.push(Arc::new(builder.build()?));
        found = true;
    }
    Ok(found.then_some(all))
}

/// Ours in the place of `function`, and the column of texts that it takes the greatest or least of. In which order rows
/// come, and how often, is all the same to it.
pub(super) fn extreme_of(
    function: &AggregateFunctionExpr,
    hands_on: HandsOn,
) -> Option<(Extreme, usize)> {
    let [of] = &*function.expressions() else { return None };
    let column = of.downcast_ref::<Column>()?.index();
    let texts = *function.field().data_type() == DataType::Utf8;
    Some((Extreme::of(function.fun(), hands_on).filter(|_| texts)?, column))
}
