//! What the control log amounts to, told again in the plainest way: by going through all of it, every time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tallyport_eventlog::{Log, Position, Topic};
use tallyport_schemas::{
    Approval, ApprovalId, ApprovalScope, Body, Event, PrincipalKind, SessionId, ocsf,
};

use crate::backend::Watch;

#[derive(Debug)]
struct Asked {
    statement: String,
    digest: String,
    quorum: usize,
    scope: ApprovalScope,
    bound: bool,
    session: Option<SessionId>,
    asks: String,
    expires_at: jiff::Timestamp,
    agreed: BTreeSet<String>,
    approved: bool,
    over: bool,
    uses: u64,
}

/// All requests of one log.
#[derive(Debug, Default)]
pub struct Oracle {
    asked: BTreeMap<ApprovalId, Asked>,
    tally: Tally,
}

/// How often things happened.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub asked: u64,
    pub approved: u64,
    pub denied: u64,
    pub expired: u64,
    pub withdrawn: u64,
    pub used: u64,
    pub ran: u64,
    /// Events that came too late, or of whom may not.
    pub in_vain: u64,
    pub restarts: u64,
    pub faults: u64,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.asked, other.asked),
            (&mut self.approved, other.approved),
            (&mut self.denied, other.denied),
            (&mut self.expired, other.expired),
            (&mut self.withdrawn, other.withdrawn),
            (&mut self.used, other.used),
            (&mut self.ran, other.ran),
            (&mut self.in_vain, other.in_vain),
            (&mut self.restarts, other.restarts),
            (&mut self.faults, other.faults),
        ];
        for (own, more) in pairs {
            *own += more;
        }
    }

    /// Whether everything happened.
    pub fn is_rich(&self) -> bool {
        [
            self.asked,
            self.approved,
            self.denied,
            self.expired,
            self.withdrawn,
            self.used,
            self.ran,
            self.in_vain,
            self.restarts,
            self.faults,
        ]
        .iter()
        .all(|count| *count > 0)
    }
}

/// What was run, and what should not have been.
#[derive(Debug, Default)]
pub struct Ran {
    pub counts: BTreeMap<String, u64>,
    pub violations: Vec<String>,
}

/// Asks the oracle whenever something is run.
pub struct Asking {
    pub ran: Arc<Mutex<Ran>>,
    pub log: Arc<dyn Log>,
}

#[async_trait]
impl Watch for Asking {
    /// Whatever is run must have been approved by now, once for every time it is run.
    async fn runs(&self, text: &str) {
        let count = {
            let mut ran = self.ran.lock();
            let count = ran.counts.entry(text.to_owned()).or_default();
            *count += 1;
            *count
        };
        let used = Oracle::read(self.log.as_ref()).await.uses_of(text);
        if used < count {
            let why = format!("{text:?} ran {count} times and was approved for {used}");
            self.ran.lock().violations.push(why);
        }
    }
}

impl Oracle {
    pub async fn read(log: &dyn Log) -> Self {
        let mut oracle = Self::default();
        let mut from = Position { partition: 0, offset: 0 };
        loop {
            let read = log.read(Topic::Control, from, 1 << 20, Duration::ZERO).await.unwrap();
            let Some(last) = read.last() else { return oracle };
            from.offset = last.position.offset + 1;
            for entry in &read {
                let event = ocsf::decode(&entry.value).unwrap();
                if !oracle.counts(&event) {
                    oracle.tally.in_vain += 1;
                }
            }
        }
    }

    /// How often a statement may have run.
    pub fn uses_of(&self, statement: &str) -> u64 {
        let of = self.asked.values().filter(|asked| asked.statement == statement);
        of.map(|asked| asked.uses).sum()
    }

    pub fn tally(&self) -> Tally {
        self.tally.clone()
    }

    fn counts(&mut self, event: &Event) -> bool {
        let Body::Approval(approval) = &event.body else { return false };
        let tally = &mut self.tally;
        if let Approval::Requested(request) = approval {
            tally.asked += 1;
            let asked = Asked {
                statement: request.asked.command().unwrap().statement.clone(),
                digest: request.digest.clone(),
                quorum: request.requirements[0].quorum as usize,
                scope: request.scope,
                bound: request.session_bound || request.scope == ApprovalScope::Session,
                session: event.context.session_id,
                asks: event.context.principal.as_ref().unwrap().subject.clone(),
                expires_at: request.expires_at,
                agreed: BTreeSet::new(),
                approved: false,
                over: false,
                uses: 0,
            };
            return self.asked.insert(request.approval_id, asked).is_none();
        }
        let Some(asked) = self.asked.get_mut(&approval.approval_id()) else { return false };
        let late = event.time >= asked.expires_at;
        let lapsed = late && !(asked.approved && asked.scope == ApprovalScope::Session);
        // Who was told of it changes nothing.
        if asked.over || matches!(approval, Approval::Notified { .. }) {
            return false;
        }
        match approval {
            Approval::Granted { reviewer, .. } | Approval::Denied { reviewer, .. } => {
                let may = reviewer.kind == PrincipalKind::Human
                    && reviewer.groups.iter().any(|group| group == "dba")
                    && reviewer.subject != asked.asks
                    && !asked.agreed.contains(&reviewer.subject);
                if !may || lapsed || asked.approved {
                    return false;
                }
                if matches!(approval, Approval::Denied { .. }) {
                    asked.over = true;
                    tally.denied += 1;
                    return true;
                }
                asked.agreed.insert(reviewer.subject.clone());
                asked.approved = asked.agreed.len() >= asked.quorum;
                tally.approved += u64::from(asked.approved);
                true
            }
            Approval::Expired { .. } => {
                asked.over |= lapsed;
                tally.expired += u64::from(lapsed);
                lapsed
            }
            Approval::Withdrawn { .. } => {
                asked.over = true;
                tally.withdrawn += 1;
                true
            }
            Approval::Used { digest, .. } => {
                let here = !asked.bound || event.context.session_id == asked.session;
                if !asked.approved || lapsed || *digest != asked.digest || !here {
                    return false;
                }
                asked.uses += 1;
                asked.over = asked.scope == ApprovalScope::Once;
                tally.used += 1;
                true
            }
            Approval::Requested(_) | Approval::Notified { .. } => false,
        }
    }
}
