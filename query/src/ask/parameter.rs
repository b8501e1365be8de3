//! What a named question is asked with.

use std::sync::Arc;

use datafusion::scalar::ScalarValue;
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::QueryError;

/// The longest value, in bytes.
const MAX_VALUE_BYTES: usize = 4 * 1024;

/// One parameter.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What kind of value it takes.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What it means.
    pub about: String,
    /// What it is when it is not given. Without a default it must be given, unless it is optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether it may be left out without a default.
    #[serde(default)]
    pub optional: bool,
    /// The least that a number may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least: Option<i64>,
    /// The most that it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<i64>,
}

/// A kind of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Any text.
    Text,
    /// A column of a target, as events name it: `schema.table.column`.
    Column,
    /// A whole number.
    Number,
    /// A point in time: `7d`, `24h`, `90m` back from now, a date, or an RFC 3339 time.
    Time,
    /// A distance from UTC: `+02:00`.
    UtcOffset,
}

impl Parameter {
    /// Its value as shown on record and as bound; nothing is shown of what was left out.
    pub(super) fn value(
        &self,
        given: Option<&Value>,
        now: Timestamp,
    ) -> Result<(Option<String>, ScalarValue), QueryError> {
        let bad = |problem: String| QueryError::BadParameter { name: self.name.clone(), problem };
        let text = match given {
            None | Some(Value::Null) => self.default.clone(),
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(_) => return Err(bad("give a string or a number".to_owned())),
        };
        let Some(text) = text else {
            if self.optional {
                return Ok((None, self.kind.null()));
            }
            return Err(bad(format!("it must be given: {}", self.about)));
        };
        if text.len() > MAX_VALUE_BYTES {
            return Err(bad(format!("longer than {MAX_VALUE_BYTES} bytes; shorten it")));
        }
        let value = self.kind.read(&text, now).map_err(bad)?;
        if let ScalarValue::Int64(Some(number)) = value
            && self.kind == Kind::Number
            && !(self.least.is_none_or(|least| least <= number)
                && self.most.is_none_or(|most| number <= most))
        {
            return Err(bad(format!("{number} is none that it can be: {}", self.about)));
        }
        Ok((Some(text), value))
    }
}

impl Kind {
    fn read(self, text: &str, now: Timestamp) -> Result<ScalarValue, String> {
        match self {
            Self::Text => Ok(ScalarValue::Utf8(Some(text.to_owned()))),
            Self::Column => column(text.trim())
                .map(|column| ScalarValue::Utf8(Some(column.to_owned())))
                .ok_or_else(|| "give a column as schema.table.column, such as app.customers.ssn".to_owned()),
            Self::Number => {
                let number = text.trim().parse();
                let number = number.map_err(|_| "give a whole number such as 20".to_owned())?;
                Ok(ScalarValue::Int64(Some(number)))
            }
            Self::Time => instant(text.trim(), now).map(timestamp).ok_or_else(|| {
                "give a time back from now such as 7d, 24h or 90m, a date such as 2026-11-01, or an RFC 3339 time".to_owned()
            }),
            Self::UtcOffset => offset(text.trim())
                .map(|offset| micros(Some(offset)))
                .ok_or_else(|| "give a distance from UTC such as +02:00 or -05:30".to_owned()),
        }
    }

    fn null(self) -> ScalarValue {
        match self {
            Self::Text | Self::Column => ScalarValue::Utf8(None),
            Self::Number => ScalarValue::Int64(None),
            Self::Time => ScalarValue::TimestampMicrosecond(None, Some(Arc::from("UTC"))),
            Self::UtcOffset => micros(None),
        }
    }
}

/// As the column `time` has it.
pub(super) fn timestamp(time: Timestamp) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(time.as_microsecond()), Some(Arc::from("UTC")))
}

/// A number, because a parameter of unknown type beside a time would be taken for a time.
fn micros(offset: Option<SignedDuration>) -> ScalarValue {
    ScalarValue::Int64(offset.and_then(|offset| i64::try_from(offset.as_micros()).ok()))
}

fn instant(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(time) = text.parse() {
        return Some(time);
    }
    if let Ok(date) = text.parse::<Date>() {
        return date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    }
    let unit = text.chars().last()?;
    let number: i64 = text.strip_suffix(unit)?.parse().ok().filter(|number| *number >= 0)?;
    let minutes = match unit {
        'm' => 1,
        'h' => 60,
        'd' => 24 * 60,
        'w' => 7 * 24 * 60,
        _ => return None,
    };
    let back = SignedDuration::from_secs(number.checked_mul(minutes)?.checked_mul(60)?);
    now.checked_sub(back).ok()
}

/// A column has its table with it, and where that is known the schema: one word alone names none, and an answer of
/// nothing would be taken for nobody.
fn column(text: &str) -> Option<&str> {
    let (table, column) = text.rsplit_once('.')?;
    (!table.is_empty() && !column.is_empty()).then_some(text)
}

fn offset(text: &str) -> Option<SignedDuration> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let fits = (0..=14).contains(&hours) && (0..60).contains(&minutes);
    fits.then(|| SignedDuration::from_mins(sign * (hours * 60 + minutes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_taken_in_all_their_forms() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let at = |text: &str| instant(text, now).map(|time| time.to_string());
        assert_eq!(at("90m").unwrap(), "2026-11-22T10:30:00Z");
        assert_eq!(at("24h").unwrap(), "2026-11-21T12:00:00Z");
        assert_eq!(at("7d").unwrap(), "2026-11-15T12:00:00Z");
        assert_eq!(at("2w").unwrap(), "2026-11-08T12:00:00Z");
        assert_eq!(at("2026-11-01").unwrap(), "2026-11-01T00:00:00Z");
        assert_eq!(at("2026-11-01T10:00:00+02:00").unwrap(), "2026-11-01T08:00:00Z");
        for bad in ["", "d", "-7d", "7y", "yesterday", "99999999999999999d", "7 d ", "ä"] {
            assert_eq!(at(bad), None, "{bad}");
        }
    }

    #[test]
    fn offsets_are_bounded() {
        assert_eq!(offset("+02:00"), Some(SignedDuration::from_hours(2)));
        assert_eq!(offset("-05:30"), Some(SignedDuration::from_mins(-330)));
        for bad in ["02:00", "+15:00", "+2", "", "+02:99"] {
            assert_eq!(offset(bad), None, "{bad}");
        }
    }
}
