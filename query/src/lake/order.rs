//! A question for the first rows in some order begins with the files that can have them: what it has found by then lets it
//! skip the others.
//!
//! The engine does so itself, but looks neither through a filter nor through the union of lake and tail. Only the order
//! of reading changes; nothing is promised of the order of rows, all are sorted as before.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{
    ExecutionPlan, SortOrderPushdownResult, replace_children_if_necessary,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct FirstRowsFirst;

impl PhysicalOptimizerRule for FirstRowsFirst {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let ordered = |plan: Arc<dyn ExecutionPlan>| {
            let sort = plan.downcast_ref::<SortExec>().filter(|sort| sort.fetch().is_some());
            let Some(sort) = sort else { return Ok(Transformed::no(plan)) };
            let first = sort.expr().first();
            let Some(column) = first.expr.downcast_ref::<Column>() else {
                return Ok(Transformed::no(plan));
            };
            match begun(sort.input(), column.index(), first.options)? {
                Some(input) => {
                    Ok(Transformed::yes(replace_children_if_necessary(plan, vec![input])?))
                }
                None => Ok(Transformed::no(plan)),
            }
        };
        plan.transform_down(ordered).data()
    }

    fn name(&self) -> &str {
        "FirstRowsFirst"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// `plan` with scans that begin where the order of its `column` does, if it has one that can.
fn begun(
    plan: &Arc<dyn ExecutionPlan>,
    column: usize,
    options: SortOptions,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(below) = beneath(plan, column) else {
        let schema = plan.schema();
        let expr = Arc::new(Column::new(schema.field(column).name(), column));
        let first = PhysicalSortExpr { expr, options };
        return Ok(match plan.try_pushdown_sort(&[first])? {
            SortOrderPushdownResult::Inexact { inner } => Some(inner),
            // What is exact would be about this column alone.
            SortOrderPushdownResult::Exact { .. } | SortOrderPushdownResult::Unsupported => None,
        });
    };
    let mut any = false;
    let mut children = Vec::new();
    for child in plan.children() {
        let other = begun(child, below, options)?;
        any |= other.is_some();
        children.push(other.unwrap_or_else(|| Arc::clone(child)));
    }
    if !any {
        return Ok(None);
    }
    replace_children_if_necessary(Arc::clone(plan), children).map(Some)
}

/// Where the children of `plan` have its `column`, when it passes rows on as they come.
fn beneath(plan: &Arc<dyn ExecutionPlan>, column: usize) -> Option<usize> {
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let kept = filter.projection().as_ref();
        return kept.map_or(Some(column), |kept| kept.get(column).copied());
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let expr = &projection.expr().get(column)?.expr;
        return expr.downcast_ref::<Column>().map(Column::index);
    }
    let passes = plan.is::<UnionExec>()
        || plan.is::<RepartitionExec>()
        || plan.is::<CoalescePartitionsExec>();
    passes.then_some(column)
}
