//! A session whose policy lets what changes rows wait, and the messages for it.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::verdict_support::{catalog, context, identity};
use gateway_core::masking::Masking;
use gateway_core::passage::held::{Held, Leave};
use gateway_core::passage::{Bench, Denial, Scribe};
use gateway_core::pg::session::{AgentStep, Court, Limits, Machine, TargetStep};
use gateway_core::sql::{Catalog, SessionState};
use gateway_core::verdict::Judge;
use tallyport_access::policy::PolicySet;
use tallyport_eventlog::Auditable as _;
use tallyport_schemas::{
    ApprovalId, Body, CommandId, Context, Decision, Disposition, Draft, Recording, SessionId,
    TargetKind, TargetRef,
};

/// Whatever changes rows waits; the rest passes, and nothing may be truncated.
pub const POLICY: &str = r#"
@id("rest") permit (principal, action in [Tallyport::Action::"sql:connect", Tallyport::Action::"sql:select",
    Tallyport::Action::"sql:catalog", Tallyport::Action::"sql:set", Tallyport::Action::"sql:transaction",
    Tallyport::Action::"sql:ddl"], resource);
@id("writes") @require_approval("2 of dba, 1 of security; within 5m")
permit (principal, action in [Tallyport::Action::"sql:insert", Tallyport::Action::"sql:update"], resource);
@id("deletes") @require_approval("1 of dba; for session")
permit (principal, action == Tallyport::Action::"sql:delete", resource);
"#;
pub const UPDATE: &str = "UPDATE app.orders SET note = 'x' WHERE id = 1";

pub struct Session {
    pub machine: Machine,
    pub bench: Arc<Bench>,
    pub places: Vec<u64>,
}

pub fn bench(policy: &str) -> Arc<Bench> {
    bench_over(policy, catalog())
}

pub fn bench_over(policy: &str, catalog: Arc<Catalog>) -> Arc<Bench> {
    bench_under(policy, catalog, &Masking::default())
}

pub fn bench_under(policy: &str, catalog: Arc<Catalog>, masking: &Masking) -> Arc<Bench> {
    let set = Arc::new(PolicySet::parse(policy, "test.cedar").unwrap());
    let who = identity(&["agents"]);
    let target = TargetRef {
        name: "sample".into(),
        kind: TargetKind::Postgresql,
        database: Some(catalog.database().to_owned()),
    };
    let judge = Judge::new(set.asker(&who), &target, catalog, masking, Recording::Full, &context());
    Arc::new(Bench::new(judge, set.asker(&who), target, Recording::Full))
}

pub fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[tag][..], &length, body].concat()
}

pub fn query(text: &str) -> Vec<u8> {
    frame(b'Q', &[text.as_bytes(), b"\0"].concat())
}

pub fn parse(name: &str, text: &str) -> Vec<u8> {
    let body = [name.as_bytes(), b"\0", text.as_bytes(), b"\0\0\0"];
    frame(b'P', &body.concat())
}

/// With one parameter in text format.
pub fn bind(portal: &str, statement: &str, value: &str) -> Vec<u8> {
    let length = u32::try_from(value.len()).unwrap().to_be_bytes();
    let body = [
        portal.as_bytes(),
        b"\0",
        statement.as_bytes(),
        b"\0\0\0\0\x01",
        &length,
        value.as_bytes(),
        b"\0\0",
    ];
    frame(b'B', &body.concat())
}

pub fn execute(portal: &str, rows: u32) -> Vec<u8> {
    frame(b'E', &[portal.as_bytes(), b"\0", &rows.to_be_bytes()].concat())
}

pub fn sync() -> Vec<u8> {
    frame(b'S', b"")
}

/// What went out, or did not.
#[derive(Debug)]
pub enum Came {
    Forwarded(Vec<Draft>),
    Refused(Vec<Draft>),
    Held(Vec<Held>),
    Waits,
    Nothing,
}

impl Came {
    pub fn held(self) -> Held {
        match self {
            Self::Held(mut held) if held.len() == 1 => held.remove(0),
            other => panic!("it should wait: {other:?}"),
        }
    }

    pub fn forwarded(self) -> Vec<Draft> {
        match self {
            Self::Forwarded(drafts) => drafts,
            other => panic!("it should pass: {other:?}"),
        }
    }

    pub fn refused(self) -> Vec<Draft> {
        match self {
            Self::Refused(drafts) => drafts,
            other => panic!("it should not pass: {other:?}"),
        }
    }
}

impl Session {
    pub fn new() -> Self {
        Self::named(&[])
    }

    pub fn named(startup: &[(&str, &str)]) -> Self {
        let context = Context {
            session_id: Some(SessionId::new()),
            principal: Some(identity(&[]).principal),
            ..Context::default()
        };
        let settings = BTreeMap::from([
            ("client_encoding".to_owned(), "UTF8".to_owned()),
            ("standard_conforming_strings".to_owned(), "on".to_owned()),
        ]);
        let startup = startup.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let state = SessionState::new(catalog().search_path().to_vec());
        let machine = Machine::new(Limits::default(), Scribe::new(context.into()), state, settings);
        Self { machine: machine.started_with(startup), bench: bench(POLICY), places: Vec::new() }
    }

    pub fn agent(&mut self, bytes: &[u8]) -> Came {
        self.machine.agent_bytes(bytes);
        let asked = context();
        let court = Court { bench: &self.bench, context: &asked, now_us: 0 };
        match self.machine.agent_step(&court).unwrap() {
            AgentStep::NeedMore => Came::Nothing,
            AgentStep::Wait => Came::Waits,
            AgentStep::Forward(mut forward) => {
                let drafts = self.placed(forward.unit.take_drafts());
                self.machine.forwarded(forward.after, 0).unwrap();
                Came::Forwarded(drafts)
            }
            AgentStep::Refuse(mut refuse) => {
                let drafts = self.placed(refuse.note.take_drafts());
                self.machine.noted(refuse.after, 0).unwrap();
                Came::Refused(drafts)
            }
            AgentStep::Hold(held) => Came::Held(held),
        }
    }

    /// The target answers; gives what the agent gets of it.
    pub fn target(&mut self, bytes: &[u8]) -> Vec<Draft> {
        self.machine.target_bytes(bytes);
        let mut drafts = Vec::new();
        while let TargetStep::Batch(mut batch) = self.machine.target_step(1).unwrap() {
            drafts.extend(batch.take_drafts());
        }
        if let Some(mut batch) = self.machine.flush().unwrap() {
            drafts.extend(batch.take_drafts());
        }
        self.placed(drafts)
    }

    pub fn done(&mut self, tag: &str) {
        let _answer = self
            .target(&[frame(b'C', &[tag.as_bytes(), b"\0"].concat()), frame(b'Z', b"I")].concat());
        assert!(self.machine.is_drained());
    }

    pub fn decide(&mut self, held: &Held, outcome: Result<ApprovalId, Denial>) -> Came {
        self.machine.decide(vec![leave(held, outcome)]);
        self.agent(b"")
    }

    pub fn placed(&mut self, drafts: Vec<Draft>) -> Vec<Draft> {
        self.places.extend(drafts.iter().map(|draft| draft.session_seq.unwrap()));
        drafts
    }
}

pub fn leave(held: &Held, outcome: Result<ApprovalId, Denial>) -> Leave {
    Leave { digest: held.ask.digest.clone(), command_id: held.ask.command.command_id, outcome }
}

pub fn decisions(drafts: &[Draft]) -> Vec<&Decision> {
    fn decision(draft: &Draft) -> Option<&Decision> {
        match &draft.body {
            Body::Decision(decision) => Some(decision),
            _ => None,
        }
    }
    drafts.iter().filter_map(decision).collect()
}

pub fn commands(drafts: &[Draft]) -> Vec<(CommandId, Disposition)> {
    drafts
        .iter()
        .filter_map(|draft| match &draft.body {
            Body::Command(command) => Some((command.command_id, command.disposition)),
            _ => None,
        })
        .collect()
}
