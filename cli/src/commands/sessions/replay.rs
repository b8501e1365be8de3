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
    let steps = replay::steps(&of(asker, session).await?, rows).map_err(Failure::integrity)?;
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
            print_text(&steps.iter().map(|step| shown(&at(step), step)).collect::<String>())
        }
    }
}

/// Prints what passed through a container as a recording.
pub async fn asciicast(asker: &Asker, session: &str) -> Result<(), Failure> {
    let cast = replay::asciicast(&of(asker, session).await?).map_err(Failure::integrity)?;
    let nothing = || {
        Failure::failed(format!(
            "nothing ran in a container in session {session}; see it without --asciicast"
        ))
    };
    print_text(&cast.ok_or_else(nothing)?)
}

/// The events of a session, in order.
async fn of(asker: &Asker, session: &str) -> Result<Vec<Event>, Failure> {
    let answer = asker
        .sql(&format!("SELECT raw FROM events WHERE session_id = '{session}' ORDER BY session_seq"))
        .await?;
    if answer.rows.is_empty() {
        return Err(unknown(session));
    }
    events(&answer)
}

/// What an agent wrote is in it: no text of it can act on the terminal.
fn shown(at: &str, step: &Step) -> String {
    let lines: String = step.lines.iter().map(|line| format!("    {}\n", escaped(line))).collect();
    let text: Vec<String> = step.text.lines().map(escaped).collect();
    format!("{at}  {:9} {}\n{lines}", step.kind, text.join("\n    "))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_an_agent_wrote_acts_on_the_terminal() {
        let step = Step {
            seq: None,
            at: jiff::Timestamp::UNIX_EPOCH,
            kind: "command",
            text: "forwarded query: SELECT 1 -- \u{1b}[2J\u{202e}\nFROM t".to_owned(),
            lines: vec!["$1 = \"\u{1b}]0;x\u{7}\"".to_owned()],
        };
        let shown = shown("00:00:00.000", &step);
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown:?}");
        assert_eq!(shown.lines().count(), 3, "{shown}");
    }
}
