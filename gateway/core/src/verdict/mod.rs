//! What policy says of a statement, with its obligations, and what masks leave of it.
//!
//! One [`Judge`] per session. [`Judge::judge`] puts together what a statement means ([`crate::sql`]), what policy
//! permits (Cedar) and which columns are masked for the principal ([`crate::masking`]), and gives a [`Verdict`]: the
//! decision for the event, the facts for the event, and how the response is to be handled.
//!
//! Without masked columns only policy decides, and whatever PostgreSQL's grammar accepts may pass. With masked columns
//! a statement passes only when it is known to leave every masked column alone or to select it as it is; the reasons
//! say so in words, without a value.

mod accept;
mod access;
mod ask;
mod clearance;
mod expected;
mod judge;
mod order;
mod plain;
mod question;
mod system;
mod writes;

use std::collections::BTreeSet;

use tallyport_access::policy::{ApprovalDemand, GrantDemand};
use tallyport_schemas::{ColumnRef, Decision, Effect, ObjectRef, Recording, StatementKind};

pub use accept::{NOT_A_PERSON, judge_accept};
pub use access::access;
pub use judge::Judge;
pub use question::{judge_question, not_taken};

/// What is decided about one text, and what follows from it.
#[derive(Clone, Debug)]
#[must_use = "a verdict that is not looked at decides nothing"]
pub struct Verdict {
    /// The decision, as it goes on record.
    pub decision: Decision,
    /// What the text means, as it goes on record with the command.
    pub facts: Facts,
    /// How the response is to be handled.
    pub plan: ResponsePlan,
    /// Who must agree before it runs; the decision is to pause then.
    pub approval: Option<ApprovalDemand>,
    /// The grant under which a session may be opened; the decision is to deny where none that meets it stands.
    pub grant: Option<GrantDemand>,
}

/// What a text means. All lists are sorted, without repeats, except `kinds`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// What its statements do, in order.
    pub kinds: Vec<StatementKind>,
    /// The relations it names, and those that views among them reach.
    pub tables: Vec<ObjectRef>,
    /// The columns it names; a star names all.
    pub columns: Vec<ColumnRef>,
    /// The functions it calls; those outside `pg_catalog` with their schema.
    pub functions: Vec<String>,
    /// The labels of the columns it names.
    pub labels: Vec<String>,
    /// Whether it provably changes nothing.
    pub read_only: bool,
    /// Whether it runs code whose effect cannot be seen from its text.
    pub opaque: bool,
    /// Whether it has an UPDATE or DELETE, and each of them a WHERE clause.
    pub has_where: bool,
    /// Whether it changes a setting of the session.
    pub sets: bool,
    /// Whether it has an UPDATE or DELETE, and each of them names one row by a whole unique key.
    pub by_key: bool,
    /// About how many rows its UPDATE, DELETE and TRUNCATE change at most, where that is known.
    pub estimated_rows: Option<u64>,
    /// The text without its constants.
    pub fingerprint: Option<String>,
}

/// How a response is to be handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponsePlan {
    /// How much of it is recorded.
    pub recording: Recording,
    /// The most rows that may pass.
    pub row_limit: Option<u64>,
    /// It may carry masked columns: its RowDescription must be known before any DataRow passes.
    pub masked: bool,
    /// Messages may quote masked values: details of errors and notices must not pass.
    pub scrub_errors: bool,
}

impl Verdict {
    /// Whether it may pass.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.decision.effect == Effect::Allow
    }
}

/// What is gathered on the way to a decision; a denial never goes away again.
#[derive(Debug, Default)]
struct Ruling {
    actions: BTreeSet<&'static str>,
    resources: BTreeSet<String>,
    /// The policies that permitted one thing or another.
    permits: BTreeSet<String>,
    /// The policies that forbade something.
    forbids: BTreeSet<String>,
    obligations: Vec<tallyport_schemas::Obligation>,
    reasons: Vec<String>,
    recording: Option<Recording>,
    row_limit: Option<u64>,
    approval: Option<ApprovalDemand>,
    grant: Option<GrantDemand>,
    /// Why it waits, in words.
    pauses: Vec<String>,
}

/// More reasons than this are not given for one text.
const MAX_REASONS: usize = 8;

impl Ruling {
    fn deny(&mut self, reason: String) {
        if !self.reasons.contains(&reason) && self.reasons.len() < MAX_REASONS {
            self.reasons.push(reason);
        }
    }

    fn pause(&mut self, demand: &ApprovalDemand, reason: String) {
        if !self.pauses.contains(&reason) && self.pauses.len() < MAX_REASONS {
            self.pauses.push(reason);
        }
        self.approval = Some(match self.approval.take() {
            Some(known) => known.and(demand),
            None => demand.clone(),
        });
    }

    /// A grant is demanded; `given` is what stands.
    fn needs_grant(&mut self, demand: GrantDemand, given: Option<&GrantDemand>, what: &str) {
        if !given.is_some_and(|given| demand.is_met_by(given)) {
            self.deny(format!("{what} needs a grant of {demand}"));
        }
        self.grant = Some(match self.grant.take() {
            Some(known) => known.and(&demand),
            None => demand,
        });
    }

    /// A ruling without a reason to deny allows: every way to a ruling asks policy at least once.
    fn is_denied(&self) -> bool {
        !self.reasons.is_empty()
    }
}
