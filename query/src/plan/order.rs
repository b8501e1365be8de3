//! A question for the first rows in some order begins with the files that can have them: what it has found by then lets it
//! skip the others.
//!
//! The engine does so itself, but looks neither through a filter nor through the union of lake and tail. Only the order
//! of reading changes; nothing is promised of the order of rows, all are sorted as before.

use std::sync::Arc;

use datafusion::arrow::compute::SortOptions;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::datasource::physical_plan::{FileSource as _, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{
    ExecutionPlan, SortOrderPushdownResult, replace_children_if_necessary,
};

use super::below::below;

/// See the module.
#[derive(Debug)]
pub(super) struct FirstRowsFirst;

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
    let Some(below) = below(plan, column) else {
        let schema = plan.schema();
        let name = name_in_files(plan, column).unwrap_or_else(|| schema.field(column).name());
        let first = PhysicalSortExpr { expr: Arc::new(Column::new(name, column)), options };
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

/// What the `column` of a scan is called in its files: by that name the scan knows it.
fn name_in_files(plan: &Arc<dyn ExecutionPlan>, column: usize) -> Option<&str> {
    let (_, files) =
        plan.downcast_ref::<DataSourceExec>()?.downcast_to_file_source::<ParquetSource>()?;
    let expr = &files.projection()?.as_ref().get(column)?.expr;
    expr.downcast_ref::<Column>().map(Column::name)
}
