//! Answers of the query service: fetched over HTTP, printed for people or for scripts.

mod print;

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::exit::{Failure, with_causes};

/// The longest an answer may take.
const TIMEOUT: Duration = Duration::from_secs(300);

/// An answer: columns and rows.
#[derive(Debug, Deserialize)]
pub struct Answer {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows; each has one value per column.
    pub rows: Vec<Vec<Value>>,
}

/// A column of an answer.
#[derive(Debug, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
}

impl Answer {
    /// What the whole numbers of a column come to; 0 where there is no such column.
    pub fn sum(&self, column: &str) -> u64 {
        let Some(at) = self.columns.iter().position(|it| it.name == column) else { return 0 };
        let numbers = self.rows.iter().filter_map(|row| row.get(at)?.as_u64());
        numbers.fold(0, u64::saturating_add)
    }

    /// One that was put together here.
    pub fn of<const N: usize>(columns: [&str; N], rows: Vec<[String; N]>) -> Self {
        let column = |name: &str| Column { name: name.to_owned() };
        let row = |row: [String; N]| row.into_iter().map(Value::String).collect();
        Self {
            columns: columns.into_iter().map(column).collect(),
            rows: rows.into_iter().map(row).collect(),
        }
    }
}

/// Asks one query service as one reader.
#[derive(Debug)]
pub struct Asker {
    client: reqwest::Client,
    base: String,
    token: String,
}

impl Asker {
    /// Asks the service at `base` with this token.
    pub fn new(client: reqwest::Client, base: &str, token: String) -> Self {
        Self { client, base: base.trim_end_matches('/').to_owned(), token }
    }

    /// Answers `sql`.
    pub async fn sql(&self, sql: &str) -> Result<Answer, Failure> {
        self.post("/v1/sql", &json!({ "sql": sql })).await
    }

    /// Answers the named question.
    pub async fn ask(
        &self,
        question: &str,
        parameters: Map<String, Value>,
    ) -> Result<Answer, Failure> {
        self.post(&format!("/v1/ask/{question}"), &Value::Object(parameters)).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.send(self.client.post(format!("{}{path}", self.base)).json(body)).await
    }

    async fn send<T: serde::de::DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, Failure> {
        let unreachable = |error: reqwest::Error| {
            Failure::failed(format!(
                "the query service at {} could not be asked: {}",
                self.base,
                with_causes(&error)
            ))
        };
        let request =
            request.bearer_auth(&self.token).header("accept", "application/json").timeout(TIMEOUT);
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let body = response.bytes().await.map_err(unreachable)?;
        if !status.is_success() {
            return Err(refusal(status.as_u16(), &body));
        }
        serde_json::from_slice(&body).map_err(|error| {
            Failure::failed(format!("the query service's answer is not as expected: {error}"))
        })
    }
}

/// The service's own words, under the exit code they call for.
fn refusal(status: u16, body: &[u8]) -> Failure {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (code, message) = (text("code"), text("message"));
    let message = if message.is_empty() {
        format!("the query service answered HTTP {status}")
    } else {
        message
    };
    match status {
        _ if code == "integrity" => Failure::integrity(message),
        401 | 403 => Failure::denied(message),
        400 | 404 | 422 => Failure::usage(message),
        _ => Failure::failed(message),
    }
}

impl Answer {
    /// Only these columns, in this order; one that is not there is left out.
    pub fn select(self, names: &[&str]) -> Self {
        let kept: Vec<usize> = names
            .iter()
            .filter_map(|name| self.columns.iter().position(|column| column.name == *name))
            .collect();
        let row =
            |row: &Vec<Value>| kept.iter().filter_map(|&index| row.get(index).cloned()).collect();
        let rows = self.rows.iter().map(row).collect();
        let mut columns: Vec<Option<Column>> = self.columns.into_iter().map(Some).collect();
        let columns = kept
            .iter()
            .filter_map(|&index| columns.get_mut(index).and_then(Option::take))
            .collect();
        Self { columns, rows }
    }

    /// The value of a column in a row.
    pub fn value<'a>(&self, row: &'a [Value], column: &str) -> Option<&'a Value> {
        let index = self.columns.iter().position(|candidate| candidate.name == column)?;
        row.get(index)
    }

    /// The text of a column in a row; empty where it is null.
    pub fn text(&self, row: &[Value], column: &str) -> String {
        self.value(row, column).map(plain).unwrap_or_default()
    }
}

/// A value as people read it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_the_contracts_exit_codes() {
        let exit = |status, code: &str| {
            format!(
                "{:?}",
                refusal(status, json!({"code": code, "message": "m"}).to_string().as_bytes())
                    .code()
            )
        };
        assert_eq!(exit(403, "denied"), format!("{:?}", std::process::ExitCode::from(3)));
        assert_eq!(exit(500, "integrity"), format!("{:?}", std::process::ExitCode::from(4)));
        assert_eq!(exit(400, "bad_sql"), format!("{:?}", std::process::ExitCode::from(2)));
        assert_eq!(exit(503, "log"), format!("{:?}", std::process::ExitCode::from(1)));
    }
}
