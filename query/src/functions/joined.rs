//! `||` of two texts as a function, so that it is bounded as `concat` is.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::kernels::concat_elements::concat_elements_dyn;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable as _, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// No name that a text could call.
const NAME: &str = "||";

/// `a || b || c`: nothing where one of them is NULL. A chain is one function of many values, since names of functions
/// within functions are made anew at each level.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Joined(Signature);

impl Joined {
    pub(crate) fn new() -> Self {
        Self(Signature::variadic_any(Volatility::Immutable))
    }
}

/// `expr` as this function where it is the operator, of two values of one type.
pub(crate) fn joined(
    expr: Expr,
    schema: &DFSchema,
    by: &Arc<ScalarUDF>,
) -> Result<Transformed<Expr>> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) = expr else {
        return Ok(Transformed::no(expr));
    };
    if left.get_type(schema)? != right.get_type(schema)? {
        let expr = BinaryExpr { left, op: Operator::StringConcat, right };
        return Ok(Transformed::no(Expr::BinaryExpr(expr)));
    }
    let mut args = match *left {
        Expr::ScalarFunction(ScalarFunction { func, args }) if is_joined(&func) => args,
        other => vec![other],
    };
    args.push(*right);
    let func = Arc::clone(by);
    Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args })))
}

fn is_joined(func: &ScalarUDF) -> bool {
    func.name() == NAME
}

impl ScalarUDFImpl for Joined {
    fn name(&self) -> &str {
        NAME
    }

    /// As the operator's: what is grouped by it, and by its name, is the same.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(args.iter().map(|arg| arg.schema_name().to_string()).collect::<Vec<_>>().join(" || "))
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types.first().cloned().unwrap_or(DataType::Utf8))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<_> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constants = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constants { 1 } else { args.number_rows };
        let all = args.args.into_iter().map(|arg| arg.into_array(rows));
        let both = |left: Result<ArrayRef>, right: Result<ArrayRef>| {
            Ok(concat_elements_dyn(left?.as_ref(), right?.as_ref())?)
        };
        let Some(made) = all.reduce(both).transpose()? else {
            return datafusion::common::exec_err!("{NAME} takes values");
        };
        if constants {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?));
        }
        Ok(ColumnarValue::Array(made))
    }
}
