//! How large what a function makes may become, told before it makes anything.

use arrow::array::{Array, AsArray as _};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::ColumnarValue;

/// How a function's result grows with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Growth {
    /// All that it is given, one behind the other.
    Together,
    /// The first, as often as the second says.
    Repeated,
    /// As long as the second says.
    Padded,
    /// The third, wherever the second stands in the first.
    Replaced,
    /// The third with parts of the first in it, wherever the second matches in the first.
    ReplacedByPattern,
    /// The first once for each bracket of the second.
    Captured,
    /// The elements of the first, and the second and third between them.
    Listed,
    /// All but the first, and the first between them.
    Separated,
    /// Twice as much, and a little.
    Doubled,
    /// As often as the second, which is a format, asks for something.
    Formatted,
    /// Nothing grows, but each letter of the first is compared with each of the second.
    Compared,
    /// Nothing grows, but wherever a search begins in the first it may go to its end.
    Searched,
}

/// The functions whose results may be larger than the largest of what they are given times a small number.
pub(super) const KNOWN: [(&str, Growth); 25] = [
    ("||", Growth::Together),
    ("array_append", Growth::Together),
    ("array_concat", Growth::Together),
    ("array_prepend", Growth::Together),
    ("array_replace", Growth::Listed),
    ("array_replace_all", Growth::Listed),
    ("array_replace_n", Growth::Listed),
    ("array_to_string", Growth::Listed),
    ("arrays_zip", Growth::Together),
    ("concat", Growth::Together),
    ("concat_ws", Growth::Separated),
    ("encode", Growth::Doubled),
    ("levenshtein", Growth::Compared),
    ("lpad", Growth::Padded),
    ("make_array", Growth::Together),
    ("map", Growth::Together),
    ("quote_ident", Growth::Doubled),
    ("quote_literal", Growth::Doubled),
    ("regexp_count", Growth::Searched),
    ("regexp_match", Growth::Captured),
    ("regexp_replace", Growth::ReplacedByPattern),
    ("repeat", Growth::Repeated),
    ("replace", Growth::Replaced),
    ("rpad", Growth::Padded),
    ("to_char", Growth::Formatted),
];

/// The longest character, in bytes.
const LETTER: u64 = 4;

impl Growth {
    /// Whether it tells comparisons, and no bytes.
    pub(super) const fn compares(self) -> bool {
        matches!(self, Self::Compared | Self::Searched)
    }

    /// Whether the second is a pattern.
    pub(super) const fn has_pattern(self) -> bool {
        matches!(self, Self::ReplacedByPattern | Self::Captured | Self::Searched)
    }

    /// At most so many bytes (comparisons, where it compares) come of each of `rows`.
    pub(super) fn most(self, args: &[ColumnarValue], rows: usize) -> Result<Vec<u64>> {
        let sizes = args.iter().map(Sizes::of).collect::<Result<Vec<_>>>()?;
        let times = match (self, args.get(1)) {
            (Self::Repeated | Self::Padded, Some(times)) => whole(times)?,
            _ => Sizes::Same(0),
        };
        let brackets = match (self, args.get(1)) {
            (Self::Captured, Some(pattern)) => brackets(pattern)?,
            _ => 0,
        };
        let size = |of: usize, row: usize| sizes.get(of).map_or(0, |sizes| sizes.at(row));
        let elements = match (self, args.first()) {
            (Self::Listed, Some(list)) => elements(list)?,
            _ => Sizes::Same(0),
        };
        let one = |row: usize| {
            let (first, second, third) = (size(0, row), size(1, row), size(2, row));
            let all = || sizes.iter().fold(0_u64, |sum, sizes| sum.saturating_add(sizes.at(row)));
            match self {
                Self::Together => all(),
                Self::Repeated => first.saturating_mul(times.at(row)),
                Self::Padded => times.at(row).saturating_mul(LETTER),
                Self::Replaced => {
                    // An empty text stands before each letter and at the end.
                    let found = (first / second.max(1)).saturating_add(1);
                    found.saturating_mul(third).saturating_add(first)
                }
                Self::ReplacedByPattern => {
                    // A part of the text needs two bytes of the third to be named.
                    let parts = first.saturating_mul(third / 2);
                    let found = first.saturating_add(1);
                    found.saturating_mul(third).saturating_add(parts).saturating_add(first)
                }
                Self::Captured => first.saturating_mul(brackets.saturating_add(1)),
                Self::Listed => {
                    let between = second.saturating_add(third).saturating_add(LETTER);
                    elements.at(row).saturating_mul(between).saturating_add(first)
                }
                Self::Separated => first.saturating_mul(sizes.len() as u64).saturating_add(all()),
                Self::Doubled => first.saturating_mul(2).saturating_add(LETTER),
                // The longest name of a month is shorter.
                Self::Formatted => second.saturating_mul(LETTER * LETTER),
                Self::Compared => first.saturating_mul(second),
                Self::Searched => first.saturating_mul(first),
            }
        };
        Ok((0..rows).map(one).collect())
    }
}

/// A number for each row, which may be the same one.
enum Sizes {
    Same(u64),
    Each(Vec<u64>),
}

impl Sizes {
    fn of(value: &ColumnarValue) -> Result<Self> {
        Ok(match value {
            ColumnarValue::Array(array) => Self::Each(bytes(array.as_ref())),
            ColumnarValue::Scalar(scalar) => {
                Self::Same(bytes(scalar.to_array()?.as_ref()).first().copied().unwrap_or(0))
            }
        })
    }

    fn at(&self, row: usize) -> u64 {
        match self {
            Self::Same(size) => *size,
            Self::Each(sizes) => sizes.get(row).copied().unwrap_or(0),
        }
    }
}

/// Whole numbers; less than nothing is nothing.
fn whole(value: &ColumnarValue) -> Result<Sizes> {
    let number = |number: Option<i64>| number.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    Ok(match value.cast_to(&DataType::Int64, None)? {
        ColumnarValue::Array(array) => {
            Sizes::Each(array.as_primitive::<Int64Type>().iter().map(number).collect())
        }
        ColumnarValue::Scalar(ScalarValue::Int64(one)) => Sizes::Same(number(one)),
        ColumnarValue::Scalar(_) => Sizes::Same(u64::MAX),
    })
}

/// The most brackets that a pattern opens.
fn brackets(pattern: &ColumnarValue) -> Result<u64> {
    let texts = match pattern {
        ColumnarValue::Array(array) => std::sync::Arc::clone(array),
        ColumnarValue::Scalar(scalar) => scalar.to_array()?,
    };
    let texts = arrow::compute::cast(&texts, &DataType::LargeUtf8)?;
    let opened = |text: &str| text.bytes().filter(|byte| *byte == b'(').count() as u64;
    Ok(texts.as_string::<i64>().iter().flatten().map(opened).max().unwrap_or(0))
}

/// How many elements each list has.
fn elements(list: &ColumnarValue) -> Result<Sizes> {
    let count = |array: &dyn Array| match array.data_type() {
        DataType::List(_) => lengths(array.as_list::<i32>().value_offsets()),
        DataType::LargeList(_) => lengths(array.as_list::<i64>().value_offsets()),
        // A letter cannot be told from an element.
        _ => bytes(array),
    };
    Ok(match list {
        ColumnarValue::Array(array) => Sizes::Each(count(array.as_ref())),
        ColumnarValue::Scalar(scalar) => {
            Sizes::Same(count(scalar.to_array()?.as_ref()).first().copied().unwrap_or(0))
        }
    })
}

/// What each value of `array` takes, in bytes.
fn bytes(array: &dyn Array) -> Vec<u64> {
    let same = |size: u64| vec![size; array.len()];
    match array.data_type() {
        DataType::Utf8 => lengths(array.as_string::<i32>().value_offsets()),
        DataType::LargeUtf8 => lengths(array.as_string::<i64>().value_offsets()),
        DataType::Binary => lengths(array.as_binary::<i32>().value_offsets()),
        DataType::LargeBinary => lengths(array.as_binary::<i64>().value_offsets()),
        DataType::Utf8View => array.as_string_view().lengths().map(u64::from).collect(),
        DataType::BinaryView => array.as_binary_view().lengths().map(u64::from).collect(),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            parts(list.value_offsets(), list.values().as_ref())
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            parts(list.value_offsets(), list.values().as_ref())
        }
        DataType::Map(..) => {
            let map = array.as_map();
            parts(map.value_offsets(), map.entries())
        }
        DataType::Struct(_) => {
            let columns = array.as_struct().columns().iter().map(|column| bytes(column.as_ref()));
            columns.fold(same(0), |all, column| {
                all.into_iter().zip(column).map(|(a, b)| a.saturating_add(b)).collect()
            })
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let values = bytes(dictionary.values().as_ref());
            let of = |key: usize| values.get(key).copied().unwrap_or(0);
            if values.is_empty() {
                return same(0);
            }
            dictionary.normalized_keys().into_iter().map(of).collect()
        }
        DataType::FixedSizeBinary(size) => same(u64::try_from(*size).unwrap_or(0)),
        DataType::Null | DataType::Boolean => same(1),
        other => match other.primitive_width() {
            Some(width) => same(width as u64),
            // Nothing makes them here; all of it for each is never too little.
            None => same(array.get_array_memory_size() as u64),
        },
    }
}

fn lengths<O: Copy + Into<i64>>(offsets: &[O]) -> Vec<u64> {
    let length = |pair: &[O]| match pair {
        [from, to] => u64::try_from((*to).into().saturating_sub((*from).into())).unwrap_or(0),
        _ => 0,
    };
    offsets.windows(2).map(length).collect()
}

/// What lists of `values` take, and a little for each element.
fn parts<O: Copy + Into<i64>>(offsets: &[O], values: &dyn Array) -> Vec<u64> {
    let mut upto = vec![0_u64];
    let mut sum = 0_u64;
    for size in bytes(values) {
        sum = sum.saturating_add(size).saturating_add(LETTER);
        upto.push(sum);
    }
    let at = |offset: O| usize::try_from(offset.into()).ok().and_then(|at| upto.get(at)).copied();
    let size = |pair: &[O]| match pair {
        [from, to] => at(*to).unwrap_or(u64::MAX).saturating_sub(at(*from).unwrap_or(0)),
        _ => 0,
    };
    offsets.windows(2).map(size).collect()
}
