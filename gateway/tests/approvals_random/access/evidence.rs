//! The journal, put together by session and by gateway.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use jiff::{SignedDuration, Timestamp};
use tallyport_schemas::{ApprovalId, Body, Event, Session, SessionId, TraceId, ocsf};

use super::cast::Cast;
use super::journal::{Label, Node, Noted, Opening, What};
use super::model::{Coming, How, Model};

/// A place in the journal.
pub type Moment = usize;
/// A refusal's status and code.
pub type Refused = (u16, &'static str);

/// A gateway that has not read the log for five seconds knows nothing; it notes that a little before this does.
const STALE: SignedDuration = SignedDuration::from_millis(4_500);

/// All that is known of one session.
#[derive(Debug)]
pub struct Facts {
    pub opening: Opening,
    pub asked: Moment,
    /// Let in, or what it was refused with.
    pub answered: Option<(Moment, Result<(), Refused>)>,
    pub session_id: Option<SessionId>,
    pub granted: Option<(ApprovalId, Timestamp)>,
    /// Its opening is on record.
    pub opened: Option<Moment>,
    pub starting: Option<Moment>,
    /// Statements on record, and answers.
    pub intents: BTreeMap<String, Moment>,
    pub responses: Vec<Moment>,
    pub ends: Vec<(Moment, Event)>,
    pub left: Option<Moment>,
    pub over: Option<Moment>,
}

pub struct Evidence {
    pub journal: Vec<Noted>,
    pub model: Model,
    pub cast: Cast,
    pub sessions: BTreeMap<Label, Facts>,
    read: BTreeMap<Node, Vec<(Moment, Read)>>,
    stopping: BTreeMap<Node, Moment>,
    failed: Vec<(Node, Moment)>,
    welcomed: BTreeMap<Label, Moment>,
}

#[derive(Clone, Copy)]
enum Read {
    Handed(u64),
    Taken(u64),
}

impl Facts {
    fn new(opening: Opening, asked: Moment) -> Self {
        Self {
            opening,
            asked,
            answered: None,
            session_id: None,
            granted: None,
            opened: None,
            starting: None,
            intents: BTreeMap::new(),
            responses: Vec::new(),
            ends: Vec::new(),
            left: None,
            over: None,
        }
    }

    /// Of several grants one lets in: it has to be on record which.
    fn take(&mut self, moment: Moment, event: Event) {
        self.session_id = event.context.session_id.or(self.session_id);
        match &event.body {
            Body::Session(Session::Granted { grant_id, expires_at }) => {
                self.granted = Some((*grant_id, *expires_at));
            }
            Body::Session(Session::Opened { .. }) => self.opened = Some(moment),
            Body::Session(_) => self.ends.push((moment, event)),
            Body::Command(command) => {
                if let Some(statement) = &command.statement {
                    self.intents.insert(statement.clone(), moment);
                }
            }
            Body::Response(_) => self.responses.push(moment),
            _ => {}
        }
    }
}

impl Evidence {
    pub fn new(journal: Vec<Noted>, model: Model, cast: Cast) -> Self {
        let mut evidence = Self {
            model,
            cast,
            sessions: BTreeMap::new(),
            read: BTreeMap::new(),
            stopping: BTreeMap::new(),
            failed: Vec::new(),
            welcomed: BTreeMap::new(),
            journal: Vec::new(),
        };
        let mut traces = BTreeMap::new();
        for (moment, noted) in journal.iter().enumerate() {
            evidence.take(moment, noted, &mut traces);
        }
        evidence.journal = journal;
        evidence
    }

    fn take(&mut self, moment: Moment, noted: &Noted, traces: &mut BTreeMap<TraceId, Label>) {
        let session = |all: &mut BTreeMap<Label, Facts>, label: Label, set: &dyn Fn(&mut Facts)| {
            set(all.get_mut(&label).unwrap());
        };
        let all = &mut self.sessions;
        match &noted.what {
            What::Started(node, length) => {
                self.read.entry(*node).or_default().push((moment, Read::Taken(*length)));
            }
            What::Handed(node, upto) => {
                self.read.entry(*node).or_default().push((moment, Read::Handed(*upto)));
            }
            What::Taken(node, upto) => {
                self.read.entry(*node).or_default().push((moment, Read::Taken(*upto)));
            }
            What::Stopping(node) => {
                self.stopping.insert(*node, moment);
            }
            What::Failed(node) => self.failed.push((*node, moment)),
            What::Put(values) => {
                for event in values.iter().map(|value| ocsf::decode(value).unwrap()) {
                    let label = event.context.trace_id.and_then(|trace| traces.get(&trace));
                    if let Some(facts) = label.and_then(|label| all.get_mut(label)) {
                        facts.take(moment, event);
                    }
                }
            }
            What::Opening(opening) => {
                traces.insert(opening.trace_id, opening.label);
                all.insert(opening.label, Facts::new(opening.clone(), moment));
            }
            What::LetIn(label) => session(all, *label, &|it| it.answered = Some((moment, Ok(())))),
            What::Refused(label, status, code) => {
                session(all, *label, &|it| it.answered = Some((moment, Err((*status, code)))));
            }
            What::Starting(label) => session(all, *label, &|it| it.starting = Some(moment)),
            What::Left(label) => session(all, *label, &|it| it.left = Some(moment)),
            What::Over(label) => session(all, *label, &|it| it.over = Some(moment)),
            What::Told(label, first) if *first != b'E' => {
                self.welcomed.entry(*label).or_insert(moment);
            }
            _ => {}
        }
    }

    pub fn at(&self, moment: Moment) -> Timestamp {
        self.journal[moment].at
    }

    /// How much of the control log a gateway may have known in this time: all that it had taken in before, at least what
    /// there was when it started, and no more than it was handed by the end.
    pub fn known(&self, node: Node, from: Moment, to: Moment) -> RangeInclusive<u64> {
        let (mut least, mut most) = (0, 0);
        for (moment, read) in &self.read[&node] {
            match read {
                Read::Taken(upto) if *moment <= from => least = least.max(*upto),
                Read::Handed(upto) if *moment <= to => most = most.max(*upto),
                _ => {}
            }
        }
        least..=most.max(least)
    }

    /// When a gateway had certainly taken in the event at this offset.
    pub fn taken(&self, node: Node, offset: u64) -> Option<Moment> {
        let mut all = self.read[&node].iter();
        let found = all.find(|(_, read)| matches!(read, Read::Taken(upto) if *upto > offset));
        found.map(|(moment, _)| *moment)
    }

    /// Whether a gateway has not read the log lately, or not to where that ended at its start: then it lets nobody in.
    pub fn is_stale(&self, node: Node, moment: Moment) -> bool {
        let since = self.at(moment) - STALE;
        let mut all = self.read[&node].iter();
        let Some((_, Read::Taken(length))) = all.next() else { return true };
        !all.any(|(at, read)| {
            let taken = matches!(read, Read::Taken(upto) if upto >= length);
            taken && *at <= moment && self.at(*at) > since
        })
    }

    pub fn stopping(&self, node: Node, by: Moment) -> bool {
        self.stopping.get(&node).is_some_and(|moment| *moment <= by)
    }

    pub fn failed(&self, node: Node, from: Moment, to: Moment) -> bool {
        self.failed.iter().any(|(at, moment)| *at == node && (from..=to).contains(moment))
    }

    /// When the agent was sent the first bytes that are no farewell.
    pub fn welcomed(&self, facts: &Facts) -> Option<Moment> {
        self.welcomed.get(&facts.opening.label).copied()
    }

    /// Who a session is to the oracle.
    pub fn coming(&self, facts: &Facts) -> Coming {
        let grant = facts.granted.map(|(id, _)| id);
        Coming { session: facts.session_id, grant, ..self.cast.coming(facts.opening.who) }
    }

    /// Whether a session may be there, for a gateway that knows so much: nobody barred it, and its grant stands.
    pub fn may_be(&self, facts: &Facts, read: u64, (from, to): (Timestamp, Timestamp)) -> bool {
        let who = self.coming(facts);
        // A revocation may lapse meanwhile, and a grant may.
        if self.model.bars(&who, read, to).is_some() {
            return false;
        }
        match (facts.granted, facts.opening.target) {
            (None, target) => target == "open",
            (Some((id, _)), target) => self.model.grants.get(&id).is_some_and(|grant| {
                grant.is_of(&who, target) && grant.state(read, from) == "approved"
            }),
        }
    }

    /// Whether its gateway may have known by then that its grant ended in one of these ways.
    pub fn took_back(&self, facts: &Facts, by: Moment, ways: &[How]) -> bool {
        let grant = facts.granted.and_then(|(id, _)| self.model.grants.get(&id));
        let ended = grant.and_then(|grant| grant.ended.as_ref());
        let known = *self.known(facts.opening.node, by, by).end();
        ended.is_some_and(|(at, how)| *at < known && ways.contains(how))
    }

    /// Whether it may have been there at some time between two moments, by what its gateway may have known, and had heard
    /// from its clock `late`.
    pub fn might_be(&self, facts: &Facts, from: Moment, to: Moment, late: SignedDuration) -> bool {
        let times = (self.at(from) - late, self.at(to));
        self.known(facts.opening.node, from, to).any(|read| self.may_be(facts, read, times))
    }
}
