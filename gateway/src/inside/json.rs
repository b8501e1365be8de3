//! Values of PostgreSQL in JSON, by type: what a number in JSON cannot hold exactly is a string.

use bytes::Bytes;
use serde_json::{Map, Number, Value, json};

use super::{Column, Page};

/// The largest integer that every reader of JSON has exactly (RFC 8259 section 6).
const MAX_EXACT: u64 = (1 << 53) - 1;
/// Types by oid (`pg_type.dat`), as a statement would name them.
const TYPES: &[(u32, &str)] = &[
    (16, "boolean"),
    (17, "bytea"),
    (18, "\"char\""),
    (19, "name"),
    (20, "bigint"),
    (21, "smallint"),
    (23, "integer"),
    (25, "text"),
    (26, "oid"),
    (114, "json"),
    (142, "xml"),
    (600, "point"),
    (650, "cidr"),
    (700, "real"),
    (701, "double precision"),
    (790, "money"),
    (829, "macaddr"),
    (869, "inet"),
    (1000, "boolean[]"),
    (1005, "smallint[]"),
    (1007, "integer[]"),
    (1009, "text[]"),
    (1015, "character varying[]"),
    (1016, "bigint[]"),
    (1022, "double precision[]"),
    (1042, "character"),
    (1043, "character varying"),
    (1082, "date"),
    (1083, "time"),
    (1114, "timestamp"),
    (1184, "timestamp with time zone"),
    (1186, "interval"),
    (1231, "numeric[]"),
    (1266, "time with time zone"),
    (1560, "bit"),
    (1562, "bit varying"),
    (1700, "numeric"),
    (2249, "record"),
    (2278, "void"),
    (2950, "uuid"),
    (2951, "uuid[]"),
    (3614, "tsvector"),
    (3802, "jsonb"),
    (3904, "int4range"),
    (3910, "tstzrange"),
];

impl Page {
    /// The columns, with what was masked and why.
    pub(crate) fn columns_json(&self) -> Vec<Value> {
        self.columns.iter().map(column).collect()
    }

    /// The rows, each as an array in the order of the columns.
    pub(crate) fn rows_json(&self) -> Vec<Value> {
        let row = |values: &Vec<Option<Bytes>>| {
            let values = values.iter().zip(&self.columns);
            Value::Array(values.map(|(value, column)| cell(value.as_ref(), column)).collect())
        };
        self.rows.iter().map(row).collect()
    }

    /// In words: which columns were masked for whoever asks. None where none was.
    pub(crate) fn masking_told(&self) -> Option<String> {
        let masked = self.columns.iter().filter_map(|column| {
            let (mask, labels) = column.mask.as_ref()?;
            Some(format!("{} ({mask}, for its label {})", column.name, labels.join(", ")))
        });
        let masked: Vec<String> = masked.collect();
        (!masked.is_empty()).then(|| {
            format!(
                "Masked for you by policy: {}. Asking in other words gives no other values.",
                masked.join("; ")
            )
        })
    }
}

fn column(column: &Column) -> Value {
    let mut told = Map::new();
    told.insert("name".to_owned(), json!(column.name));
    told.insert("type".to_owned(), json!(type_name(column.type_oid)));
    if let Some((mask, labels)) = &column.mask {
        told.insert("masked".to_owned(), json!({ "by": mask, "labels": labels }));
    }
    Value::Object(told)
}

fn type_name(oid: u32) -> String {
    let known = TYPES.iter().find(|(known, _)| *known == oid);
    known.map_or_else(|| format!("type of oid {oid}"), |(_, name)| (*name).to_owned())
}

fn cell(value: Option<&Bytes>, column: &Column) -> Value {
    let Some(bytes) = value else { return Value::Null };
    let text = String::from_utf8_lossy(bytes);
    // What a mask left is no number, whatever the type.
    if column.mask.is_some() {
        return json!(text);
    }
    match column.type_oid {
        16 => json!(text == "t"),
        20 | 21 | 23 | 26 => match text.parse::<i64>() {
            Ok(number) if number.unsigned_abs() <= MAX_EXACT => json!(number),
            _ => json!(text),
        },
        700 | 701 => {
            let number = text.parse::<f64>().ok().and_then(Number::from_f64);
            number.map_or_else(|| json!(text), Value::Number)
        }
        114 | 3802 => exact_json(&text).unwrap_or_else(|| json!(text)),
        _ => json!(text),
    }
}

/// The JSON of a text, where nothing of it is lost on the way.
fn exact_json(text: &str) -> Option<Value> {
    let value: Value = serde_json::from_str(text).ok()?;
    is_exact(&value).then_some(value)
}

fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => integer.unsigned_abs() <= MAX_EXACT,
            (None, Some(_)) => false,
            (None, None) => number.as_f64().is_some_and(|float| float.abs() < 9e15),
        },
        Value::Array(values) => values.iter().all(is_exact),
        Value::Object(fields) => fields.values().all(is_exact),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(type_oid: u32, text: &str) -> Value {
        let column = Column { name: "c".to_owned(), type_oid, mask: None };
        cell(Some(&Bytes::copy_from_slice(text.as_bytes())), &column)
    }

    #[test]
    fn a_value_is_what_it_was() {
        for (oid, text, expected) in [
            (16, "t", json!(true)),
            (16, "f", json!(false)),
            (23, "-7", json!(-7)),
            (20, "9007199254740991", json!(9_007_199_254_740_991_i64)),
            (20, "9007199254740993", json!("9007199254740993")),
            (20, "-9223372036854775808", json!("-9223372036854775808")),
            (701, "0.1", json!(0.1)),
            (701, "NaN", json!("NaN")),
            (701, "Infinity", json!("Infinity")),
            (1700, "0.10", json!("0.10")),
            (3802, r#"{"a": [1, null]}"#, json!({"a": [1, null]})),
            (3802, r#"{"a": 9007199254740993}"#, json!(r#"{"a": 9007199254740993}"#)),
            (114, "{", json!("{")),
            (25, "t", json!("t")),
            (99_999, "x", json!("x")),
        ] {
            assert_eq!(told(oid, text), expected, "{oid} {text}");
        }
    }

    #[test]
    fn what_was_masked_is_a_string_and_says_why() {
        let mask = Some(("partial:last4".to_owned(), vec!["pii".to_owned()]));
        let column = Column { name: "age".to_owned(), type_oid: 23, mask };
        assert_eq!(cell(Some(&Bytes::from_static(b"42")), &column), json!("42"));
        assert_eq!(cell(None, &column), Value::Null);
        let mut page = Page::default();
        page.columns.push(column);
        let masked = json!({"by": "partial:last4", "labels": ["pii"]});
        let expected = json!({"name": "age", "type": "integer", "masked": masked});
        assert_eq!(page.columns_json(), [expected]);
        assert!(page.masking_told().unwrap().contains("age (partial:last4, for its label pii)"));
        assert_eq!(Page::default().masking_told(), None);
    }
}
