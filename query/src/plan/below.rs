//! The way of a column from a node of a plan to those below it.

use std::sync::Arc;

use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::union::UnionExec;

/// Where the children of `plan` have its `column`, when it passes rows on as they come.
pub(super) fn below(plan: &Arc<dyn ExecutionPlan>, column: usize) -> Option<usize> {
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
        || plan.is::<CoalescePartitionsExec>()
        || plan.is::<CooperativeExec>();
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
        assert_eq!(below(&rows, 1), None, "nothing is below");
        let filter = FilterExecBuilder::new(col("a", &schema).unwrap(), Arc::clone(&rows));
        let filter: Arc<dyn ExecutionPlan> = Arc::new(filter.build().unwrap());
        assert_eq!(below(&filter, 1), Some(1));
        let narrow = FilterExecBuilder::new(col("a", &schema).unwrap(), Arc::clone(&rows));
        let narrow = narrow.apply_projection(Some(vec![2, 1])).unwrap().build().unwrap();
        let narrow: Arc<dyn ExecutionPlan> = Arc::new(narrow);
        assert_eq!([0, 1].map(|column| below(&narrow, column)), [Some(2), Some(1)]);
        let exprs: [(Arc<dyn PhysicalExpr>, String); 3] = [
            (col("c", &schema).unwrap(), "a".to_owned()),
            (lit(true), "b".to_owned()),
            (col("a", &schema).unwrap(), "c".to_owned()),
        ];
        let projection = ProjectionExec::try_new(exprs, Arc::clone(&rows)).unwrap();
        let projection: Arc<dyn ExecutionPlan> = Arc::new(projection);
        assert_eq!([0, 1, 2].map(|column| below(&projection, column)), [Some(2), None, Some(0)]);
        let union = UnionExec::try_new(vec![Arc::clone(&rows), rows]).unwrap();
        assert_eq!(below(&union, 2), Some(2));
    }
}
