//! How many parts a plan has, each as often as it stands in it, and each column of a condition for what it is computed of:
//! that is how large the plan may become when conditions are moved to where the rows come from.

use std::collections::HashMap;
use std::rc::Rc;

use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::too_large;
use crate::error::QueryError;

/// Parts of one plan: operators, their columns, and what expressions are made of.
const MAX_PARTS: u64 = 200_000;

/// What may be written of the names of functions, in parts: with more, names alone take seconds.
const MAX_WRITTEN: u64 = 10_000_000;
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

/// Refuses a `plan` with too many parts.
pub(crate) fn must_be_small(plan: &LogicalPlan) -> Result<(), QueryError> {
    let mut parts = Parts::default();
    let all = parts.of(plan)?.all;
    if parts.written > MAX_WRITTEN {
        let message = "functions are computed of functions too often in the query; compute less, or ask in several queries";
        return Err(QueryError::Invalid { message: message.to_owned(), sqlstate: "54001" });
    }
    if all <= MAX_PARTS {
        return Ok(());
    }
    let what = "has more parts than can be planned";
    Err(too_large(what, MAX_PARTS, "compute columns once, join less, or ask in several queries"))
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
}

struct Counted {
    /// For each column, what it is computed of.
    columns: Vec<u64>,
    all: u64,
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
        let all = sum([below, sum(own), columns.len() as u64, 1]);
        let counted = Rc::new(Counted { columns, all });
        self.known.insert(at, Rc::clone(&counted));
        Ok(counted)
    }

    fn expression(&mut self, expr: &Expr, inputs: &Inputs<'_>) -> Result<u64> {
        let mut parts = match expr {
            Expr::Column(column) => computed_of(column, inputs),
            Expr::ScalarSubquery(subquery) => self.of(&subquery.subquery)?.all,
            Expr::Exists(exists) => self.of(&exists.subquery.subquery)?.all,
            Expr::InSubquery(within) => self.of(&within.subquery.subquery)?.all,
            Expr::SetComparison(compared) => self.of(&compared.subquery.subquery)?.all,
            _ => 1,
        };
        let _all = expr.apply_children(|child| {
            parts = parts.saturating_add(self.expression(child, inputs)?);
            Ok(TreeNodeRecursion::Continue)
        })?;
        if matches!(expr, Expr::ScalarFunction(_)) {
            self.written = self.written.saturating_add(parts.saturating_mul(parts));
        }
        Ok(parts)
    }
}

fn computed_of(column: &Column, inputs: &Inputs<'_>) -> u64 {
    let found = inputs.iter().find_map(|(schema, counted)| {
        counted.columns.get(schema.maybe_index_of_column(column)?).copied()
    });
    found.unwrap_or(1)
}

/// What each column of `plan` is computed of.
fn columns(plan: &LogicalPlan, inputs: &Inputs<'_>, own: &[u64]) -> Vec<u64> {
    let count = plan.schema().fields().len();
    let below: Vec<u64> =
        inputs.iter().flat_map(|(_, counted)| counted.columns.iter().copied()).collect();
    let most = below.iter().chain(own).copied().max().unwrap_or(1);
    match plan {
        LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) if own.len() == count => {
            own.to_vec()
        }
        // What a window computes is asked above it only.
        LogicalPlan::Window(_) if below.len() <= count => {
            below.into_iter().chain(std::iter::repeat(1)).take(count).collect()
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
