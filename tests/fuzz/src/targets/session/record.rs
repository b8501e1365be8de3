//! What is on record of a session, and what must hold of it.

use std::collections::{BTreeMap, BTreeSet};

use gateway_core::passage::held::Leave;
use tallyport_schemas::{
    Body, Command, CommandId, Content, Disposition, Draft, Effect, Phase, Response, Session,
    StatementKind,
};

use super::SECRET;

#[derive(Debug, Default)]
pub(super) struct Record {
    /// The places of all events.
    places: Vec<u64>,
    /// Commands that a decision allowed.
    allowed: BTreeSet<CommandId>,
    /// Statements that went out, and how many summaries of their responses there are.
    statements: BTreeMap<CommandId, usize>,
    /// All commands that were recorded.
    known: BTreeSet<CommandId>,
    /// Commands whose response is complete.
    completed: BTreeSet<CommandId>,
    ends: usize,
    /// Commands that waited, and whether reviewers agreed.
    waited: BTreeMap<CommandId, bool>,
    approvals: BTreeSet<String>,
    /// Whatever changes something waits.
    writes_wait: bool,
    /// Commands that a decision allowed because of an approval.
    approved: BTreeSet<CommandId>,
}

impl Record {
    /// Of a session in which whatever changes something waits, or does not.
    pub(super) fn new(writes_wait: bool) -> Self {
        Self { writes_wait, ..Self::default() }
    }

    /// A pause: nothing but decisions, and each to pause.
    pub(super) fn paused(&mut self, drafts: &[Draft]) {
        assert!(!drafts.is_empty(), "a pause is an event");
        self.place(drafts);
        for draft in drafts {
            match &draft.body {
                Body::Decision(decision) if decision.effect == Effect::Pause => {}
                other => panic!("no such event belongs to a pause: {other:?}"),
            }
        }
    }

    /// What reviewers said.
    pub(super) fn decided(&mut self, leaves: &[Leave]) {
        for leave in leaves {
            self.waited.insert(leave.command_id, leave.outcome.is_ok());
            self.approvals.extend(leave.outcome.as_ref().ok().map(ToString::to_string));
        }
    }

    /// A unit for the target: every byte of it belongs to a command that a decision allowed.
    pub(super) fn forwarded(&mut self, drafts: &[Draft], wire_bytes: usize) {
        self.place(drafts);
        self.decisions(drafts);
        let mut recorded = 0;
        for command in commands(drafts) {
            self.known.insert(command.command_id);
            if command.disposition != Disposition::Forwarded {
                continue;
            }
            recorded += command.wire_bytes;
            assert!(
                self.allowed.contains(&command.command_id),
                "forwarded, not allowed: {command:?}"
            );
            assert_ne!(self.waited.get(&command.command_id), Some(&false), "denied: {command:?}");
            if self.waits_for(command) {
                assert!(self.approved.contains(&command.command_id), "not approved: {command:?}");
            }
            if matches!(command.phase, Phase::Query | Phase::Parse | Phase::Execute) {
                self.statements.entry(command.command_id).or_default();
            }
            intact(command.content.as_ref());
        }
        assert_eq!(recorded, wire_bytes as u64, "bytes for the target that no event has");
    }

    /// Whether the policy of this session lets it run with an approval alone: then something waited before.
    fn waits_for(&self, command: &Command) -> bool {
        use StatementKind::{CopyIn, Delete, Insert, Merge, Truncate, Update};
        let writes = |kind: &StatementKind| {
            matches!(kind, Insert | Update | Delete | Merge | CopyIn | Truncate)
        };
        let runs = matches!(command.phase, Phase::Query | Phase::Execute);
        self.writes_wait && runs && command.kinds.iter().any(writes)
    }

    /// A refusal: nothing of it is said to have gone out.
    pub(super) fn refused(&mut self, drafts: &[Draft]) {
        self.place(drafts);
        self.decisions(drafts);
        assert!(!drafts.is_empty(), "a refusal is an event");
        for command in commands(drafts) {
            self.known.insert(command.command_id);
            assert_ne!(command.disposition, Disposition::Forwarded, "{command:?}");
        }
    }

    /// A batch for the agent: every byte is in an event, and a masked value in none.
    pub(super) fn answered(&mut self, drafts: &[Draft], wire_bytes: usize, honest: bool) {
        self.place(drafts);
        let mut recorded = 0;
        for draft in drafts {
            match &draft.body {
                Body::Response(response) => recorded += self.response(response, honest),
                Body::Session(
                    Session::Closed { .. } | Session::Expired { .. } | Session::Revoked { .. },
                ) => {
                    self.ends += 1;
                }
                other => panic!("no such event belongs to an answer: {other:?}"),
            }
        }
        assert_eq!(recorded, wire_bytes as u64, "bytes for the agent that no event has");
    }

    fn response(&mut self, response: &Response, honest: bool) -> u64 {
        let (command_id, wire_bytes, content) = match response {
            Response::Chunk { command_id, wire_bytes, content, .. } => {
                (*command_id, *wire_bytes, content.as_ref())
            }
            Response::Unsolicited { wire_bytes, content, .. } => {
                (None, *wire_bytes, content.as_ref())
            }
            Response::Completed(summary) => {
                let id = summary.command_id;
                assert!(self.completed.insert(id), "a response is complete twice: {summary:?}");
                if let Some(count) = self.statements.get_mut(&id) {
                    *count += 1;
                }
                assert!(summary.bytes >= summary.wire_bytes);
                (Some(id), summary.wire_bytes, summary.content.as_ref())
            }
        };
        if let Some(id) = command_id {
            assert!(self.known.contains(&id), "a response to a command that is not on record");
        }
        if let Some(raw) = intact(content)
            && honest
        {
            let shown = raw.windows(SECRET.len()).any(|window| window == SECRET);
            assert!(!shown, "a masked value came through: {response:?}");
        }
        wire_bytes
    }

    /// The whole session: one end, dense places, and one response for every statement that went out.
    pub(super) fn ended(mut self) {
        assert_eq!(self.ends, 1, "a session ends once");
        self.places.sort_unstable();
        let dense: Vec<u64> = (0..self.places.len() as u64).collect();
        assert_eq!(self.places, dense, "places in the session are left out or given twice");
        for (id, summaries) in &self.statements {
            assert_eq!(
                *summaries, 1,
                "statement {id:?} went out and its response has no end on record"
            );
        }
    }

    fn place(&mut self, drafts: &[Draft]) {
        self.places.extend(drafts.iter().map(|draft| draft.session_seq.expect("a session")));
    }

    fn decisions(&mut self, drafts: &[Draft]) {
        for draft in drafts {
            if let Body::Decision(decision) = &draft.body {
                let id = decision.command_id.expect("a decision names its command");
                if decision.effect == Effect::Allow {
                    self.allowed.insert(id);
                    let of = |reason: &String| reason.strip_prefix("approved: ").map(str::to_owned);
                    if let Some(approval) = decision.reasons.iter().find_map(of) {
                        assert!(self.approvals.contains(&approval), "nobody gave {approval}");
                        self.approved.insert(id);
                    }
                } else {
                    self.allowed.remove(&id);
                }
            }
        }
    }
}

fn commands(drafts: &[Draft]) -> impl Iterator<Item = &Command> {
    drafts.iter().filter_map(|draft| match &draft.body {
        Body::Command(command) => Some(command.as_ref()),
        _ => None,
    })
}

fn intact(content: Option<&Content>) -> Option<Vec<u8>> {
    content.map(|content| content.replay().expect("what is recorded can be replayed"))
}
