//! A session as it passed: each statement with what the agent saw, out of the recorded events. No IO.

mod asciicast;
mod text;
mod wire;

pub use asciicast::asciicast;

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;
use tallyport_schemas::{
    Approval, Body, Command, CommandId, ContentError, Decision, Event, Phase, Principal, Response,
    TargetKind,
};

use wire::Wire;

/// One step of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The event's number in its session; of a COPY, that of its first piece; of what has none, that of the event before it.
    pub seq: Option<u64>,
    /// When.
    pub at: Timestamp,
    /// `session`, `decision`, `command`, `response`, `notice` or `approval`.
    pub kind: &'static str,
    /// What happened, in a line. What an agent wrote is in it as it is.
    pub text: String,
    /// Parameters of a command; rows and messages of an answer, masked as the agent saw them.
    pub lines: Vec<String>,
}

/// A recorded event does not say what it should.
#[derive(Debug, thiserror::Error)]
#[error("a recorded event cannot be read: {0}")]
pub struct ReplayError(#[from] ContentError);

/// The steps of one session; at most `rows` rows of each answer.
///
/// # Errors
/// [`ReplayError`]: what is on record was changed, or is of a later version.
pub fn steps(events: &[Event], rows: usize) -> Result<Vec<Step>, ReplayError> {
    let mut replay = Replay {
        steps: Vec::new(),
        asked: Wire::new(rows, HashMap::new()),
        answered: Wire::new(rows, columns(events)),
        copying: None,
        seq: None,
        rows,
        is_text: false,
    };
    for event in in_order(events) {
        replay.take(event)?;
    }
    Ok(replay.steps)
}

/// As the session numbered them. What has no number, because it happened elsewhere (a reviewer's answer), comes after all
/// that had happened by then.
fn in_order(events: &[Event]) -> Vec<&Event> {
    let mut numbered: Vec<(Timestamp, u64)> =
        events.iter().filter_map(|event| Some((event.time, event.session_seq?))).collect();
    numbered.sort_unstable();
    let mut highest = None;
    for (_, seq) in &mut numbered {
        highest = highest.max(Some(*seq));
        *seq = highest.unwrap_or(*seq);
    }
    let place = |event: &Event| match event.session_seq {
        Some(seq) => (Some(seq), None),
        None => {
            let before = numbered.partition_point(|(time, _)| *time <= event.time);
            let seq =
                before.checked_sub(1).and_then(|last| numbered.get(last)).map(|(_, seq)| *seq);
            (seq, Some(event.time))
        }
    };
    let mut ordered: Vec<&Event> = events.iter().collect();
    ordered.sort_by_cached_key(|event| place(event));
    ordered
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
    /// Of the present event.
    seq: Option<u64>,
    /// At most so many lines of a piece that is text.
    rows: usize,
    /// The present event is of a target whose bytes are text.
    is_text: bool,
}

impl Replay {
    fn take(&mut self, event: &Event) -> Result<(), ReplayError> {
        let at = event.time;
        self.seq = event.session_seq.or(self.seq);
        let kind = event.context.target.as_ref().map(|target| target.kind);
        self.is_text = kind.is_some_and(|kind| kind != TargetKind::Postgresql);
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
            Body::Command(command) => {
                self.command(at, command);
                if command.phase == Phase::Input {
                    let lines = text::lines(command.content.as_ref(), self.rows)?;
                    self.add(lines);
                }
            }
            Body::Response(response) => self.response(at, response)?,
            Body::Approval(approval) => self.step(at, "approval", answered(approval)),
            _ => {}
        }
        Ok(())
    }

    fn step(&mut self, at: Timestamp, kind: &'static str, text: String) {
        self.copying = None;
        self.steps.push(Step { seq: self.seq, at, kind, text, lines: Vec::new() });
    }

    fn decision(&mut self, at: Timestamp, decision: &Decision) {
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

    fn command(&mut self, at: Timestamp, command: &Command) {
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
    fn copy_data(&mut self, at: Timestamp, command: &Command) -> Result<(), ReplayError> {
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

    fn response(&mut self, at: Timestamp, response: &Response) -> Result<(), ReplayError> {
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
                let much = if self.is_text {
                    format!("{} bytes", summary.bytes)
                } else {
                    format!("{} rows", summary.rows)
                };
                let end = match end {
                    None if self.is_text => summary.status.to_string(),
                    end => end.unwrap_or_default(),
                };
                self.step(at, "response", format!("{end} ({much}{mask})"));
                (Some(summary.command_id), &summary.content)
            }
            Response::Unsolicited { kinds, content, .. } => {
                self.step(at, "notice", kinds.join(", "));
                (None, content)
            }
        };
        let lines = if self.is_text {
            text::lines(content.as_ref(), self.rows)?
        } else {
            self.answered.lines(of, content.as_ref())?
        };
        self.add(lines);
        Ok(())
    }

    fn add(&mut self, lines: Vec<String>) {
        if let Some(step) = self.steps.last_mut() {
            step.lines.extend(lines);
        }
    }
}

/// What became of a request, and by whom.
fn answered(approval: &Approval) -> String {
    let by = |reviewer: &Principal, comment: &Option<String>, webhook: &Option<String>| {
        let comment = comment.as_ref().map(|it| format!(": {it}")).unwrap_or_default();
        let way = webhook.as_ref().map(|it| format!(" by {it}")).unwrap_or_default();
        format!("{}{way}{comment}", reviewer.display_name)
    };
    match approval {
        Approval::Requested(request) => format!("requested {}", request.approval_id),
        Approval::Granted { reviewer, comment, webhook, .. } => {
            format!("granted by {}", by(reviewer, comment, webhook))
        }
        Approval::Denied { reviewer, comment, webhook, .. } => {
            format!("denied by {}", by(reviewer, comment, webhook))
        }
        Approval::Notified { webhook, step, .. } => format!("told {webhook}: {step}"),
        Approval::Withdrawn { cause, .. } => format!("withdrawn: {cause}"),
        other => {
            let value = serde_json::to_value(other).unwrap_or_default();
            value.get("activity").and_then(Value::as_str).unwrap_or_default().to_owned()
        }
    }
}
