//! Answers of the query service: fetched over HTTP, printed for people or for scripts.

use std::io::Write as _;
use std::time::Duration;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::args::Format;
use crate::exit::Failure;

/// The longest an answer may take.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Values are cut to this many characters in a table; `--json` and `--format csv` never cut.
const MAX_CELL_CHARS: usize = 200;
const NO_TERMINAL_WIDTH: u16 = 160;

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

    /// The named questions, as the service describes them.
    pub async fn questions(&self) -> Result<Value, Failure> {
        let request = self.client.get(format!("{}/v1/ask", self.base));
        self.send(request).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.send(self.client.post(format!("{}{path}", self.base)).json(body)).await
    }

    async fn send<T: serde::de::DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, Failure> {
        let unreachable = |error: reqwest::Error| {
            Failure::failed(format!("the query service at {} does not answer: {error}", self.base))
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

    /// Prints it to standard output.
    pub fn print(&self, format: Format) -> Result<(), Failure> {
        let text = match format {
            Format::Table => self.table(),
            Format::Json => self.json()?,
            Format::Csv => self.csv(),
        };
        print_text(&text)
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

    fn table(&self) -> String {
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_BORDERS_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic);
        if table.width().is_none() {
            table.set_width(NO_TERMINAL_WIDTH);
        }
        table.set_header(self.columns.iter().map(|column| column.name.clone()));
        for row in &self.rows {
            table.add_row(row.iter().map(|value| cut(&plain(value))));
        }
        // An id is there to be copied: it stays in one piece, whatever the other columns need.
        for (index, _) in
            self.columns.iter().enumerate().filter(|(_, column)| column.name.ends_with("_id"))
        {
            if let Some(column) = table.column_mut(index) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        let rows = self.rows.len();
        format!("{table}\n({rows} row{})\n", if rows == 1 { "" } else { "s" })
    }

    fn json(&self) -> Result<String, Failure> {
        let objects: Vec<Map<String, Value>> = self
            .rows
            .iter()
            .map(|row| {
                self.columns
                    .iter()
                    .map(|column| column.name.clone())
                    .zip(row.iter().cloned())
                    .collect()
            })
            .collect();
        serde_json::to_string_pretty(&objects).map(|text| text + "\n").map_err(Failure::failed)
    }

    fn csv(&self) -> String {
        let line = |fields: Vec<String>| fields.join(",") + "\r\n";
        let header = line(self.columns.iter().map(|column| csv_field(&column.name)).collect());
        let rows = self
            .rows
            .iter()
            .map(|row| line(row.iter().map(|value| csv_field(&plain(value))).collect()));
        header + &rows.collect::<String>()
    }
}

/// Prints `text`; a reader that closes the pipe early is no failure.
pub fn print_text(text: &str) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::failed(error)),
        _ => Ok(()),
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

/// Fits a table: one line, no control characters, at most [`MAX_CELL_CHARS`].
fn cut(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= MAX_CELL_CHARS {
        return clean;
    }
    clean.chars().take(MAX_CELL_CHARS - 1).chain(['…']).collect()
}

fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        serde_json::from_value(json!({
            "columns": [{"name": "who"}, {"name": "tables"}],
            "rows": [["a,\"b\"", ["app.x", "app.y"]], [null, []]],
        }))
        .unwrap()
    }

    #[test]
    fn csv_quotes_what_must_be_quoted() {
        assert_eq!(answer().csv(), "who,tables\r\n\"a,\"\"b\"\"\",\"app.x, app.y\"\r\n,\r\n");
    }

    #[test]
    fn a_table_keeps_an_id_in_one_piece() {
        let id = "01a20635-5f36-74df-bd6e-bebe288245d9";
        let wide = json!({"name": "words"});
        let words = json!("words that may be wrapped where there is no room");
        let answer: Answer = serde_json::from_value(json!({
            "columns": [{"name": "session_id"}, wide, wide, wide, wide, wide],
            "rows": [[id, words, words, words, words, words]],
        }))
        .unwrap();
        assert!(answer.table().contains(id), "{}", answer.table());
    }

    #[test]
    fn a_table_never_shows_control_characters() {
        assert_eq!(cut("a\u{1b}[31mb\nc"), "a [31mb c");
        assert_eq!(cut(&"x".repeat(500)).chars().count(), MAX_CELL_CHARS);
    }

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
