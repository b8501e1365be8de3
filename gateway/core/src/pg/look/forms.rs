//! How the values of a type are written, by its oid and format (`pg_type.dat`; oids below 16384 never change).

use std::borrow::Cow;

use tallyport_detect::Kinds;

use super::numbers;

/// How a value is read.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// It can hold nothing that is looked for.
    Nothing,
    /// Characters; marks may stand among them.
    Text,
    /// A document.
    Json,
    /// A version byte, and a document.
    Jsonb,
    /// A number.
    Number(fn(&[u8]) -> Option<Cow<'_, [u8]>>),
    /// Characters of a form of their own, in which no mark may stand.
    Raw,
    /// An array as text, of elements of a type.
    ArrayText(u32),
    /// Bytes that tell what they are: an array, a record, or characters.
    Binary,
}

const INT4: u32 = 23;
const INT8: u32 = 20;
const NUMERIC: u32 = 1700;
const JSON: u32 = 114;
const JSONB: u32 = 3802;
const BYTEA: u32 = 17;

/// `name`, `text`, `xml`, `unknown`, `char(n)`, `varchar`, `refcursor`, `cstring`.
const TEXTS: &[u32] = &[19, 25, 142, 705, 1042, 1043, 1790, 2275];

/// `pg_node_tree`, `tsvector`, `tsquery`, `jsonpath`: their words are in the binary format as they are.
const WORDS: &[u32] = &[194, 3614, 3615, 4072];

/// Truth values, small and floating numbers, times, addresses, figures, bits, money, names of objects, places in the log;
/// ranges of such. Arrays of the commonest, whose text would be looked through for nothing.
const NOTHING: &[u32] = &[
    16, 18, 21, 22, 24, 26, 27, 28, 29, 30, 600, 601, 602, 603, 604, 628, 650, 700, 701, 718, 774,
    790, 829, 869, 1000, 1005, 1021, 1022, 1028, 1082, 1083, 1114, 1115, 1182, 1184, 1185, 1186,
    1266, 1560, 1562, 2202, 2203, 2204, 2205, 2206, 2278, 2950, 2951, 2970, 3220, 3734, 3769, 3904,
    3908, 3910, 3912, 4089, 4096, 4191, 4451, 4533, 4534, 4535, 5038, 5069,
];

/// Arrays, and what they are of.
const ARRAYS: &[(u32, u32)] = &[
    (143, 142),
    (199, JSON),
    (1003, 19),
    (1007, INT4),
    (1009, 25),
    (1014, 1042),
    (1015, 1043),
    (1016, INT8),
    (1231, NUMERIC),
    (1263, 2275),
    (3807, JSONB),
];

impl Form {
    /// `given` is what the column's name is context for: without one, ten digits are never something.
    pub(super) fn of(type_oid: u32, format: i16, given: Kinds) -> Self {
        let is_text = format == 0;
        match type_oid {
            INT4 if given.is_empty() => Self::Nothing,
            INT4 | INT8 | NUMERIC if is_text => Self::Number(numbers::written),
            INT4 => Self::Number(numbers::int4),
            INT8 => Self::Number(numbers::int8),
            NUMERIC => Self::Number(numbers::numeric),
            JSON => Self::Json,
            JSONB if is_text => Self::Json,
            JSONB => Self::Jsonb,
            // As text it may be written as it is (`bytea_output = escape`).
            BYTEA if !is_text => Self::Nothing,
            oid if TEXTS.contains(&oid) => Self::Text,
            oid if WORDS.contains(&oid) => Self::Raw,
            oid if NOTHING.contains(&oid) => Self::Nothing,
            oid if is_text => match ARRAYS.iter().find(|(array, _)| *array == oid) {
                Some((_, element)) => match Self::of(*element, format, given) {
                    Self::Nothing => Self::Nothing,
                    _ => Self::ArrayText(*element),
                },
                None => Self::Raw,
            },
            _ => Self::Binary,
        }
    }
}
