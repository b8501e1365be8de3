//! The session machine between an agent and a target that both say what they like.
//!
//! An input is a script: the first byte chooses who judges and whether detectors look, then each step is a byte and its bytes. See [`Op`].

mod record;
mod seeds;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use gateway_core::passage::held::{Held, Leave};
use gateway_core::passage::{Bench, Denial, Scribe};
use gateway_core::pg::session::{
    AgentStep, Court, Ending, Limits, Machine, TargetStep, TimeLimit, Violation,
};
use gateway_core::sql::SessionState;
use tallyport_access::policy::AskContext;
use tallyport_detect::{Cards, Rules, Screen};
use tallyport_eventlog::Auditable;
use tallyport_schemas::{ApprovalId, Context, Draft, SessionEnd, SessionId};

use super::court::{CUSTOMERS, bench_of, catalog, context, waits};
use super::wire::{counted, error, field, message, value};
use crate::Source;
use record::Record;
pub use seeds::{WORDS, seeds};

/// What the honest target has in a masked column.
const SECRET: &[u8] = b"secret-4711-secret";
/// More steps than a script has bytes would be going round in circles.
const MAX_STEPS: usize = 10_000;

/// A step of a script.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// Bytes of the agent, as they are, behind their length.
    AgentRaw,
    /// Bytes of the target, as they are.
    TargetRaw,
    /// A message of the agent: its kind, then its body behind its length.
    Agent,
    /// A message of the target.
    Target,
    /// The target has nothing more to say right now.
    Flush,
    /// The target honestly describes a masked column and gives a row of it.
    HonestRow,
    /// The target honestly says that the row is not unique, and quotes it.
    HonestError,
}

impl Op {
    const fn of(byte: u8) -> Self {
        match byte % 7 {
            0 => Self::AgentRaw,
            1 => Self::TargetRaw,
            2 => Self::Agent,
            3 => Self::Target,
            4 => Self::Flush,
            5 => Self::HonestRow,
            _ => Self::HonestError,
        }
    }
}

/// Whatever both sides say: nothing denied is forwarded, every byte that passes is on record, the end is on record, no
/// place in the session is left out or given twice, and what is masked does not come through.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let choice = source.u8();
    let mut stage = Stage::new(choice);
    while !source.is_empty() && stage.is_open() {
        stage.play(&mut source);
    }
    stage.end(choice);
}

/// From this choice on detectors look into what the target says.
const LOOKS_FROM: u8 = 128;

static LOOKING: LazyLock<Screen> = LazyLock::new(|| {
    let rules = [("all", "mask"), ("payment_card", "deny"), ("email", "alert")];
    let rules = Rules::parse(rules).expect("rules");
    Screen::new(rules, Cards::Hidden).expect("the patterns compile")
});

struct Stage {
    machine: Machine,
    bench: &'static Arc<Bench>,
    context: AskContext,
    record: Record,
    waits: bool,
    agent_gone: bool,
    broken: bool,
    /// So far the target told the truth about its columns.
    honest: bool,
    steps: usize,
}

impl Stage {
    fn new(choice: u8) -> Self {
        let context = Context { session_id: Some(SessionId::new()), ..Context::default() };
        let settings = BTreeMap::from([
            ("client_encoding".to_owned(), "UTF8".to_owned()),
            ("standard_conforming_strings".to_owned(), "on".to_owned()),
        ]);
        let state = SessionState::new(catalog().search_path().to_vec());
        let scribe = Scribe::new(context.into());
        let mut stage = Self {
            machine: Machine::new(Limits::default(), scribe, state, settings)
                .looking((choice >= LOOKS_FROM).then(|| LOOKING.clone())),
            bench: bench_of(choice),
            context: self::context(),
            record: Record::new(waits(choice)),
            waits: false,
            agent_gone: false,
            broken: false,
            honest: !bench_of(choice).masks().is_empty(),
            steps: 0,
        };
        stage.agent_goes_on();
        stage
    }

    const fn is_open(&self) -> bool {
        !self.broken
    }

    fn play(&mut self, source: &mut Source<'_>) {
        let op = Op::of(source.u8());
        match op {
            Op::AgentRaw => self.agent(source.counted()),
            Op::TargetRaw => {
                self.honest = false;
                self.target(source.counted());
            }
            Op::Agent => {
                let tag = source.u8();
                self.agent(&message(tag, source.counted()));
            }
            Op::Target => {
                let tag = source.u8();
                self.honest &= !b"TE N".contains(&tag);
                self.target(&message(tag, source.counted()));
            }
            Op::Flush => self.flush(),
            Op::HonestRow => {
                let columns = counted(&[field("x", CUSTOMERS.0, CUSTOMERS.1, 25)]);
                let row = counted(&[value(SECRET)]);
                self.target(&[message(b'T', &columns), message(b'D', &row)].concat());
            }
            Op::HonestError => {
                // Whether an error may quote a masked value is the statement's matter, where there is one.
                self.honest &= self.machine.is_drained();
                let secret = std::str::from_utf8(SECRET).expect("text");
                let fields = [(b'C', "23505"), (b'M', "not unique"), (b'D', secret)];
                self.target(&message(b'E', &error(&fields)));
            }
        }
    }

    fn agent(&mut self, bytes: &[u8]) {
        self.machine.agent_bytes(bytes);
        self.agent_goes_on();
    }

    fn agent_goes_on(&mut self) {
        while self.is_open() && !self.agent_gone && (!self.waits || self.machine.is_drained()) {
            self.waits = false;
            self.count_step();
            let court = Court { bench: self.bench, context: &self.context, now_us: 1 };
            match self.machine.agent_step(&court) {
                Ok(AgentStep::NeedMore) => return,
                Ok(AgentStep::Wait) => self.waits = true,
                Ok(AgentStep::Forward(mut forward)) => {
                    let drafts = drafts_of(&mut forward.unit);
                    self.record.forwarded(&drafts, forward.unit.wire_bytes());
                    self.agent_gone = forward.after.terminates;
                    let done = self.machine.forwarded(forward.after, 2);
                    self.settle(done);
                }
                Ok(AgentStep::Refuse(mut refuse)) => {
                    self.record.refused(&drafts_of(&mut refuse.note));
                    self.agent_gone = refuse.after.terminates;
                    let done = self.machine.noted(refuse.after, 2);
                    self.settle(done);
                }
                Ok(AgentStep::Hold(held)) => self.hold(&held),
                Err(violation) => self.settle(Err(violation)),
            }
        }
    }

    /// Reviewers agree to every second thing.
    fn hold(&mut self, held: &[Held]) {
        assert!(self.machine.is_drained(), "it waits while answers are on their way");
        self.record.paused(&drafts_of(&mut self.machine.paused(held)));
        let told = self.machine.announce("it waits", "for a reviewer");
        self.settle(told);
        let leave = |one: &Held| {
            let agreed = one.ask.digest.as_bytes()[0].is_multiple_of(2);
            let denial = Denial::Gateway { sqlstate: "42501", reason: "no".to_owned() };
            Leave {
                digest: one.ask.digest.clone(),
                command_id: one.ask.command.command_id,
                outcome: if agreed { Ok(ApprovalId::new()) } else { Err(denial) },
            }
        };
        let leaves: Vec<Leave> = held.iter().map(leave).collect();
        self.record.decided(&leaves);
        self.machine.decide(leaves);
    }

    fn target(&mut self, bytes: &[u8]) {
        self.machine.target_bytes(bytes);
        self.target_goes_on();
        if self.waits {
            self.agent_goes_on();
        }
    }

    fn target_goes_on(&mut self) {
        let mut renewed = false;
        while self.is_open() {
            self.count_step();
            match self.machine.target_step(3) {
                Ok(TargetStep::NeedMore) => break,
                Ok(TargetStep::Batch(mut batch)) => {
                    self.record.answered(&drafts_of(&mut batch), batch.wire_bytes(), self.honest);
                }
                Err(Violation::UnknownOrigin { .. }) if !renewed => {
                    renewed = true;
                    self.machine.renew(self.bench);
                }
                Err(violation) => self.settle(Err(violation)),
            }
        }
        let _cancelled = self.machine.take_cancel();
    }

    fn flush(&mut self) {
        match self.machine.flush() {
            Ok(Some(mut batch)) => {
                self.record.answered(&drafts_of(&mut batch), batch.wire_bytes(), self.honest);
            }
            Ok(None) => {}
            Err(violation) => self.settle(Err(violation)),
        }
    }

    fn settle(&mut self, done: Result<(), Violation>) {
        if let Err(violation) = done {
            assert!(!violation.reply().to_bytes().is_empty() && !violation.code().is_empty());
            let secret = std::str::from_utf8(SECRET).expect("text");
            assert!(!violation.to_string().contains(secret), "an error quotes a value");
            self.broken = true;
        }
    }

    fn count_step(&mut self) {
        self.steps += 1;
        assert!(self.steps < MAX_STEPS, "the machine goes round in circles");
    }

    fn end(mut self, choice: u8) {
        let ending = match choice % 3 {
            0 => Ending::Expired(TimeLimit::Token),
            1 => Ending::Closed(SessionEnd::Shutdown),
            _ => {
                Ending::Revoked { by: "x".to_owned(), reason: "y".to_owned(), revocation_id: None }
            }
        };
        let last = self.machine.end(&ending, choice.is_multiple_of(2), 4);
        let mut last = last.expect("an end can be recorded").expect("an end is an event");
        self.record.answered(&drafts_of(&mut last), last.wire_bytes(), self.honest);
        self.record.ended();
        let stats = self.machine.stats();
        assert!(stats.rows <= self.steps as u64 * 4096);
    }
}

/// The events that are committed with it.
fn drafts_of(it: &mut impl Auditable) -> Vec<Draft> {
    it.take_drafts()
}
