//! `date_part` (and `EXTRACT`) of a time in UTC, which needs no look at the rules of a time zone, and of what repeats every
//! day or week not even one at the calendar.

use std::sync::Arc;

use arrow::array::{AsArray as _, Int32Array, TimestampMicrosecondArray};
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
const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 1970-01-01 was a Thursday, and a week begins with Sunday, 0.
const FIRST_DAY_OF_WEEK: i64 = 4;
/// Beyond a hundred thousand years from 1970 the engine is asked: its calendar ends somewhere.
const OUR_TIMES: std::ops::Range<i64> = -100_000 * 365 * DAY..100_000 * 365 * DAY;

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
        if let [ColumnarValue::Scalar(part), ColumnarValue::Array(times)] = args.args.as_mut_slice()
            && matches!(times.data_type(), DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if zone.as_ref() == UTC)
        {
            let of = times.as_primitive::<TimestampMicrosecondType>();
            if let Some(repeats) = part.try_as_str().flatten().and_then(repeats)
                && of.values().iter().all(|time| OUR_TIMES.contains(time))
            {
                return Ok(ColumnarValue::Array(Arc::new(repeats(of))));
            }
            let without: TimestampMicrosecondArray = of.clone().with_timezone_opt(None::<&str>);
            *times = Arc::new(without);
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

/// Gives the parts of times, one for each.
type Parts = fn(&TimestampMicrosecondArray) -> Int32Array;

/// How a part is computed that comes again and again after the same span, by the names that people use for it; the engine
/// knows others, too.
fn repeats(part: &str) -> Option<Parts> {
    match part.to_ascii_lowercase().as_str() {
        "minute" => Some(repeated::<MINUTE, 60, 0>),
        "hour" => Some(repeated::<HOUR, 24, 0>),
        "dow" => Some(repeated::<DAY, 7, FIRST_DAY_OF_WEEK>),
        _ => None,
    }
}

/// A part that lasts so many microseconds, begins again after so many, and of which 1970 began with that one. Constants:
/// to divide by them is to multiply.
fn repeated<const LASTS: i64, const COUNT: i64, const FIRST: i64>(
    times: &TimestampMicrosecondArray,
) -> Int32Array {
    // Less than `COUNT`, which fits.
    times.unary(|time| (time.div_euclid(LASTS) + FIRST).rem_euclid(COUNT) as i32)
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

    fn in_zone(micros: &[Option<i64>], zone: Option<&str>) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(micros.to_vec()).with_timezone_opt(zone))
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
        // One time at which our own way ends, and one beyond the engine's calendar, make all the engine's.
        let far = [micros.as_slice(), &[Some(OUR_TIMES.end), Some(i64::MAX)]].concat();
        for (micros, zone) in [
            (micros.as_slice(), Some(UTC)),
            (&micros, Some("+02:00")),
            (&micros, Some("Europe/Berlin")),
            (&micros, None),
            (&far, Some(UTC)),
        ] {
            let times = in_zone(micros, zone);
            for part in [
                "year", "quarter", "month", "week", "day", "hour", "minute", "second", "dow",
                "doy", "isodow", "epoch", "HOUR", "Dow", "hours", "minutes",
            ] {
                let engines = part_of(&date_part(), part, &times);
                let found = part_of(&ours, part, &times);
                assert_eq!(&found, &engines, "{part} of {}", times.data_type());
            }
        }
    }

    /// Each hour of some weeks on both sides of 1970, and the ends of hours and minutes.
    #[test]
    fn what_repeats_is_the_engines_every_hour() {
        let ours = ScalarUDF::from(DatePartInUtc::new());
        let edges = [-1, 0, 1, MINUTE - 1, MINUTE, 59 * MINUTE];
        let hours = (-500..500).flat_map(|hour| edges.map(|edge| Some(hour * HOUR + edge)));
        let times = in_zone(&hours.collect::<Vec<_>>(), Some(UTC));
        for part in ["minute", "hour", "dow"] {
            assert!(repeats(part).is_some(), "{part} is the engine's");
            let found = part_of(&ours, part, &times);
            assert_eq!(&found, &part_of(&date_part(), part, &times), "{part}");
        }
    }
}
