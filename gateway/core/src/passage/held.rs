//! Statements that policy permits only with an approval: which of them run, which wait, and for what.

use std::collections::BTreeMap;

use tallyport_access::policy::ApprovalDemand;
use tallyport_schemas::{
    ApprovalId, ApprovalScope, AskedCommand, CommandId, Context, Decision, Effect, Phase,
    StatementKind,
};

use super::Denial;
use super::span::Detail;
use crate::approval::{Ask, Bond, Standing, digest};
use crate::sql::{Parsed, SessionState, Trace, executed, prepares};
use crate::verdict::Facts;

/// A longer statement cannot be approved: nobody would read it to its end.
pub const MAX_REVIEWED_BYTES: usize = 64 * 1024;

/// What a statement that waits stands on, beside itself.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// Principal, delegation chain and target.
    pub who: &'a Context,
    /// Something ran in this session that another one may lack.
    pub touched: bool,
    /// What the client asked for at its start.
    pub startup: &'a BTreeMap<String, String>,
    /// What the target reported last.
    pub reported: &'a BTreeMap<String, String>,
    /// What was decided since the unit was held.
    pub leaves: &'a [Leave],
}

/// What reviewers, or time, decided about a command that waited.
#[derive(Clone, Debug)]
pub struct Leave {
    /// What it is about.
    pub digest: String,
    /// The command that waited.
    pub command_id: CommandId,
    /// The approval, which is used up by this, or why there is none.
    pub outcome: Result<ApprovalId, Denial>,
}

/// An approval that was used when a portal was bound: it holds for all runs of that portal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    pub(crate) approval_id: ApprovalId,
    pub(crate) policy_version: String,
    /// What was demanded then.
    pub(crate) demand: ApprovalDemand,
    /// What statements meant then: a utility statement is only understood when it runs.
    pub(crate) meaning: Trace,
}

/// A command that waits: its pause goes on record, then it is asked for.
#[derive(Clone, Debug)]
pub struct Held {
    /// What is asked for.
    pub ask: Ask,
    /// The decision to pause.
    pub decision: Decision,
}

/// What becomes of a statement that needs an approval.
#[derive(Debug)]
pub(super) enum Settled {
    /// It runs.
    Runs {
        command_id: CommandId,
        /// The approval that it runs with; a statement that is only prepared needs none.
        approval_id: Option<ApprovalId>,
        reason: String,
    },
    /// It waits.
    Waits(Box<Ask>),
    /// It does not run.
    Denied { command_id: CommandId, denial: Denial },
}

/// What becomes of the statement of `detail`, whose verdict is to pause.
pub(super) fn settle(
    (decision, facts): (&Decision, &Facts),
    demand: ApprovalDemand,
    (ground, state): (&Ground<'_>, &SessionState),
    (command_id, phase): (CommandId, Phase),
    detail: &Detail,
) -> Settled {
    if phase == Phase::Parse {
        // It is read and its types are found; nothing of it runs before a Bind, which waits.
        let reason = format!("preparing runs nothing; to run it needs {demand}");
        return Settled::Runs { command_id, approval_id: None, reason };
    }
    if let Some(covered) = &detail.covered
        && covered.policy_version == decision.policy_version
        && covered.demand == demand
        && covered.meaning == state.meaning()
    {
        return runs(command_id, covered.approval_id);
    }
    let Some(parsed) = &detail.parsed else {
        let reason = "the statement is not known".to_owned();
        return Settled::Denied {
            command_id,
            denial: Denial::Gateway { sqlstate: "26000", reason },
        };
    };
    // What PREPARE leaves would wait for an approval and could never run.
    if parsed.statements().iter().any(|it| executed(it).is_some() || prepares(it)) {
        let reason = format!(
            "it needs an approval ({demand}), and reviewers cannot read what EXECUTE runs; send the statement itself, \
             without PREPARE"
        );
        return Settled::Denied {
            command_id,
            denial: Denial::Gateway { sqlstate: "0A000", reason },
        };
    }
    let standing = standing(ground, state, demand.scope(), parsed, facts);
    let digest = digest(&Bond {
        who: ground.who,
        policy_version: &decision.policy_version,
        demand: &demand,
        statement: parsed.text(),
        facts,
        parameters: detail.bound,
        standing,
    });
    if let Some(leave) = ground.leaves.iter().find(|leave| leave.digest == digest) {
        return match &leave.outcome {
            Ok(approval_id) => runs(leave.command_id, *approval_id),
            Err(denial) => Settled::Denied { command_id: leave.command_id, denial: denial.clone() },
        };
    }
    if parsed.text().len() > MAX_REVIEWED_BYTES {
        let reason = format!(
            "the statement needs an approval ({demand}) and is longer than the {MAX_REVIEWED_BYTES} bytes that a \
             reviewer is shown; send it in smaller ones"
        );
        return Settled::Denied {
            command_id,
            denial: Denial::Gateway { sqlstate: "54000", reason },
        };
    }
    Settled::Waits(Box::new(Ask {
        digest,
        session_bound: standing.is_session(),
        demand,
        policy_ids: decision.policy_ids.clone(),
        policy_version: decision.policy_version.clone(),
        reasons: decision.reasons.clone(),
        command: asked(command_id, parsed, facts, detail),
    }))
}

fn runs(command_id: CommandId, approval_id: ApprovalId) -> Settled {
    let reason = format!("approved: {approval_id}");
    Settled::Runs { command_id, approval_id: Some(approval_id), reason }
}

/// The decision, once it is known what becomes of it.
pub(super) fn decided(decision: Decision, effect: Effect, reason: String) -> Decision {
    Decision { effect, reasons: vec![reason], ..decision }
}

fn standing<'a>(
    ground: &Ground<'a>,
    state: &SessionState,
    scope: ApprovalScope,
    parsed: &Parsed,
    facts: &Facts,
) -> Standing<'a> {
    // A name of a prepared statement or a cursor is the session's own: another one may mean something else by it.
    let rests_on_names = rests_on_names(parsed, facts);
    if !ground.touched && !rests_on_names && scope == ApprovalScope::Once {
        return Standing::Fresh { startup: ground.startup, reported: ground.reported };
    }
    let named = rests_on_names.then(|| state.named());
    let meaning = state.meaning();
    Standing::Session { session: ground.who.session_id, meaning, named, reported: ground.reported }
}

/// Whether it may speak of a prepared statement or a cursor by name; in doubt it does.
fn rests_on_names(parsed: &Parsed, facts: &Facts) -> bool {
    use StatementKind::{Call, Cursor, Explain, Other, Prepare};
    let by_kind = |kind: &StatementKind| matches!(kind, Prepare | Cursor | Explain | Call | Other);
    // UPDATE and DELETE ... WHERE CURRENT OF cursor; CREATE TABLE ... AS EXECUTE name.
    let text = parsed.text().to_ascii_uppercase();
    let by_word = ["CURRENT", "EXECUTE"].iter().any(|word| text.contains(word));
    // Code that cannot be seen may run a statement by its name.
    facts.opaque || by_word || facts.kinds.iter().any(by_kind)
}

/// Whether a session in which this ran may mean something else by a text than one in which it did not.
pub(super) fn touches(facts: &Facts) -> bool {
    use StatementKind::{Empty, Select, Show};
    let reads = |kind: &StatementKind| matches!(kind, Select | Show | Empty);
    !facts.read_only || facts.opaque || facts.sets || !facts.kinds.iter().all(reads)
}

/// Whether what ran may have changed what other statements of the session mean: settings, roles, temporary tables, and
/// whatever code does that cannot be seen. Rows that change are no change of meaning.
pub(super) fn shifts_meaning(facts: &Facts) -> bool {
    use StatementKind::{
        CopyIn, CopyOut, Delete, Empty, Insert, Lock, Maintenance, Merge, Notify, Select, Show,
        Transaction, Truncate, Update,
    };
    let keeps = |kind: &StatementKind| {
        matches!(
            kind,
            Select
                | Show
                | Empty
                | Insert
                | Update
                | Delete
                | Merge
                | Truncate
                | CopyIn
                | CopyOut
                | Transaction
                | Lock
                | Maintenance
                | Notify
        )
    };
    facts.sets || facts.opaque || !facts.kinds.iter().all(keeps)
}

fn asked(command_id: CommandId, parsed: &Parsed, facts: &Facts, detail: &Detail) -> AskedCommand {
    AskedCommand {
        command_id,
        statement: parsed.text().to_owned(),
        parameters: detail.parameters.clone(),
        kinds: facts.kinds.clone(),
        tables: facts.tables.clone(),
        columns: facts.columns.clone(),
        functions: facts.functions.clone(),
        labels: facts.labels.clone(),
        read_only: facts.read_only,
        opaque: facts.opaque,
        has_where: facts.has_where,
        by_key: facts.by_key,
        estimated_rows: facts.estimated_rows,
    }
}
