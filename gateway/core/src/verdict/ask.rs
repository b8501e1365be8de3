//! The questions that policy is asked about a statement.

use std::cell::RefCell;
use std::collections::HashSet;

use tallyport_access::policy::{Action, ApprovalDemand, AskContext, Asker, GrantDemand, Resource};
use tallyport_schemas::{Obligation, Recording};

use super::Ruling;
use crate::masking::{Clearance, MaskSet};
use crate::sql::analysis::{Access, Analysis, Demand};
use crate::sql::catalog::{Catalog, Relation};

/// Where things lie.
#[derive(Clone, Debug)]
pub(super) struct Whereabouts {
    pub(super) target: String,
    pub(super) database: String,
}

impl Whereabouts {
    pub(super) fn database(&self) -> Resource {
        Resource::Database { target: self.target.clone(), database: self.database.clone() }
    }

    pub(super) fn table(&self, schema: &str, table: &str, labels: Vec<String>) -> Resource {
        Resource::Table {
            target: self.target.clone(),
            database: self.database.clone(),
            schema: schema.to_owned(),
            table: table.to_owned(),
            labels,
        }
    }

    pub(super) fn column(
        &self,
        relation: &Relation,
        column: &str,
        labels: Vec<String>,
    ) -> Resource {
        Resource::Column {
            target: self.target.clone(),
            database: self.database.clone(),
            schema: relation.schema.clone(),
            table: relation.name.clone(),
            column: column.to_owned(),
            labels,
        }
    }

    fn function(&self, schema: &str, name: &str) -> Resource {
        // Only calls that cannot be seen through are asked about, so none of them is builtin in policy's sense.
        Resource::Function {
            target: self.target.clone(),
            database: self.database.clone(),
            schema: schema.to_owned(),
            name: name.to_owned(),
            builtin: false,
        }
    }
}

/// What questions are put to, and about whom.
pub(super) struct Questions<'a> {
    pub(super) asker: &'a Asker,
    pub(super) places: &'a Whereabouts,
    pub(super) catalog: &'a Catalog,
    pub(super) masks: &'a MaskSet,
    pub(super) context: AskContext,
    /// What was asked already: a table named twice is one question.
    pub(super) asked: RefCell<HashSet<(Action, Resource)>>,
}

impl Questions<'_> {
    /// Asks everything that one statement gives rise to.
    pub(super) fn about(&self, analysis: &Analysis, ruling: &mut Ruling) {
        for used in &analysis.relations {
            for access in &used.access {
                for oid in &used.resolved.oids {
                    let Some(relation) = self.catalog.relation(*oid) else { continue };
                    self.relation(*access, relation, ruling);
                }
                if used.resolved.unknown || used.resolved.oids.is_empty() {
                    self.unknown(*access, &used.resolved.unknown_in, &used.name, ruling);
                }
            }
        }
        for demand in &analysis.demands {
            if !is_covered(*demand, analysis) {
                self.ask(action_of(*demand), &self.places.database(), "the database", ruling);
            }
        }
        for call in &analysis.opaque_calls {
            match &call.schema {
                Some(schema) => {
                    let resource = self.places.function(schema, &call.name);
                    self.ask(Action::FnCall, &resource, &format!("{schema}.{}", call.name), ruling);
                }
                None => self.ask(Action::FnCall, &self.places.database(), &call.name, ruling),
            }
        }
        if !analysis.unknown_bodies.is_empty() {
            self.ask(Action::Call, &self.places.database(), "the database", ruling);
        }
        self.labelled_columns(analysis, ruling);
    }

    fn relation(&self, access: Access, relation: &Relation, ruling: &mut Ruling) {
        let reads = matches!(access, Access::Select | Access::CopyOut);
        let action =
            if relation.is_system() && reads { Action::Catalog } else { action_on(access) };
        let mut labels: Vec<String> = self
            .masks
            .of_table(relation.oid)
            .flat_map(|column| column.labels.iter().cloned())
            .collect();
        labels.sort_unstable();
        labels.dedup();
        let resource = self.places.table(&relation.schema, &relation.name, labels);
        self.ask(action, &resource, &relation.display(), ruling);
    }

    /// A name that the snapshot does not have: PostgreSQL will say so, or it was made since. Either way policy must
    /// permit it in every schema where it could be found.
    fn unknown(&self, access: Access, schemas: &[String], name: &str, ruling: &mut Ruling) {
        let action = action_on(access);
        if schemas.is_empty() {
            return self.ask(action, &self.places.database(), name, ruling);
        }
        for schema in schemas {
            let resource = self.places.table(schema, name, Vec::new());
            self.ask(action, &resource, &format!("{schema}.{name}"), ruling);
        }
    }

    /// What was permitted when the session began must still be: policy may depend on the time or the statement.
    fn labelled_columns(&self, analysis: &Analysis, ruling: &mut Ruling) {
        for oid in self.masks.tables() {
            let Some(relation) = self.catalog.relation(oid) else { continue };
            for column in self.masks.of_table(oid).filter(|column| column.configured) {
                let named = relation.column_ref(&column.name);
                if !analysis.named_columns.contains(&named) {
                    continue;
                }
                let action = match column.clearance {
                    Clearance::Clear => Action::ColRead,
                    Clearance::Masked(_) => Action::ColReadMasked,
                    Clearance::Hidden(_) => continue,
                };
                let resource = self.places.column(relation, &column.name, column.labels.clone());
                let shown = format!("{}.{}", relation.display(), column.name);
                self.ask(action, &resource, &shown, ruling);
            }
        }
    }

    fn ask(&self, action: Action, resource: &Resource, shown: &str, ruling: &mut Ruling) {
        if self.asked.borrow_mut().insert((action, resource.clone())) {
            ask(self.asker, &self.context, action, resource, shown, ruling);
        }
    }
}

/// Puts one question, and takes the answer into the ruling. Whether it is permitted as a way through.
pub(super) fn ask(
    asker: &Asker,
    context: &AskContext,
    action: Action,
    resource: &Resource,
    shown: &str,
    ruling: &mut Ruling,
) -> bool {
    let answer = asker.ask(action, resource, context);
    ruling.actions.insert(action.as_str());
    ruling.resources.insert(resource.to_string());
    if answer.allowed {
        ruling.permits.extend(answer.policy_ids);
        let is_interactive = answer.obligations.iter().any(|it| it.kind == "interactive");
        for obligation in answer.obligations {
            oblige(obligation, context, action, shown, ruling);
        }
        return is_interactive;
    }
    ruling.forbids.extend(answer.policy_ids.iter().cloned());
    let mut reason = if !answer.errors.is_empty() {
        format!("policy could not be evaluated for {action} on {shown}")
    } else if answer.policy_ids.is_empty() {
        format!("no policy permits {action} on {shown}")
    } else {
        format!("policy {} forbids {action} on {shown}", answer.policy_ids.join(", "))
    };
    for advice in answer.obligations.iter().filter(|obligation| obligation.kind == "advice") {
        reason.push_str("; ");
        reason.push_str(&advice.value);
    }
    ruling.deny(reason);
    false
}

/// Whether the relations that a statement names already ask what a demand asks of the whole database.
fn is_covered(demand: Demand, analysis: &Analysis) -> bool {
    let on_relation = |access| analysis.relations.iter().any(|used| used.access.contains(&access));
    match demand {
        Demand::Select | Demand::CopyIn | Demand::CopyOut => !analysis.relations.is_empty(),
        Demand::Ddl => on_relation(Access::Ddl),
        Demand::Maintenance => on_relation(Access::Maintenance),
        Demand::Set | Demand::Show | Demand::Transaction | Demand::Call | Demand::Notify => false,
    }
}

fn oblige(
    mut obligation: Obligation,
    context: &AskContext,
    action: Action,
    shown: &str,
    ruling: &mut Ruling,
) {
    match obligation.kind.as_str() {
        "row_limit" => match obligation.value.parse::<u64>() {
            Ok(limit) => {
                ruling.row_limit = Some(ruling.row_limit.map_or(limit, |known| known.min(limit)))
            }
            Err(_) => ruling.deny(format!("policy demands a row limit that is none for {shown}")),
        },
        "record" => match recording(&obligation.value) {
            Some(wanted) => {
                ruling.recording =
                    Some(ruling.recording.map_or(wanted, |known| fullest(known, wanted)))
            }
            None => ruling.deny(format!("policy demands a recording that is none for {shown}")),
        },
        "require_approval" => match ApprovalDemand::parse(&obligation.value) {
            Ok(demand) => ruling.pause(&demand, format!("{action} on {shown} needs {demand}")),
            Err(_) => ruling.deny(format!("policy demands an approval that is none for {shown}")),
        },
        "require_grant" => match GrantDemand::parse(&obligation.value) {
            Ok(demand) => {
                let what = format!("{action} on {shown}");
                ruling.needs_grant(demand, context.grant.as_deref(), &what);
            }
            Err(_) => ruling.deny(format!("policy demands a grant that is none for {shown}")),
        },
        "mask" | "advice" | "interactive" => {}
        // A demand that cannot be met is no permit.
        other => ruling.deny(format!("policy demands {other} for {shown}, which is not available")),
    }
    if obligation.on.is_none() {
        obligation.on = Some(shown.to_owned());
    }
    if !ruling.obligations.contains(&obligation) {
        ruling.obligations.push(obligation);
    }
}

fn recording(value: &str) -> Option<Recording> {
    match value {
        "full" => Some(Recording::Full),
        "digest" => Some(Recording::Digest),
        _ => value.strip_prefix("head:")?.parse().ok().map(Recording::Head),
    }
}

const fn fullest(one: Recording, other: Recording) -> Recording {
    match (one, other) {
        (Recording::Full, _) | (_, Recording::Full) => Recording::Full,
        (Recording::Head(a), Recording::Head(b)) => Recording::Head(if a > b { a } else { b }),
        (Recording::Head(rows), Recording::Digest) | (Recording::Digest, Recording::Head(rows)) => {
            Recording::Head(rows)
        }
        (Recording::Digest, Recording::Digest) => Recording::Digest,
    }
}

const fn action_on(access: Access) -> Action {
    match access {
        Access::Select => Action::Select,
        Access::Insert => Action::Insert,
        Access::Update => Action::Update,
        Access::Delete => Action::Delete,
        Access::Merge => Action::Merge,
        Access::CopyIn => Action::CopyIn,
        Access::CopyOut => Action::CopyOut,
        Access::Truncate => Action::Truncate,
        Access::Ddl => Action::Ddl,
        Access::Lock => Action::Lock,
        Access::Maintenance => Action::Maintenance,
    }
}

const fn action_of(demand: Demand) -> Action {
    match demand {
        Demand::Select => Action::Select,
        Demand::CopyIn => Action::CopyIn,
        Demand::CopyOut => Action::CopyOut,
        Demand::Ddl => Action::Ddl,
        Demand::Set => Action::Set,
        Demand::Show => Action::Show,
        Demand::Transaction => Action::Transaction,
        Demand::Call => Action::Call,
        Demand::Maintenance => Action::Maintenance,
        Demand::Notify => Action::Notify,
    }
}
