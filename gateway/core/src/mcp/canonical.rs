//! One text for one value: whoever agreed to it agreed to these bytes.

use serde_json::{Map, Number, Value};

/// The largest integer that every reader of JSON holds exactly (RFC 8259 section 6).
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// A value that two readers may take for two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("send numbers within 2^53 that are written as they are read; send others as texts")]
pub struct NotCanonical;

/// Names in the order of their bytes, no blanks.
///
/// # Errors
/// [`NotCanonical`] where a number would not be read everywhere as it is written.
pub fn canonical(value: &Value) -> Result<String, NotCanonical> {
    let mut text = String::new();
    write(value, &mut text)?;
    Ok(text)
}

fn write(value: &Value, out: &mut String) -> Result<(), NotCanonical> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => write_number(number, out)?,
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(members) => write_object(members, out)?,
    }
    Ok(())
}

/// In whatever order they came: that is not what they say.
fn write_object(members: &Map<String, Value>, out: &mut String) -> Result<(), NotCanonical> {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    out.push('{');
    for (place, (name, value)) in sorted.into_iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        write_text(name, out);
        out.push(':');
        write(value, out)?;
    }
    out.push('}');
    Ok(())
}

fn write_number(number: &Number, out: &mut String) -> Result<(), NotCanonical> {
    let text = number.to_string();
    let holds = match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(whole), ..) => whole.unsigned_abs() <= MAX_INTEGER,
        (None, Some(whole), _) => whole <= MAX_INTEGER,
        // A float of this size has no fraction: it is an integer that was rounded.
        #[expect(clippy::cast_precision_loss, reason = "2^53 - 1 is one that a float holds")]
        (None, None, Some(float)) => {
            float.abs() <= MAX_INTEGER as f64
                && serde_json::from_str::<f64>(&text).is_ok_and(|read| read == float)
        }
        (None, None, None) => false,
    };
    if !holds {
        return Err(NotCanonical);
    }
    out.push_str(&text);
    Ok(())
}

fn write_text(text: &str, out: &mut String) {
    out.push_str(&Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::tests::any_json;
    use super::*;

    #[test]
    fn the_canonical_form_has_one_order_and_numbers_that_all_read_alike() {
        let value = json!({"b":[1,-0.5,true,null],"a":{"é":"\n\"","":"x"}});
        assert_eq!(
            canonical(&value).unwrap(),
            r#"{"a":{"":"x","é":"\n\""},"b":[1,-0.5,true,null]}"#
        );
        for good in ["9007199254740991", "-9007199254740991", "0", "-0.0", "1e-7", "0.1"] {
            let value: Value = serde_json::from_str(good).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&canonical(&value).unwrap()).unwrap(), value);
        }
        for bad in [
            "9007199254740992",
            "-9007199254740992",
            "18446744073709551615",
            "1e300",
            "123456789012345678901",
        ] {
            let value: Value = serde_json::from_str(bad).unwrap();
            assert_eq!(canonical(&value), Err(NotCanonical), "{bad}");
        }
    }

    /// The same members in the reverse order.
    fn reversed(value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(reversed).collect(),
            Value::Object(members) => Value::Object(
                members.iter().rev().map(|(name, value)| (name.clone(), reversed(value))).collect(),
            ),
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_one_whatever_the_order(value in any_json()) {
            if let Ok(text) = canonical(&value) {
                prop_assert_eq!(canonical(&reversed(&value)), Ok(text.clone()));
                let again: Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(canonical(&again), Ok(text));
            }
        }
    }
}
