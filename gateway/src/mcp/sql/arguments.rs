//! What a model may say to a tool.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Call;

/// The most values of one statement, and the longest statement, in bytes.
const MAX_VALUES: usize = 1_000;
const MAX_TEXT_BYTES: usize = 256 * 1024;

/// Arguments that do not fit; the text says what would.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadArguments(pub String);

/// Where a statement is to run.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    pub target: Option<String>,
    pub database: Option<String>,
    pub sql: Option<String>,
    #[serde(default)]
    pub params: Vec<Value>,
    pub max_rows: Option<u32>,
    pub cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Execute {
    pub target: Option<String>,
    pub database: Option<String>,
    pub sql: String,
    #[serde(default)]
    pub params: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Explain {
    pub target: Option<String>,
    pub database: Option<String>,
    pub sql: String,
    #[serde(default)]
    pub params: Vec<Value>,
    #[serde(default)]
    pub analyze: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListTables {
    pub target: Option<String>,
    pub database: Option<String>,
    pub schema: Option<String>,
    pub like: Option<String>,
    pub cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DescribeTable {
    pub target: Option<String>,
    pub database: Option<String>,
    pub table: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestAccess {
    pub target: String,
    pub minutes: u64,
    pub reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApprovalStatus {
    pub approval_id: String,
    #[serde(default)]
    pub wait_seconds: u64,
    #[serde(default)]
    pub withdraw: bool,
}

pub(super) fn read<T: DeserializeOwned>(arguments: Map<String, Value>) -> Result<T, BadArguments> {
    serde_json::from_value(Value::Object(arguments))
        .map_err(|error| BadArguments(error.to_string()))
}

/// The statement, as it may be sent.
pub(super) fn text(sql: &str) -> Result<String, BadArguments> {
    if sql.trim().is_empty() {
        return Err(BadArguments("`sql` is empty; write one statement".to_owned()));
    }
    if sql.len() > MAX_TEXT_BYTES || sql.contains('\0') {
        let wrong =
            format!("`sql` is longer than {MAX_TEXT_BYTES} bytes, or has a zero byte in it");
        return Err(BadArguments(wrong));
    }
    Ok(sql.to_owned())
}

/// Values for `$1`, `$2`, ...: PostgreSQL reads each as the type that the statement wants there.
pub(super) fn values(params: Vec<Value>) -> Result<Vec<Option<String>>, BadArguments> {
    if params.len() > MAX_VALUES {
        return Err(BadArguments(format!("`params` has more than {MAX_VALUES} values")));
    }
    let text = |value| match value {
        Value::Null => Ok(None),
        Value::String(text) if text.contains('\0') => {
            Err(BadArguments("a value in `params` has a zero byte in it".to_owned()))
        }
        Value::String(text) => Ok(Some(text)),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Ok(Some(value.to_string()))
        }
    };
    params.into_iter().map(text).collect()
}

/// The target that is meant: the only one of the caller's where none is named.
pub(super) fn target(call: &Call<'_>, named: Option<String>) -> Result<String, BadArguments> {
    if let Some(target) = named {
        return Ok(target);
    }
    let mut all = super::targets(call.inner, call.caller);
    match (all.pop(), all.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(BadArguments("there is no target that you may use".to_owned())),
        (Some(last), false) => {
            all.push(last);
            Err(BadArguments(format!("say which `target`: {}", all.join(", "))))
        }
    }
}
