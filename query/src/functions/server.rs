//! Functions by which clients ask a server about itself.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, StringArray, new_empty_array};
use arrow::datatypes::{DataType, Field};
use datafusion::common::cast::{as_boolean_array, as_string_array};
use datafusion::common::{ScalarValue, exec_err, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{FunctionRegistry as _, SessionState};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility, create_udf,
};

use crate::described::{SERVER_VERSION, setting};
use crate::error::QueryError;

/// Puts them in place of the engine's own, or where it has none.
pub(super) fn add(state: &mut SessionState) -> Result<()> {
    let version = ScalarValue::from(format!("PostgreSQL {SERVER_VERSION}"));
    let says = Arc::new(move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(version.clone())));
    let version = create_udf("version", Vec::new(), DataType::Utf8, Volatility::Stable, says);
    for function in [
        version,
        ScalarUDF::from(CurrentSetting::new()),
        ScalarUDF::from(Unsaid::new("obj_description", &[1, 2])),
        ScalarUDF::from(Unsaid::new("shobj_description", &[2])),
        ScalarUDF::from(Unsaid::new("col_description", &[2])),
        ScalarUDF::from(Unsaid::new("pg_get_indexdef", &[1, 3])),
        ScalarUDF::from(ExpandArray { signature: Signature::any(1, Volatility::Immutable) }),
    ] {
        let _before = state.register_udf(Arc::new(function))?;
    }
    Ok(())
}

/// `current_setting(name [, missing_ok])`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CurrentSetting {
    signature: Signature,
}

impl CurrentSetting {
    fn new() -> Self {
        let of = |kinds: &[DataType]| TypeSignature::Exact(kinds.to_vec());
        let both = [of(&[DataType::Utf8]), of(&[DataType::Utf8, DataType::Boolean])];
        Self { signature: Signature::one_of(both.to_vec(), Volatility::Stable) }
    }
}

impl ScalarUDFImpl for CurrentSetting {
    fn name(&self) -> &str {
        "current_setting"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [names, rest @ ..] = arrays.as_slice() else { return exec_err!("a name is missing") };
        let names = as_string_array(names)?;
        let may_miss = rest.first().map(|it| as_boolean_array(it)).transpose()?;
        let value = |row: usize| -> Result<Option<&'static str>> {
            if names.is_null(row) {
                return Ok(None);
            }
            let name = names.value(row);
            let known = setting(name);
            let may_miss = may_miss.is_some_and(|it| it.is_valid(row) && it.value(row));
            if known.is_none() && !may_miss {
                let message = format!("`{name}` is no setting here");
                let error = QueryError::Invalid { message, sqlstate: "42704" };
                return Err(DataFusionError::External(Box::new(error)));
            }
            Ok(known)
        };
        let values = (0..names.len()).map(value).collect::<Result<StringArray>>()?;
        Ok(ColumnarValue::Array(Arc::new(values)))
    }
}

/// A text on an object that no object here has: a remark, the definition of an index.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Unsaid {
    name: &'static str,
    signature: Signature,
}

impl Unsaid {
    fn new(name: &'static str, arguments: &[usize]) -> Self {
        let kinds = arguments.iter().map(|count| TypeSignature::Any(*count)).collect();
        Self { name, signature: Signature::one_of(kinds, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Unsaid {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8(None)))
    }
}

/// `information_schema._pg_expandarray(array)`, by which drivers ask for the columns of keys. It gives rows, which no function of one
/// value can; but there are no keys, so nobody asks it of anything.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ExpandArray {
    signature: Signature,
}

impl ScalarUDFImpl for ExpandArray {
    fn name(&self) -> &str {
        "_pg_expandarray"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let item = match arguments.first() {
            Some(DataType::List(item) | DataType::LargeList(item)) => item.data_type().clone(),
            Some(_) => DataType::Int32,
            None => return plan_err!("_pg_expandarray takes an array"),
        };
        let fields = [Field::new("x", item, true), Field::new("n", DataType::Int32, true)];
        Ok(DataType::Struct(fields.into_iter().collect()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if args.number_rows > 0 {
            let message = "`_pg_expandarray` gives rows, which no expression may here".to_owned();
            let error = QueryError::Invalid { message, sqlstate: "0A000" };
            return Err(DataFusionError::External(Box::new(error)));
        }
        let none: ArrayRef = new_empty_array(args.return_field.data_type());
        Ok(ColumnarValue::Array(none))
    }
}
