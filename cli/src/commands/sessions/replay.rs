//! A session as it passed: each statement with what the agent saw, out of the recorded bytes.

use std::collections::HashMap;

use base64::Engine as _;
use serde_json::{Value, json};
use tallyport_schemas::{Body, Command, CommandId, Decision, Event, Phase, Response, ocsf};

use super::unknown;
use super::wire::Wire;
use crate::answer::{Answer, Asker};
use crate::args::Format;
use crate::exit::Failure;
use crate::output::print_text;

/// One step of the replay, for scripts and for people.
struct Step {
    at: String,
    kind: &'static str,
    text: String,
    lines: Vec<String>,
}

/// Prints the session.
pub async fn run(asker: &Asker, session: &str, rows: usize, format: Format) -> Result<(), Failure> {
    let answer = asker
        .sql(&format!("SELECT raw FROM events WHERE session_id = '{session}' ORDER BY session_seq"))
        .await?;
    if answer.rows.is_empty() {
        return Err(unknown(session));
    }
    let events = events(&answer)?;
    let mut replay = Replay {
        steps: Vec::new(),
        asked: Wire::new(rows, HashMap::new()),
        answered: Wire::new(rows, columns(&events)),
        copying: None,
    };
    for event in &events {
        replay.take(event)?;
    }
    match format {
        Format::Json => {
            let steps: Vec<Value> = replay
                .steps
                .iter()
                .map(|step| json!({"at": step.at, "kind": step.kind, "text": step.text, "lines": step.lines}))
                .collect();
            print_text(&format!("{:#}\n", Value::Array(steps)))
        }
        Format::Table | Format::Csv => {
            let step = |step: &Step| {
                let lines: String = step.lines.iter().map(|line| format!("    {line}\n")).collect();
                format!("{}  {:9} {}\n{lines}", step.at, step.kind, step.text)
            };
            print_text(&replay.steps.iter().map(step).collect::<String>())
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

/// The names of each response's columns, which its last event tells.
fn columns(events: &[Event]) -> HashMap<CommandId, Vec<String>> {
    let summaries = events.iter().filter_map(|event| match &event.body {
        Body::Response(response) => match response.as_ref() {
            Response::Completed(summary) => Some(summary),
            _ => None,
        },
        _ => None,
    });
    let with_columns = summaries.filter(|summary| !summary.columns.is_empty());
    with_columns
        .map(|summary| {
            let names = summary.columns.iter().map(|column| column.name.clone()).collect();
            (summary.command_id, names)
        })
        .collect()
}

struct Replay {
    steps: Vec<Step>,
    /// What the agent sent, where it is recorded beyond the statement: the data of COPY.
    asked: Wire,
    /// What the agent saw.
    answered: Wire,
    /// The COPY whose data is the last step.
    copying: Option<CommandId>,
}

impl Replay {
    fn take(&mut self, event: &Event) -> Result<(), Failure> {
        let at = event.time.strftime("%H:%M:%S.%3f").to_string();
        match &event.body {
            Body::Session(session) => {
                let text = serde_json::to_value(session).unwrap_or_default();
                let activity =
                    text.get("activity").and_then(Value::as_str).unwrap_or_default().to_owned();
                self.step(at, "session", activity);
            }
            Body::Decision(decision) => self.decision(at, decision),
            Body::Command(command) if command.phase == Phase::CopyData => {
                self.copy_data(at, command)?;
            }
            Body::Command(command) => self.command(at, command),
            Body::Response(response) => self.response(at, response)?,
            Body::Approval(_) => self.step(at, "approval", String::new()),
            _ => {}
        }
        Ok(())
    }

    fn step(&mut self, at: String, kind: &'static str, text: String) {
        self.copying = None;
        self.steps.push(Step { at, kind, text, lines: Vec::new() });
    }

    fn decision(&mut self, at: String, decision: &Decision) {
        let policies = if decision.policy_ids.is_empty() {
            "no permit".into()
        } else {
            decision.policy_ids.join(", ")
        };
        let effect = serde_json::to_value(decision.effect).unwrap_or_default();
        let reasons = decision.reasons.join("; ");
        let text = format!("{} by {policies}", effect.as_str().unwrap_or_default());
        self.step(
            at,
            "decision",
            if reasons.is_empty() { text } else { format!("{text}: {reasons}") },
        );
    }

    fn command(&mut self, at: String, command: &Command) {
        let phase = serde_json::to_value(command.phase).unwrap_or_default();
        let disposition = serde_json::to_value(command.disposition).unwrap_or_default();
        let (phase, disposition) =
            (phase.as_str().unwrap_or_default(), disposition.as_str().unwrap_or_default());
        let statement = command.statement.clone().unwrap_or_default();
        self.step(at, "command", format!("{disposition} {phase}: {statement}"));
        let parameters = command.parameters.iter().enumerate();
        let parameters = parameters.map(|(index, parameter)| {
            format!(
                "${} = {}",
                index + 1,
                serde_json::to_value(&parameter.value).unwrap_or_default()
            )
        });
        let lines: Vec<String> = parameters.collect();
        if let Some(step) = self.steps.last_mut() {
            step.lines = lines;
        }
    }

    /// What is copied into the target; pieces that follow each other are one step.
    fn copy_data(&mut self, at: String, command: &Command) -> Result<(), Failure> {
        if self.copying != Some(command.command_id) {
            let disposition = serde_json::to_value(command.disposition).unwrap_or_default();
            let disposition = disposition.as_str().unwrap_or_default();
            self.step(at, "command", format!("{disposition} data of COPY"));
            self.copying = Some(command.command_id);
        }
        let lines = self.asked.lines(Some(command.command_id), command.content.as_ref())?;
        self.add(lines);
        Ok(())
    }

    fn response(&mut self, at: String, response: &Response) -> Result<(), Failure> {
        let (of, content) = match response {
            Response::Chunk { content, command_id, .. } => {
                self.step(at, "response", "goes on".to_owned());
                (*command_id, content)
            }
            Response::Completed(summary) => {
                let end = summary
                    .tag
                    .clone()
                    .or_else(|| summary.sqlstate.as_ref().map(|state| format!("ERROR {state}")));
                let mask = if summary.masked_values > 0 {
                    format!(", {} values masked", summary.masked_values)
                } else {
                    String::new()
                };
                self.step(
                    at,
                    "response",
                    format!("{} ({} rows{mask})", end.unwrap_or_default(), summary.rows),
                );
                (Some(summary.command_id), &summary.content)
            }
            Response::Unsolicited { kinds, content, .. } => {
                self.step(at, "notice", kinds.join(", "));
                (None, content)
            }
        };
        let lines = self.answered.lines(of, content.as_ref())?;
        self.add(lines);
        Ok(())
    }

    fn add(&mut self, lines: Vec<String>) {
        if let Some(step) = self.steps.last_mut() {
            step.lines.extend(lines);
        }
    }
}
