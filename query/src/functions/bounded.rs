//! Functions that make more than they are given say how much that may be before they make it: what they make is in nobody's
//! account, and a call of theirs cannot be stopped.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::sort_properties::{ExprProperties, SortProperties};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ExpressionPlacement, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature,
};

use super::account::Account;
use super::growth::{Growth, KNOWN};
use crate::error::QueryError;

/// What may come of constants alone, in bytes: it is made while a question is planned.
const MAX_OF_CONSTANTS: u64 = 128 * 1024;
/// What may come of one row, and about what is made at once of several, in bytes.
const MAX_OF_ONE: u64 = 16 * 1024 * 1024;
/// What may come of the rows that are worked on together (8,192 at most), in bytes.
const MAX_OF_ROWS: u64 = 128 * 1024 * 1024;
/// Letters that may be compared for one pair of constants, and for rows that are worked on together.
const MAX_COMPARED_CONSTANTS: u64 = 10_000_000;
const MAX_COMPARED: u64 = 1_000_000_000;
/// The same of a search, which hardly ever goes to the end of a text.
const MAX_SEARCHED: u64 = 100_000_000_000;
/// Patterns that one call may have: each is compiled, and kept until its end.
const MAX_PATTERNS: usize = 16;

/// A function of the engine's that makes no more than it may.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Growth,
    account: Account,
}

/// `expr`, bounded where it is a function that needs it.
pub(crate) fn bounded(expr: Expr, account: &Account) -> Transformed<Expr> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else {
        return Transformed::no(expr);
    };
    let known = KNOWN.iter().find(|(name, _)| *name == func.name());
    match known.filter(|_| !func.inner().is::<Bounded>()) {
        Some((_, growth)) => {
            let account = account.clone();
            let bounded = Bounded { inner: func, growth: *growth, account };
            let func = Arc::new(ScalarUDF::from(bounded));
            Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args }))
        }
        None => Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args })),
    }
}

impl Bounded {
    fn too_much(&self, most: u64, max: u64, of: &'static str) -> QueryError {
        let function = self.inner.name().to_owned();
        let unit = if self.growth.compares() { "comparisons" } else { "bytes" };
        QueryError::TooMuchMade { function, most, max, unit, of }
    }

    /// What is made of the rows, some at a time, so that what could be made of all of them never is.
    fn by_parts(&self, args: &ScalarFunctionArgs, most: &[u64]) -> Result<ColumnarValue> {
        let mut made: Vec<ArrayRef> = Vec::new();
        let (mut bytes, mut from) = (0_u64, 0);
        while from < most.len() {
            let mut sum = 0_u64;
            let fits = most.iter().skip(from).take_while(|most| {
                sum = sum.saturating_add(**most);
                sum <= MAX_OF_ONE
            });
            let rows = fits.count().max(1);
            let part = self.inner.invoke_with_args(part(args, from, rows))?.into_array(rows)?;
            bytes = bytes.saturating_add(part.get_array_memory_size() as u64);
            if bytes > MAX_OF_ROWS {
                return Err(self.too_much(bytes, MAX_OF_ROWS, "rows").into());
            }
            made.push(part);
            from += rows;
        }
        let made: Vec<_> = made.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(arrow::compute::concat(&made)?))
    }
}

fn must_be_few_patterns(function: &str, pattern: Option<&ColumnarValue>) -> Result<()> {
    let Some(ColumnarValue::Array(patterns)) = pattern else { return Ok(()) };
    let texts = arrow::compute::cast(patterns, &DataType::LargeUtf8)?;
    let mut known = HashSet::new();
    for text in texts.as_string::<i64>().iter().flatten() {
        known.insert(text);
        if known.len() > MAX_PATTERNS {
            let message = format!(
                "`{function}` has more than {MAX_PATTERNS} patterns at once; give it one that is the same for all rows"
            );
            return Err(QueryError::Invalid { message, sqlstate: "54000" }.into());
        }
    }
    Ok(())
}

/// `rows` of what a function is called with.
fn part(args: &ScalarFunctionArgs, from: usize, rows: usize) -> ScalarFunctionArgs {
    let cut = |value: &ColumnarValue| match value {
        ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(from, rows)),
        scalar @ ColumnarValue::Scalar(_) => scalar.clone(),
    };
    ScalarFunctionArgs {
        args: args.args.iter().map(cut).collect(),
        arg_fields: args.arg_fields.clone(),
        number_rows: rows,
        return_field: Arc::clone(&args.return_field),
        config_options: Arc::clone(&args.config_options),
    }
}

impl ScalarUDFImpl for Bounded {
    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constants = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constants { 1 } else { args.number_rows };
        let each = self.growth.most(&args.args, rows)?;
        let most = each.iter().copied().max().unwrap_or(0);
        let all = each.iter().fold(0_u64, |sum, most| sum.saturating_add(*most));
        let compares = self.growth.compares();
        let compared = if self.growth == Growth::Searched { MAX_SEARCHED } else { MAX_COMPARED };
        if self.growth.has_pattern() {
            must_be_few_patterns(self.inner.name(), args.args.get(1))?;
        }
        match (constants, compares) {
            (true, false) if most > MAX_OF_CONSTANTS => {
                Err(self.too_much(most, MAX_OF_CONSTANTS, "constants").into())
            }
            (true, true) if most > MAX_COMPARED_CONSTANTS => {
                Err(self.too_much(most, MAX_COMPARED_CONSTANTS, "constants").into())
            }
            (false, true) if all > compared => Err(self.too_much(all, compared, "rows").into()),
            (false, false) if most > MAX_OF_ONE => {
                Err(self.too_much(most, MAX_OF_ONE, "one row").into())
            }
            (false, false) => {
                let made = if all > MAX_OF_ONE {
                    self.by_parts(&args, &each)?
                } else {
                    self.inner.invoke_with_args(args)?
                };
                if let ColumnarValue::Array(array) = &made {
                    self.account.pays_for(array)?;
                }
                Ok(made)
            }
            _ => self.inner.invoke_with_args(args),
        }
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(match self.inner.simplify(args, info)? {
            ExprSimplifyResult::Simplified(expr) => {
                // What it is made simpler by may be a function of this kind again.
                let again = |expr| Ok(bounded(expr, &self.account));
                ExprSimplifyResult::Simplified(expr.transform(again).data()?)
            }
            original @ ExprSimplifyResult::Original(_) => original,
        })
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.inner.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn is_strict(&self) -> bool {
        self.inner.is_strict()
    }

    fn short_circuits(&self) -> bool {
        self.inner.short_circuits()
    }

    fn conditional_arguments<'a>(
        &self,
        args: &'a [Expr],
    ) -> Option<(Vec<&'a Expr>, Vec<&'a Expr>)> {
        self.inner.conditional_arguments(args)
    }

    fn evaluate_bounds(&self, input: &[&Interval]) -> Result<Interval> {
        self.inner.evaluate_bounds(input)
    }

    fn propagate_constraints(
        &self,
        interval: &Interval,
        inputs: &[&Interval],
    ) -> Result<Option<Vec<Interval>>> {
        self.inner.propagate_constraints(interval, inputs)
    }

    fn output_ordering(&self, inputs: &[ExprProperties]) -> Result<SortProperties> {
        self.inner.output_ordering(inputs)
    }

    fn preserves_lex_ordering(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.preserves_lex_ordering(inputs)
    }

    fn strictly_order_preserving(&self, inputs: &[ExprProperties]) -> Result<bool> {
        self.inner.strictly_order_preserving(inputs)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn placement(&self, args: &[ExpressionPlacement]) -> ExpressionPlacement {
        self.inner.placement(args)
    }
}
