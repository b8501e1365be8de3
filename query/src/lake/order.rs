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

#[cfg(test)]
mod tests {
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::physical_expr::expressions::{col, lit};
    use datafusion::physical_plan::PhysicalExpr;
    use datafusion::physical_plan::empty::EmptyExec;
    use datafusion::physical_plan::filter::FilterExecBuilder;

    use super::*;

    #[test]
    fn a_column_is_followed_to_its_place_below() {
        let fields = ["a", "b", "c"].map(|name| Field::new(name, DataType::Boolean, true));
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let rows: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(Arc::clone(&schema)));
        assert_eq!(beneath(&rows, 1), None, "nothing is below");
        let filter = FilterExecBuilder::new(col("a", &schema).unwrap(), Arc::clone(&rows));
        let filter: Arc<dyn ExecutionPlan> = Arc::new(filter.build().unwrap());
        assert_eq!(beneath(&filter, 1), Some(1));
        let narrow = FilterExecBuilder::new(col("a", &schema).unwrap(), Arc::clone(&rows));
        let narrow = narrow.apply_projection(Some(vec![2, 1])).unwrap().build().unwrap();
        let narrow: Arc<dyn ExecutionPlan> = Arc::new(narrow);
        assert_eq!([0, 1].map(|column| beneath(&narrow, column)), [Some(2), Some(1)]);
        let exprs: [(Arc<dyn PhysicalExpr>, String); 3] = [
            (col("c", &schema).unwrap(), "a".to_owned()),
            (lit(true), "b".to_owned()),
            (col("a", &schema).unwrap(), "c".to_owned()),
        ];
        let projection = ProjectionExec::try_new(exprs, Arc::clone(&rows)).unwrap();
        let projection: Arc<dyn ExecutionPlan> = Arc::new(projection);
        assert_eq!([0, 1, 2].map(|column| beneath(&projection, column)), [Some(2), None, Some(0)]);
        let union = UnionExec::try_new(vec![Arc::clone(&rows), rows]).unwrap();
        assert_eq!(beneath(&union, 2), Some(2));
    }
}
