//! A session as it passed: each statement with what the agent saw, out of the recorded bytes.

use base64::Engine as _;
use gateway_core::pg::backend;
use gateway_core::pg::frame::HEADER_BYTES;
use serde_json::{Value, json};
use tallyport_schemas::{Body, Command, Content, Decision, Event, Response, ocsf};

use super::unknown;
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
    let mut replay = Replay { steps: Vec::new(), shown: 0, limit: rows, partial: Vec::new() };
    for event in events(&answer)? {
        replay.take(&event)?;
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

struct Replay {
    steps: Vec<Step>,
    /// Rows of the present result that were shown.
    shown: usize,
    limit: usize,
    /// Bytes of a message that goes on in the next chunk.
    partial: Vec<u8>,
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
            Body::Command(command) => self.command(at, command),
            Body::Response(response) => self.response(at, response)?,
            Body::Approval(_) => self.step(at, "approval", String::new()),
            _ => {}
        }
        Ok(())
    }

    fn step(&mut self, at: String, kind: &'static str, text: String) {
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
        self.shown = 0;
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

    fn response(&mut self, at: String, response: &Response) -> Result<(), Failure> {
        let content = match response {
            Response::Chunk { content, .. } => {
                self.step(at, "response", "goes on".to_owned());
                content
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
                &summary.content
            }
            Response::Unsolicited { kinds, content, .. } => {
                self.step(at, "notice", kinds.join(", "));
                content
            }
        };
        match content {
            Some(content) => self.messages(content),
            None => {
                self.partial.clear();
                self.line("(not recorded: digest and counts only)".to_owned());
                Ok(())
            }
        }
    }

    /// The messages of a chunk; one may begin in a chunk and end in the next.
    fn messages(&mut self, content: &Content) -> Result<(), Failure> {
        self.partial.extend(content.replay().map_err(Failure::integrity)?);
        loop {
            let Some((tag, length)) = header(&self.partial) else { return Ok(()) };
            if self.partial.len() < length + 1 {
                return Ok(());
            }
            let rest = self.partial.split_off(length + 1);
            let message = std::mem::replace(&mut self.partial, rest);
            self.message(tag, message.get(HEADER_BYTES..).unwrap_or_default());
        }
    }

    fn message(&mut self, tag: u8, body: &[u8]) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match tag {
            b'T' => {
                if let Ok(fields) = backend::row_description(body) {
                    self.line(
                        fields
                            .iter()
                            .map(|field| field.name.clone())
                            .collect::<Vec<_>>()
                            .join(" | "),
                    );
                }
            }
            b'D' => {
                self.shown += 1;
                if self.shown == self.limit.saturating_add(1) {
                    self.line("... (more rows: --rows 0 shows all)".to_owned());
                }
                if self.shown > self.limit {
                    return;
                }
                if let Ok(values) = backend::data_row(body) {
                    let values =
                        values.iter().map(|value| value.map_or_else(|| "NULL".to_owned(), text));
                    self.line(values.collect::<Vec<_>>().join(" | "));
                }
            }
            b'E' | b'N' => {
                let fields = backend::error_fields(body).unwrap_or_default();
                let message =
                    fields.iter().find(|(code, _)| *code == b'M').map(|(_, value)| text(value));
                self.line(message.unwrap_or_default());
            }
            _ => {}
        }
    }

    fn line(&mut self, text: String) {
        let clean = text.chars().map(|c| if c.is_control() { '·' } else { c }).collect();
        if let Some(step) = self.steps.last_mut() {
            step.lines.push(clean);
        }
    }
}

/// Tag and length of the first message, once its header is there.
fn header(bytes: &[u8]) -> Option<(u8, usize)> {
    let tag = *bytes.first()?;
    let length = bytes.get(1..HEADER_BYTES)?.try_into().ok()?;
    Some((tag, u32::from_be_bytes(length) as usize))
}
