//! `date_part` (and `EXTRACT`) of a time in UTC, which needs no look at the rules of a time zone.

use std::sync::Arc;

use arrow::array::{AsArray as _, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, FieldRef, TimeUnit, TimestampMicrosecondType};
use datafusion::error::Result;
use datafusion::functions::datetime::date_part;
use datafusion::logical_expr::preimage::PreimageResult;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature,
};

const UTC: &str = "UTC";

/// The engine's function, given times in UTC as times without a zone: their parts are the same.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DatePartInUtc {
    engines: Arc<ScalarUDF>,
}

impl DatePartInUtc {
    pub(super) fn new() -> Self {
        Self { engines: date_part() }
    }
}

impl ScalarUDFImpl for DatePartInUtc {
    fn name(&self) -> &str {
        "date_part"
    }

    fn signature(&self) -> &Signature {
        self.engines.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.engines.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.engines.return_field_from_args(args)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        for arg in &mut args.args {
            if let ColumnarValue::Array(times) = arg
                && matches!(times.data_type(), DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == UTC)
            {
                let times = times.as_primitive::<TimestampMicrosecondType>();
                let without: TimestampMicrosecondArray =
                    times.clone().with_timezone_opt(None::<&str>);
                *arg = ColumnarValue::Array(Arc::new(without));
            }
        }
        self.engines.invoke_with_args(args)
    }

    fn preimage(
        &self,
        args: &[Expr],
        lit_expr: &Expr,
        info: &SimplifyContext,
    ) -> Result<PreimageResult> {
        self.engines.preimage(args, lit_expr, info)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.engines.documentation()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, ArrayRef};
    use arrow::datatypes::Field;
    use datafusion::common::ScalarValue;
    use datafusion::common::config::ConfigOptions;

    use super::*;

    /// A part of times, as `function` computes it.
    fn part_of(function: &ScalarUDF, part: &str, times: &ArrayRef) -> ArrayRef {
        let part = ScalarValue::from(part);
        let arg_fields: Vec<FieldRef> = vec![
            Arc::new(Field::new("part", DataType::Utf8, false)),
            Arc::new(Field::new("time", times.data_type().clone(), true)),
        ];
        let scalars = [Some(&part), None];
        let wanted = ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &scalars };
        let return_field = function.return_field_from_args(wanted).unwrap();
        let args = ScalarFunctionArgs {
            args: vec![
                ColumnarValue::Scalar(part.clone()),
                ColumnarValue::Array(Arc::clone(times)),
            ],
            arg_fields,
            number_rows: times.len(),
            return_field: Arc::clone(&return_field),
            config_options: Arc::new(ConfigOptions::new()),
        };
        let found = function.invoke_with_args(args).unwrap().into_array(times.len()).unwrap();
        assert_eq!(found.data_type(), return_field.data_type());
        found
    }

    #[test]
    fn parts_are_the_engines() {
        let ours = ScalarUDF::from(DatePartInUtc::new());
        let micros = [
            Some(0),
            Some(-1),
            None,
            Some(951_827_696_789_012),
            Some(-62_135_596_800_000_000),
            Some(1_795_996_799_999_999),
            Some(i64::MAX / 1_000),
        ];
        let of = |zone: Option<&str>| -> ArrayRef {
            Arc::new(TimestampMicrosecondArray::from(micros.to_vec()).with_timezone_opt(zone))
        };
        for times in [of(Some(UTC)), of(Some("+02:00")), of(Some("Europe/Berlin")), of(None)] {
            for part in [
                "year", "quarter", "month", "week", "day", "hour", "minute", "second", "dow",
                "doy", "isodow", "epoch",
            ] {
                let engines = part_of(&date_part(), part, &times);
                let found = part_of(&ours, part, &times);
                assert_eq!(&found, &engines, "{part} of {}", times.data_type());
            }
        }
    }
}
