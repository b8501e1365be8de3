//! How many parts a plan has, each as often as it stands in it, and each column of a condition for what it is computed of:
//! that is how large the plan may become when conditions are moved to where the rows come from.

use std::collections::HashMap;
use std::rc::Rc;

use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::{ScalarFunction, WindowFunction};
use datafusion::logical_expr::{Expr, GroupingSet, LogicalPlan};

use super::too_large;
use crate::error::QueryError;

/// Parts of one plan: operators, their columns, and what expressions are made of.
const MAX_PARTS: u64 = 200_000;
/// What may be written of the names of functions, in parts: with more, names alone take seconds.
const MAX_WRITTEN: u64 = 10_000_000;
/// Branches of one CASE: what is compared with it is compared with each of them, and each with all others.
const MAX_BRANCHES: usize = 200;
/// Calls that compare each letter with each other.
const MAX_COMPARING: u64 = 16;
/// Rows that are worked on together, where at most so many things are computed of them.
const MANY_ROWS: usize = 8_192;
const FEW_COMPUTED: usize = 128;
/// Rows that are worked on together, however much is computed of them.
const FEW_ROWS: usize = 64;
/// A constant that is longer takes memory beside each row.
const SHORT_BYTES: usize = 1024;
/// What all of those of a plan may take, and what they may take beside the rows that are worked on together.
const MAX_CONSTANTS_BYTES: usize = 16 * 1024 * 1024;
const BESIDE_ROWS_BYTES: usize = 256 * 1024 * 1024;

/// Aggregates that keep all that they were given, and as windows do so for every row.
const GATHERING: [&str; 2] = ["array_agg", "string_agg"];
/// Functions that take a type by its name in the engine.
const CASTING: [&str; 2] = ["arrow_cast", "arrow_try_cast"];

/// Refuses a `plan` with too many parts, or with some that cost out of all measure.
pub(crate) fn must_be_small(plan: &LogicalPlan) -> Result<(), QueryError> {
    let mut parts = Parts::default();
    let all = parts.of(plan)?.all;
    if parts.written > MAX_WRITTEN {
        return Err(refused(
            "54001",
            "functions are computed of functions too often in the query; compute less, or ask in several queries",
        ));
    }
    if parts.comparing > MAX_COMPARING {
        return Err(refused(
            "54001",
            "the query has more than 16 calls of levenshtein; ask in several queries",
        ));
    }
    if all <= MAX_PARTS {
        return Ok(());
    }
    let what = "has more parts than can be planned";
    Err(too_large(what, MAX_PARTS, "compute columns once, join less, or ask in several queries"))
}

fn refused(sqlstate: &'static str, message: &str) -> QueryError {
    QueryError::Invalid { message: message.to_owned(), sqlstate }
}

/// How many rows are worked on together: of a `plan` that computes much of each, or puts long constants beside each, fewer,
/// since all that is there at once. Refuses one whose constants are too long altogether.
pub(crate) fn rows_at_once(plan: &LogicalPlan) -> Result<usize, QueryError> {
    let (mut computed, mut constants) = (0_usize, 0_usize);
    let _all = plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                let given = matches!(expr, Expr::Column(_) | Expr::Literal(..) | Expr::Alias(_));
                computed = computed.saturating_add(usize::from(!given));
                if let Expr::Literal(value, _) = expr {
                    let long = Some(value.size()).filter(|size| *size > SHORT_BYTES);
                    constants = constants.saturating_add(long.unwrap_or(0));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    if constants > MAX_CONSTANTS_BYTES {
        let what = "has more bytes of constants than can be planned";
        return Err(too_large(what, MAX_CONSTANTS_BYTES as u64, "make fewer, or shorter ones"));
    }
    let rows = MANY_ROWS.saturating_mul(FEW_COMPUTED) / computed.max(1);
    // Each may stand beside each row, in all that is computed of it.
    let beside = constants.saturating_mul(computed.saturating_add(1)).max(1);
    Ok(rows.clamp(FEW_ROWS, MANY_ROWS).min(BESIDE_ROWS_BYTES / beside).max(1))
}

/// What was counted, by place: what is named twice is counted once, and added twice.
#[derive(Default)]
struct Parts {
    known: HashMap<*const LogicalPlan, Rc<Counted>>,
    /// How much of names is written: that of a function is made of those of all that it is called with, level by level.
    written: u64,
    /// Calls of functions that compare each letter with each other.
    comparing: u64,
}

struct Counted {
    /// For each column, what it is computed of.
    columns: Vec<Made>,
    all: u64,
}

/// What an expression, or a column, is made of.
#[derive(Clone, Copy)]
struct Made {
    parts: u64,
    /// Functions within functions.
    depth: u64,
}

impl Made {
    const ONE: Self = Self { parts: 1, depth: 0 };

    const fn with(self, other: Self) -> Self {
        let depth = if self.depth > other.depth { self.depth } else { other.depth };
        Self { parts: self.parts.saturating_add(other.parts), depth }
    }
}

type Inputs<'a> = Vec<(&'a DFSchema, Rc<Counted>)>;

impl Parts {
    fn of(&mut self, plan: &LogicalPlan) -> Result<Rc<Counted>> {
        let at = std::ptr::from_ref(plan);
        if let Some(counted) = self.known.get(&at) {
            return Ok(Rc::clone(counted));
        }
        let mut inputs = Inputs::new();
        for input in plan.inputs() {
            inputs.push((input.schema().as_ref(), self.of(input)?));
        }
        let mut own = Vec::new();
        let _all = plan.apply_expressions(|expr| {
            own.push(self.expression(expr, &inputs)?);
            Ok(TreeNodeRecursion::Continue)
        })?;
        let columns = columns(plan, &inputs, &own);
        let below = sum(inputs.iter().map(|(_, counted)| counted.all));
        let all = sum([below, sum(own.iter().map(|made| made.parts)), columns.len() as u64, 1]);
        let counted = Rc::new(Counted { columns, all });
        self.known.insert(at, Rc::clone(&counted));
        Ok(counted)
    }

    fn expression(&mut self, expr: &Expr, inputs: &Inputs<'_>) -> Result<Made> {
        let mut question = |plan: &LogicalPlan| {
            Ok::<_, datafusion::error::DataFusionError>(Made {
                parts: self.of(plan)?.all,
                depth: 0,
            })
        };
        let mut made = match expr {
            Expr::Column(column) => computed_of(column, inputs),
            Expr::ScalarSubquery(subquery) => question(&subquery.subquery)?,
            Expr::Exists(exists) => question(&exists.subquery.subquery)?,
            Expr::InSubquery(within) => question(&within.subquery.subquery)?,
            Expr::SetComparison(compared) => question(&compared.subquery.subquery)?,
            Expr::GroupingSet(GroupingSet::Cube(of)) => {
                let sets = 1_u64.checked_shl(u32::try_from(of.len()).unwrap_or(u32::MAX));
                Made { parts: sets.unwrap_or(u64::MAX).saturating_mul(of.len() as u64), depth: 0 }
            }
            _ => Made::ONE,
        };
        let _all = expr.apply_children(|child| {
            made = made.with(self.expression(child, inputs)?);
            Ok(TreeNodeRecursion::Continue)
        })?;
        self.must_be_known_to_end(expr)?;
        if matches!(expr, Expr::ScalarFunction(_)) {
            made.depth = made.depth.saturating_add(1);
            self.written = self.written.saturating_add(made.parts.saturating_mul(made.depth));
        }
        Ok(made)
    }

    /// What costs out of all measure with what it looks like.
    fn must_be_known_to_end(&mut self, expr: &Expr) -> Result<(), QueryError> {
        match expr {
            Expr::Case(case) if case.when_then_expr.len() > MAX_BRANCHES => Err(refused(
                "54001",
                "a CASE of the query has more than 200 branches; join a list (VALUES) instead",
            )),
            Expr::WindowFunction(window) if gathers(window) => Err(refused(
                "0A000",
                "array_agg and string_agg are no window functions here: they would keep a list for every row; group instead",
            )),
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                self.comparing += u64::from(func.name() == "levenshtein");
                if CASTING.contains(&func.name()) && args.iter().any(is_of_fixed_size) {
                    return Err(refused(
                        "0A000",
                        "types of a fixed size are not made here; cast to text, bytea or a list",
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn gathers(window: &WindowFunction) -> bool {
    GATHERING.contains(&window.fun.name())
}

fn is_of_fixed_size(arg: &Expr) -> bool {
    let Expr::Literal(ScalarValue::Utf8(Some(name)), _) = arg else { return false };
    name.contains("FixedSize")
}

fn computed_of(column: &Column, inputs: &Inputs<'_>) -> Made {
    let found = inputs.iter().find_map(|(schema, counted)| {
        counted.columns.get(schema.maybe_index_of_column(column)?).copied()
    });
    found.unwrap_or(Made::ONE)
}

/// What each column of `plan` is computed of.
fn columns(plan: &LogicalPlan, inputs: &Inputs<'_>, own: &[Made]) -> Vec<Made> {
    let count = plan.schema().fields().len();
    let below: Vec<Made> =
        inputs.iter().flat_map(|(_, counted)| counted.columns.iter().copied()).collect();
    let most = below.iter().chain(own).copied().fold(Made::ONE, |one, other| Made {
        parts: one.parts.max(other.parts),
        depth: one.depth.max(other.depth),
    });
    match plan {
        LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) if own.len() == count => {
            own.to_vec()
        }
        // What a window computes is asked above it only.
        LogicalPlan::Window(_) if below.len() <= count => {
            below.into_iter().chain(std::iter::repeat(Made::ONE)).take(count).collect()
        }
        LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Join(_)
            if below.len() == count =>
        {
            below
        }
        _ => vec![most; count],
    }
}

fn sum(parts: impl IntoIterator<Item = u64>) -> u64 {
    parts.into_iter().fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::config::Limits;
    use crate::engine::base_session;

    async fn rows(sql: &str) -> Result<usize, QueryError> {
        let state =
            SessionContext::new_with_state(base_session(&Limits::default()).unwrap()).state();
        let plan = state.create_logical_plan(sql).await.unwrap();
        rows_at_once(&plan)
    }

    #[tokio::test]
    async fn fewer_rows_are_worked_on_where_more_stands_beside_each() {
        let of = "FROM (VALUES ('a', 1)) v (x, n)";
        assert_eq!(rows(&format!("SELECT lower(x), n + 1 {of}")).await.unwrap(), MANY_ROWS);
        let many = vec!["lower(x)"; 1_024].join(", ");
        let some = rows(&format!("SELECT [{many}] {of}")).await.unwrap();
        assert!((FEW_ROWS..=MANY_ROWS / 8).contains(&some), "{some}");
        let long = "x".repeat(1024 * 1024);
        let few = rows(&format!("SELECT lower(x), '{long}' {of}")).await.unwrap();
        assert!((1..=128).contains(&few), "{few}");
        let longer = vec![format!("'{long}'"); 17].join(", ");
        let refused = rows(&format!("SELECT [{longer}]")).await.unwrap_err();
        assert_eq!(refused.sqlstate(), "54001");
    }
}
