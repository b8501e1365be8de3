//! What a view leaves out, no expression of a reader's ever looks at: not the answer, and not an error either.
//!
//! The engine puts the conditions of a view and of the question into one and asks them in any order. So the conditions of
//! a view become a part of its table, below everything that is planned for the question, and before them only what tells
//! nothing is asked. PostgreSQL has it as `security_barrier`, with functions that are `LEAKPROOF`.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{
    Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion,
};
use datafusion::common::{Column, DFSchema};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{
    BinaryExpr, Cast, Expr, ExprSchemable as _, LogicalPlan, LogicalPlanBuilder, Operator,
};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;

use crate::table::EventsTable;

/// Functions that give a value for every value, so that they say nothing of those which nobody sees in the end.
pub(crate) const TELL_NOTHING: [&str; 18] = [
    "array_has",
    "array_has_all",
    "array_has_any",
    "array_length",
    "cardinality",
    "character_length",
    "coalesce",
    "contains",
    "date_part",
    "date_trunc",
    "ends_with",
    "lower",
    "nullif",
    "octet_length",
    "reverse",
    "starts_with",
    "strpos",
    "upper",
];

/// `plan` with what it asks of events asked by their table.
pub(crate) fn inside(plan: LogicalPlan) -> Result<LogicalPlan> {
    let inner = |plan: LogicalPlan| {
        let LogicalPlan::Filter(filter) = &plan else { return Ok(Transformed::no(plan)) };
        let LogicalPlan::TableScan(scan) = filter.input.as_ref() else {
            return Ok(Transformed::no(plan));
        };
        let provider = source_as_provider(&scan.source)?;
        let Some(events) = provider.downcast_ref::<EventsTable>() else {
            return Ok(Transformed::no(plan));
        };
        let schema = Arc::clone(filter.input.schema());
        let context = SimplifyContext::builder().with_schema(Arc::clone(&schema)).build();
        let simplifier = ExprSimplifier::new(context);
        let only = simplifier.coerce(filter.predicate.clone(), &schema)?;
        // Some of what is asked is known in no other form when it runs.
        let only = simplifier.simplify(only)?;
        let only = only.transform(|expr| Ok(unqualified(expr))).data()?;
        let events = events.only(split_conjunction_owned(only));
        let source = provider_as_source(Arc::new(events));
        let scan = LogicalPlanBuilder::scan(scan.table_name.clone(), source, None)?;
        Ok(Transformed::yes(scan.build()?))
    };
    plan.transform_up_with_subqueries(inner).data()
}

fn unqualified(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::Column(column) => Transformed::yes(Expr::Column(Column::from_name(column.name))),
        other => Transformed::no(other),
    }
}

/// Whether `condition` may be asked of rows that are not for the reader: it fails on none.
pub(crate) fn tells_nothing(condition: &Expr, schema: &DFSchema) -> bool {
    let asked = condition.apply(|expr| {
        let nothing = one_tells_nothing(expr, schema);
        Ok(if nothing { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    matches!(asked, Ok(TreeNodeRecursion::Continue))
}

fn one_tells_nothing(expr: &Expr, schema: &DFSchema) -> bool {
    match expr {
        Expr::Column(_)
        | Expr::Literal(..)
        | Expr::Not(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_)
        | Expr::Between(_)
        | Expr::InList(_)
        | Expr::Case(_)
        | Expr::TryCast(_) => true,
        // A pattern that is no constant may be none for one row.
        Expr::Like(like) => matches!(like.pattern.as_ref(), Expr::Literal(..)),
        Expr::BinaryExpr(BinaryExpr { op, right, .. }) => match op {
            Operator::And
            | Operator::Or
            | Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom => true,
            Operator::RegexMatch
            | Operator::RegexIMatch
            | Operator::RegexNotMatch
            | Operator::RegexNotIMatch
            | Operator::LikeMatch
            | Operator::ILikeMatch
            | Operator::NotLikeMatch
            | Operator::NotILikeMatch => matches!(right.as_ref(), Expr::Literal(..)),
            _ => false,
        },
        Expr::Cast(Cast { expr, field }) => {
            expr.get_type(schema).is_ok_and(|from| always_casts(&from, field.data_type()))
        }
        Expr::ScalarFunction(ScalarFunction { func, .. }) => TELL_NOTHING.contains(&func.name()),
        _ => false,
    }
}

/// Whether every value of `from` is one of `to`.
fn always_casts(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    match (from, to) {
        (from, to) if from == to => true,
        (T::Utf8 | T::LargeUtf8 | T::Utf8View, T::Utf8 | T::LargeUtf8 | T::Utf8View) => true,
        (T::Int32, T::Int64 | T::Float64) | (T::Int64, T::Float64) => true,
        // The times of events are of our age.
        (T::Date32 | T::Timestamp(..), T::Timestamp(..)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{cast, col, lit, try_cast};

    use super::*;
    use crate::table::full_schema;

    #[test]
    fn what_may_fail_or_is_not_known_waits() {
        let schema = DFSchema::try_from(full_schema()).unwrap();
        let number = || cast(col("statement"), DataType::Int32);
        for (condition, before) in [
            (col("family").eq(lit("query")).and(col("rows").gt(lit(1_i64))), true),
            (col("reason").like(lit("a%")).or(col("time").is_null()), true),
            (cast(col("log_partition"), DataType::Int64).lt(lit(2_i64)), true),
            (try_cast(col("statement"), DataType::Int32).eq(lit(1)), true),
            (col("reason").in_list(vec![lit("a"), lit("b")], true), true),
            (number().eq(lit(1)), false),
            (col("family").eq(lit("query")).and(number().eq(lit(1))), false),
            (number().is_null(), false),
            (col("reason").like(col("statement")), false),
            ((lit(1_i64) / col("rows")).gt(lit(1_i64)), false),
        ] {
            assert_eq!(tells_nothing(&condition, &schema), before, "{condition}");
        }
    }
}
