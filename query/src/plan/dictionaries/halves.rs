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

/// `aggregate`, which joins what halves below it hand on, with ours where theirs took texts from dictionaries: those are
/// handed on as dictionaries. All else stays the engine's.
pub(super) fn over_halves(aggregate: &AggregateExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if aggregate.mode().input_mode() != AggregateInputMode::Partial {
        return Ok(None);
    }
    let Some(half) = half_below(aggregate.input()) else { return Ok(None) };
    let functions = aggregate.aggr_expr().iter().zip(half.aggr_expr());
    let ours = functions.map(|(function, of_half)| {
        let both = over_dictionary(of_half, &half.input_schema());
        let extreme = extreme_of(function, HandsOn::Texts).filter(|_| both);
        extreme.map_or(Ok(Arc::clone(function)), |(extreme, _)| {
            with(extreme, function, &aggregate.input_schema())
        })
    });
    let ours = ours.collect::<Result<Vec<Function>>>()?;
    let Some(input) = handing_on_dictionaries(aggregate.input())? else { return Ok(None) };
    let ours: Arc<dyn ExecutionPlan> = Arc::new(aggregate.with_new_aggr_exprs(ours));
    replace_children_if_necessary(ours, vec![input]).map(Some)
}

/// The half that `plan` is, or that is below it.
fn half_below(plan: &Arc<dyn ExecutionPlan>) -> Option<&AggregateExec> {
    if let Some(half) = plan.downcast_ref::<AggregateExec>() {
        return (*half.mode() == AggregateMode::Partial).then_some(half);
    }
    half_below(below(plan)?)
}

/// What `plan` passes on as it is.
fn below(plan: &Arc<dyn ExecutionPlan>) -> Option<&Arc<dyn ExecutionPlan>> {
    let passes_on = plan.is::<RepartitionExec>()
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<Renumber>();
    plan.children().into_iter().next().filter(|_| passes_on)
}

/// The half below, which is `plan` or below it, with what ours took from dictionaries handed on as such; `None` where it
/// took nothing from there.
fn handing_on_dictionaries(
    plan: &Arc<dyn ExecutionPlan>,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    if let Some(half) = plan.downcast_ref::<AggregateExec>() {
        let schema = half.input_schema();
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
    let Some(below) = below(plan) else { return Ok(None) };
    let Some(below) = handing_on_dictionaries(below)? else { return Ok(None) };
    replace_children_if_necessary(Arc::clone(plan), vec![below]).map(Some)
}

/// `functions` over rows of `schema`, those that take the greatest or least text of a group from a dictionary as ours.
/// `None` if there is no such one.
pub(super) fn extremes(
    functions: &[Function],
    schema: &SchemaRef,
    hands_on: HandsOn,
) -> Result<Option<Vec<Function>>> {
    let mut found = false;
    let mut all = Vec::with_capacity(functions.len());
    for function in functions {
        let extreme = extreme_of(function, hands_on);
        all.push(match extreme.filter(|_| over_dictionary(function, schema)) {
            Some((extreme, _)) => {
                found = true;
                with(extreme, function, schema)?
            }
            None => Arc::clone(function),
        });
    }
    Ok(found.then_some(all))
}

/// Whether `function` takes the greatest or least text of a group from a dictionary.
fn over_dictionary(function: &AggregateFunctionExpr, schema: &SchemaRef) -> bool {
    extreme_of(function, HandsOn::Texts).is_some_and(|(_, column)| {
        matches!(schema.field(column).data_type(), DataType::Dictionary(..))
    })
}

/// `extreme` in the place of `function`, over rows of `schema`.
fn with(
    extreme: Extreme,
    function: &AggregateFunctionExpr,
    schema: &SchemaRef,
) -> Result<Function> {
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
    builder.build().map(Arc::new)
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
