//! A session as it passed, printed.

use base64::Engine as _;
use gateway_core::replay::{self, Step};
use serde_json::{Value, json};
use tallyport_schemas::{Event, ocsf};

use super::unknown;
use crate::answer::{Answer, Asker};
use crate::args::Format;
use crate::commands::approvals::print::escaped;
use crate::exit::Failure;
use crate::output::print_text;

/// Prints the session.
pub async fn run(asker: &Asker, session: &str, rows: usize, format: Format) -> Result<(), Failure> {
    let answer = asker
        .sql(&format!("SELECT raw FROM events WHERE session_id = '{session}' ORDER BY session_seq"))
        .await?;
    if answer.rows.is_empty() {
        return Err(unknown(session));
    }
    let steps = replay::steps(&events(&answer)?, rows).map_err(Failure::integrity)?;
    let at = |step: &Step| step.at.strftime("%H:%M:%S.%3f").to_string();
    match format {
        Format::Json => {
            let step = |step: &Step| {
                let Step { kind, text, lines, .. } = step;
                json!({"at": at(step), "kind": kind, "text": text, "lines": lines})
            };
            let steps: Vec<Value> = steps.iter().map(step).collect();
            print_text(&format!("{:#}\n", Value::Array(steps)))
        }
        Format::Table | Format::Csv => {
            let step = |step: &Step| {
                let lines: String = step.lines.iter().map(|line| format!("    {line}\n")).collect();
                // Of an agent's: no text of it can act on the terminal.
                let text: Vec<String> = step.text.lines().map(escaped).collect();
                format!("{}  {:9} {}\n{lines}", at(step), step.kind, text.join("\n    "))
            };
            print_text(&steps.iter().map(step).collect::<String>())
        }
    }
}

/// The recorded events, each decoded from the exact bytes on the log.
fn events(answer: &Answer) -> Result<Vec<Event>, Failure> {
    let broken = |error: &dyn std::fmt::Display| {
        Failure::integrity(format!("a recorded event cannot be read: {error}"))
    };
    answer
        .rows
        .iter()
        .map(|row| {
            let raw = base64::engine::general_purpose::STANDARD
                .decode(answer.text(row, "raw"))
                .map_err(|error| broken(&error))?;
            ocsf::decode(&raw).map_err(|error| broken(&error))
        })
        .collect()
}
