//! One judge per session.

use std::collections::BTreeSet;
use std::sync::Arc;

use tallyport_access::policy::{AskContext, Asker, Resource};
use tallyport_schemas::{CommandId, Decision, Effect, Recording, StatementKind, TargetRef};

use super::ask::{Questions, Whereabouts};
use super::{Facts, ResponsePlan, Ruling, Verdict, clearance, plain};
use crate::masking::{MaskSet, Masking, StoredOrder};
use crate::sql::analysis::{self, Analysis, Demand};
use crate::sql::{Catalog, Parsed, SessionState};
use crate::target::opened_by;

/// Judges the statements of one session: one principal, one version of policy, one snapshot of one database.
///
/// Make another when the policy, the masking configuration or the catalog changes.
#[derive(Debug)]
pub struct Judge {
    asker: Asker,
    places: Whereabouts,
    catalog: Arc<Catalog>,
    masking: [u8; 32],
    masks: MaskSet,
    stored_order: StoredOrder,
    unmatched: Vec<String>,
    recording: Recording,
}

impl Judge {
    /// A judge for `asker`'s principal on `target`. `recording` is how much of a response is recorded where policy does
    /// not say. `context` is that of the session's start: which columns are masked is asked once, with it; a statement
    /// that names a labelled column asks again whether what was permitted then still is.
    #[must_use]
    pub fn new(
        asker: Asker,
        target: &TargetRef,
        catalog: Arc<Catalog>,
        masking: &Masking,
        recording: Recording,
        context: &AskContext,
    ) -> Self {
        let database = target.database.clone().unwrap_or_else(|| catalog.database().to_owned());
        let places = Whereabouts { target: target.name.clone(), database };
        // Reading a column as it is changes nothing and runs no code; whether a statement does is asked with it.
        let context = AskContext { read_only: true, opaque: false, ..context.clone() };
        let (masks, unmatched) =
            clearance::clearances(&asker, &places, &catalog, masking, &context);
        let fingerprint = *masking.fingerprint();
        let stored_order = masking.stored_order();
        Self {
            asker,
            places,
            catalog,
            masking: fingerprint,
            masks,
            stored_order,
            unmatched,
            recording,
        }
    }

    /// Which columns are masked for the principal, and how.
    #[must_use]
    pub const fn masks(&self) -> &MaskSet {
        &self.masks
    }

    /// Configured columns that this database does not have, as `schema.table.column`: a misspelt name protects nothing.
    #[must_use]
    pub fn unmatched_labels(&self) -> &[String] {
        &self.unmatched
    }

    /// The snapshot it judges by.
    #[must_use]
    pub const fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The version of the masking configuration; empty when there is none.
    #[must_use]
    pub const fn masking(&self) -> &[u8; 32] {
        &self.masking
    }

    /// Whether the principal may open a session here. `decision.command_id` stays empty.
    pub fn connect(
        asker: &Asker,
        target: &TargetRef,
        context: &AskContext,
        recording: Recording,
    ) -> Verdict {
        let resource = match &target.database {
            Some(database) => {
                Resource::Database { target: target.name.clone(), database: database.clone() }
            }
            None => Resource::Target { name: target.name.clone() },
        };
        let mut ruling = Ruling::default();
        let action = opened_by(target.kind);
        super::ask::ask(asker, context, action, &resource, &target.name, &mut ruling);
        let plan = ResponsePlan { recording, ..ResponsePlan::default() };
        // A session does not wait: what would have to is refused when policies are loaded, and here.
        if let Some(demand) = ruling.approval.take() {
            ruling.deny(format!("policy demands {demand} for a session, which is not available"));
        }
        let grant = ruling.grant.take();
        Verdict {
            decision: decision(ruling, asker, None),
            facts: Facts { read_only: true, ..Facts::default() },
            plan,
            approval: None,
            grant,
        }
    }

    /// What is decided about `parsed`, in a session in this state. Nothing is remembered of it.
    pub fn judge(
        &self,
        parsed: &Parsed,
        state: &SessionState,
        context: &AskContext,
        command_id: CommandId,
    ) -> Verdict {
        let analyses = self.analyse(parsed, state);
        let facts = self.facts(parsed, &analyses);
        let mut ruling = Ruling::default();
        // Dear to ask with, so only where a policy looks at them.
        let wanted = self.asker.policy_set().reads_columns();
        let columns: Vec<String> =
            facts.columns.iter().filter(|_| wanted).map(ToString::to_string).collect();
        let labels: Vec<String> = facts.labels.iter().filter(|_| wanted).cloned().collect();
        for analysis in &analyses {
            let context = AskContext {
                by_key: analysis.has_key && !analysis.lacks_key,
                estimated_rows: self.estimated_rows(std::slice::from_ref(analysis)),
                columns: columns.clone(),
                labels: labels.clone(),
                read_only: is_read_only(analysis),
                opaque: !analysis.opaque.is_empty(),
                has_where: analysis.has_where && !analysis.lacks_where,
                multi_statement: parsed.statement_count() > 1,
                ..context.clone()
            };
            let questions = Questions {
                asker: &self.asker,
                places: &self.places,
                catalog: &self.catalog,
                masks: &self.masks,
                context,
                asked: Default::default(),
            };
            questions.about(analysis, &mut ruling);
            for why in analysis.changes.iter().filter_map(|change| change.misleads()) {
                ruling.deny(why);
            }
            if let Some(name) = analysis.writes_to_system(&self.catalog) {
                ruling.deny(format!(
                    "writing to {name} would change what statements mean; change settings by SET"
                ));
            }
            if !self.masks.is_empty() {
                let rules = plain::Rules {
                    stored_order: self.stored_order,
                    masks: &self.masks,
                    catalog: &self.catalog,
                };
                for why in rules.broken_by(analysis, parsed.text()) {
                    ruling.deny(why);
                }
            }
        }
        let plan = self.plan(&analyses, &ruling);
        let approval = ruling.approval.take().filter(|_| !ruling.is_denied());
        let decision = decision(ruling, &self.asker, Some(command_id));
        Verdict { decision, facts, plan, approval, grant: None }
    }

    /// Each statement of a text is read in the state that those before it leave.
    fn analyse(&self, parsed: &Parsed, state: &SessionState) -> Vec<Analysis> {
        let statements = parsed.statements();
        if let [statement] = statements {
            return vec![analysis::analyse(statement, &self.catalog, state)];
        }
        let mut state = state.clone();
        let mut analyses = Vec::with_capacity(statements.len());
        for (index, statement) in statements.iter().enumerate() {
            analyses.push(analysis::analyse(statement, &self.catalog, &state));
            state.after_statement(parsed, index);
        }
        analyses
    }

    fn facts(&self, parsed: &Parsed, analyses: &[Analysis]) -> Facts {
        let mut tables = BTreeSet::new();
        let mut columns = BTreeSet::new();
        let mut functions = BTreeSet::new();
        for analysis in analyses {
            for used in &analysis.relations {
                if used.resolved.unknown || used.resolved.oids.is_empty() {
                    let (schema, name) = match used.written.split_once('.') {
                        Some((schema, _)) => (Some(schema.to_owned()), used.name.clone()),
                        None => (None, used.name.clone()),
                    };
                    tables.insert(tallyport_schemas::ObjectRef { schema, name });
                }
                for oid in &used.resolved.oids {
                    let reached = self.catalog.view_facts(*oid).map(|facts| &facts.reaches);
                    let all = std::iter::once(oid).chain(reached.into_iter().flatten());
                    tables.extend(
                        all.filter_map(|oid| self.catalog.relation(*oid))
                            .map(|relation| relation.object_ref()),
                    );
                }
            }
            columns.extend(analysis.named_columns.iter().cloned());
            functions.extend(analysis.functions.iter().cloned());
        }
        let changes = analyses.iter().any(|analysis| analysis.has_where || analysis.lacks_where);
        Facts {
            kinds: parsed.kinds(),
            labels: self.labels(&columns, &tables),
            tables: tables.into_iter().collect(),
            columns: columns.into_iter().collect(),
            functions: functions.into_iter().collect(),
            read_only: analyses.iter().all(is_read_only),
            opaque: analyses.iter().any(|analysis| !analysis.opaque.is_empty()),
            has_where: changes && !analyses.iter().any(|analysis| analysis.lacks_where),
            sets: analyses
                .iter()
                .any(|it| !it.changes.is_empty() || it.demands.contains(&Demand::Set)),
            by_key: analyses.iter().any(|analysis| analysis.has_key)
                && !analyses.iter().any(|analysis| analysis.lacks_key),
            estimated_rows: self.estimated_rows(analyses),
            fingerprint: parsed.fingerprint().map(str::to_owned),
        }
    }

    /// What is changed by a key is one row; what is not may be all. Nothing is known where a part is not, and where
    /// nothing of the kind is in it.
    fn estimated_rows(&self, analyses: &[Analysis]) -> Option<u64> {
        let mut changed = analyses.iter().flat_map(|analysis| &analysis.changed).peekable();
        changed.peek()?;
        let rows = |changed: &analysis::Changed| {
            if changed.one_row {
                return Some(1);
            }
            let rows = changed.oids.iter().map(|oid| self.catalog.estimated_rows(*oid));
            rows.collect::<Option<Vec<u64>>>()?.into_iter().max()
        };
        changed.map(rows).sum()
    }

    /// The labels of named columns; of a table that is reached through a view, all.
    fn labels(
        &self,
        columns: &BTreeSet<tallyport_schemas::ColumnRef>,
        tables: &BTreeSet<tallyport_schemas::ObjectRef>,
    ) -> Vec<String> {
        let mut labels = BTreeSet::new();
        for oid in self.masks.tables() {
            let Some(relation) = self.catalog.relation(oid) else { continue };
            let whole = relation.object_ref();
            let reached = tables.contains(&whole)
                && !columns
                    .iter()
                    .any(|named| named.schema == whole.schema && named.table == whole.name);
            for column in self.masks.of_table(oid).filter(|column| column.configured) {
                if reached || columns.contains(&relation.column_ref(&column.name)) {
                    labels.extend(column.labels.iter().cloned());
                }
            }
        }
        labels.into_iter().collect()
    }

    fn plan(&self, analyses: &[Analysis], ruling: &Ruling) -> ResponsePlan {
        let in_force = !self.masks.is_empty();
        // A constraint's error tells a whole row.
        let partly =
            |oid: &u32| self.masks.is_masked_table(*oid) || self.masks.expected(*oid).is_some();
        let touches = |oid: &u32| {
            let facts = self.catalog.view_facts(*oid);
            partly(oid) || facts.is_some_and(|facts| facts.reaches.iter().any(partly))
        };
        let touched = analyses
            .iter()
            .flat_map(|analysis| &analysis.relations)
            .any(|used| used.resolved.unknown || used.resolved.oids.iter().any(touches));
        ResponsePlan {
            recording: ruling.recording.unwrap_or(self.recording),
            row_limit: ruling.row_limit,
            // Every result is checked by its origin, not only those that should carry a masked column: a table may
            // have been renamed since the snapshot.
            masked: in_force && analyses.iter().any(|analysis| may_return_rows(analysis.kind)),
            scrub_errors: in_force && touched,
        }
    }
}

const fn may_return_rows(kind: StatementKind) -> bool {
    use StatementKind::{Cursor, Delete, Insert, Merge, Prepare, Select, Update};
    matches!(kind, Select | Insert | Update | Delete | Merge | Cursor | Prepare)
}

fn is_read_only(analysis: &Analysis) -> bool {
    let demands = [Demand::CopyIn, Demand::Ddl, Demand::Call, Demand::Maintenance];
    !analysis.has_effect
        && analysis.opaque.is_empty()
        && !demands.iter().any(|demand| analysis.demands.contains(demand))
}

pub(super) fn decision(ruling: Ruling, asker: &Asker, command_id: Option<CommandId>) -> Decision {
    let denied = ruling.is_denied();
    let effect = match (denied, ruling.pauses.is_empty()) {
        (true, _) => Effect::Deny,
        (false, false) => Effect::Pause,
        (false, true) => Effect::Allow,
    };
    Decision {
        effect,
        actions: ruling.actions.into_iter().map(str::to_owned).collect(),
        resources: ruling.resources.into_iter().collect(),
        // What was permitted beside what was not did not determine a denial.
        policy_ids: if denied { ruling.forbids } else { ruling.permits }.into_iter().collect(),
        policy_version: asker.policy_set().version().to_owned(),
        obligations: if denied { Vec::new() } else { ruling.obligations },
        reasons: if denied { ruling.reasons } else { ruling.pauses },
        command_id,
    }
}
