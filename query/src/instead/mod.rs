//! Functions that are computed in a way of our own where the engine's is slow, or takes more memory than a question may
//! have. What is asked, what it is called and what comes out are the same.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::error::Result;
use datafusion::functions::datetime::date_part::DatePartFunc;
use datafusion::functions_aggregate::count::Count;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{AggregateUDF, Expr, ExprSchemable as _, LogicalPlan, ScalarUDF};
use datafusion::optimizer::AnalyzerRule;

mod count_numbers;
mod numbers;
mod utc;

use count_numbers::CountNumbers;
use utc::DatePartInUtc;

use crate::functions::{Account, Joined, bounded, joined};

/// Puts them in the place of the engine's.
#[derive(Debug)]
pub(crate) struct OurOwnWay {
    count: Arc<AggregateUDF>,
    date_part: Arc<ScalarUDF>,
    joined: Arc<ScalarUDF>,
    account: Account,
}

impl OurOwnWay {
    /// What functions make is paid for by `account`.
    pub(crate) fn new(account: Account) -> Self {
        Self {
            count: Arc::new(AggregateUDF::from(CountNumbers::new())),
            date_part: Arc::new(ScalarUDF::from(DatePartInUtc::new())),
            joined: Arc::new(ScalarUDF::from(Joined::new())),
            account,
        }
    }

    /// Functions of one row's values, among what is computed of rows of `schema`.
    fn of_one_row(&self, expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        self.date_part(expr)
            .transform_data(|expr| joined(expr, schema, &self.joined))?
            .transform_data(|expr| Ok(bounded(expr, &self.account)))
    }

    /// `count(DISTINCT number)` among what is computed of `input`.
    fn count(&self, expr: Expr, input: &LogicalPlan) -> Result<Transformed<Expr>> {
        let Expr::AggregateFunction(AggregateFunction { func, params }) = &expr else {
            return Ok(Transformed::no(expr));
        };
        let plain =
            params.distinct && params.order_by.is_empty() && params.null_treatment.is_none();
        let [of] = params.args.as_slice() else { return Ok(Transformed::no(expr)) };
        let number = matches!(of.get_type(input.schema())?, DataType::Int32 | DataType::Int64);
        if !plain || !number || !func.inner().is::<Count>() {
            return Ok(Transformed::no(expr));
        }
        let params = AggregateFunctionParams { distinct: false, ..params.clone() };
        let func = Arc::clone(&self.count);
        Ok(Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params })))
    }

    fn date_part(&self, mut expr: Expr) -> Transformed<Expr> {
        match &mut expr {
            Expr::ScalarFunction(ScalarFunction { func, .. })
                if func.inner().is::<DatePartFunc>() =>
            {
                *func = Arc::clone(&self.date_part);
                Transformed::yes(expr)
            }
            _ => Transformed::no(expr),
        }
    }
}

impl AnalyzerRule for OurOwnWay {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let ours = |plan: LogicalPlan| {
            let input = match &plan {
                LogicalPlan::Aggregate(aggregate) => Some(Arc::clone(&aggregate.input)),
                _ => None,
            };
            let schema = merge_schema(&plan.inputs());
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let own = expr.transform_up(|expr| {
                    let own = match &input {
                        Some(input) => self.count(expr, input)?,
                        None => Transformed::no(expr),
                    };
                    own.transform_data(|expr| self.of_one_row(expr, &schema))
                })?;
                Ok(own.update_data(|expr| name.restore(expr)))
            })
        };
        plan.transform_up_with_subqueries(ours).data()
    }

    fn name(&self) -> &str {
        "our_own_way"
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datafusion::common::tree_node::TreeNodeRecursion;
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::config::Limits;
    use crate::engine::base_session;

    /// The plan of `sql` as it is computed.
    async fn plan_of(sql: &str) -> LogicalPlan {
        let context = SessionContext::new_with_state(base_session(&Limits::default()).unwrap());
        let rows =
            "CREATE VIEW t AS SELECT column1 AS n, CAST(column1 AS INT) AS small, column2 AS word,
                    arrow_cast(column1, 'Timestamp(Microsecond, Some(\"UTC\"))') AS at
             FROM (VALUES (1, 'a'), (2, 'b'), (2, 'b'))";
        let _made = context.sql(rows).await.unwrap();
        let plan = context.state().create_logical_plan(sql).await.unwrap();
        context.state().optimize(&plan).unwrap()
    }

    /// What `seen` tells of all expressions of `plan`.
    fn told(plan: &LogicalPlan, seen: impl Fn(&Expr) -> Option<String>) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let _all = plan
            .apply_with_subqueries(|node| {
                node.apply_expressions(|expr| {
                    expr.apply(|expr| {
                        found.extend(seen(expr));
                        Ok(TreeNodeRecursion::Continue)
                    })
                })
            })
            .unwrap();
        found
    }

    #[tokio::test]
    async fn whole_numbers_are_counted_by_blocks_and_all_else_as_before() {
        let ours = ["count_numbers"];
        let both = ["count", "count_numbers"];
        let engines = ["count"];
        for (sql, by) in [
            ("SELECT count(DISTINCT n) FROM t", ours.as_slice()),
            ("SELECT word, count(DISTINCT small) FROM t GROUP BY word", &ours),
            (
                "SELECT word, count(*), count(DISTINCT n) FILTER (WHERE n > 1) FROM t GROUP BY word",
                &both,
            ),
            (
                "SELECT word FROM t GROUP BY word HAVING count(DISTINCT n) > 1 ORDER BY count(DISTINCT n)",
                &ours,
            ),
            ("SELECT (SELECT count(DISTINCT n) FROM t) AS x, 1 AS y", &ours),
            ("SELECT count(n), count(DISTINCT word) FROM t", &engines),
            ("SELECT count(DISTINCT n * 1.5), count(*) FROM t", &engines),
        ] {
            let wanted: BTreeSet<String> = by.iter().map(|name| (*name).to_owned()).collect();
            let aggregates = |expr: &Expr| match expr {
                Expr::AggregateFunction(AggregateFunction { func, .. }) => {
                    Some(func.name().to_owned())
                }
                _ => None,
            };
            assert_eq!(told(&plan_of(sql).await, aggregates), wanted, "{sql}");
        }
    }

    #[tokio::test]
    async fn parts_of_times_are_ours_however_they_are_asked_for() {
        let whose = |expr: &Expr| match expr {
            Expr::ScalarFunction(ScalarFunction { func, .. }) if func.name() == "date_part" => {
                Some(
                    if func.inner().is::<DatePartInUtc>() { "ours" } else { "engine's" }.to_owned(),
                )
            }
            _ => None,
        };
        for sql in [
            "SELECT date_part('hour', at) FROM t",
            "SELECT n FROM t WHERE EXTRACT(hour FROM at) < 7 OR datepart('dow', at) = 0",
            "SELECT date_part('hour', at) AS h, count(*) FROM t GROUP BY h",
            "SELECT count(DISTINCT date_part('hour', at)), max(date_part('dow', at)) FROM t",
            "SELECT n FROM t WHERE n IN (SELECT date_part('hour', at) FROM t)",
        ] {
            let ours = BTreeSet::from(["ours".to_owned()]);
            assert_eq!(told(&plan_of(sql).await, whose), ours, "{sql}");
        }
        // The engine still knows which times a year has.
        let year = plan_of("SELECT n FROM t WHERE date_part('year', at) = 1970").await;
        assert_eq!(told(&year, whose), BTreeSet::new(), "{year}");
    }
}
