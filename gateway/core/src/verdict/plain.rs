//! The rules that hold while columns are masked: a masked column is selected as it is, or not at all.
//!
//! The rules know shapes that are safe and refuse the rest. A reason names the column and the clause, never a value.

use std::collections::{BTreeMap, BTreeSet};

use crate::masking::{Clearance, LabelledColumn, MaskSet, StoredOrder};
use crate::sql::analysis::{
    Access, Analysis, Clause, ColumnUse, Demand, Output, RelationUse, SYSTEM_COLUMNS,
};
use crate::sql::catalog::{Catalog, Relation, RelationKind};

use super::{expected, system};

pub(super) struct Rules<'a> {
    /// Whether results may come in the order in which rows are stored.
    pub(super) stored_order: StoredOrder,
    pub(super) masks: &'a MaskSet,
    pub(super) catalog: &'a Catalog,
}

/// The masked relations of one statement, as names in it see them.
pub(super) struct Masked<'a> {
    /// By the name under which it is referred to: the relation and its columns that are not clear.
    by_reference: BTreeMap<&'a str, Vec<(&'a Relation, Vec<&'a LabelledColumn>)>>,
    /// Queries with a masked relation directly in FROM.
    pub(super) queries: BTreeSet<usize>,
    /// Masked relations that stand anywhere but directly in FROM of a query.
    pub(super) elsewhere: Vec<&'a Relation>,
}

impl<'a> Rules<'a> {
    /// Why a statement may not pass; nothing when it may.
    pub(super) fn broken_by(&self, analysis: &'a Analysis, text: &str) -> Vec<String> {
        let mut broken = Vec::new();
        self.kinds(analysis, text, &mut broken);
        for used in &analysis.relations {
            self.relation(analysis, used, &mut broken);
        }
        expected::broken_by(analysis, self.masks, self.catalog, &mut broken);
        let masked = self.masked(analysis);
        if !masked.by_reference.is_empty() {
            for column in &analysis.columns {
                masked.column(analysis, column, &mut broken);
            }
            masked.tops(analysis, &mut broken);
            if self.stored_order == StoredOrder::Hide {
                masked.stored_order(analysis, &mut broken);
            }
        }
        broken
    }

    fn kinds(&self, analysis: &Analysis, text: &str, broken: &mut Vec<String>) {
        let demands = |demand| analysis.demands.contains(&demand);
        if demands(Demand::Ddl)
            || analysis.relations.iter().any(|used| used.access.contains(&Access::Ddl))
        {
            broken.push(while_masked("data definition"));
        }
        if demands(Demand::Call) {
            broken.push(while_masked("running code in the server"));
        }
        if demands(Demand::Maintenance) && analysis.relations.is_empty() {
            broken.push(while_masked("maintenance of the whole database"));
        }
        // UNLISTEN ends something; the others tell of, or carry, what other sessions do.
        if demands(Demand::Notify) && analysis.node_kind != "UnlistenStmt" {
            broken.push(while_masked("LISTEN and NOTIFY"));
        }
        for change in &analysis.changes {
            broken.extend(change.forbidden_under_masks().map(|what| while_masked(&what)));
        }
        for why in &analysis.opaque {
            broken.push(format!(
                "the statement {why}: this is not possible while columns are masked for you"
            ));
        }
        if !analysis.unknown_bodies.is_empty() {
            broken.push(while_masked(
                "running what was prepared or opened out of the gateway's sight",
            ));
        }
        if analysis.misread && !text.is_ascii() {
            broken.push(while_masked(
                "a statement with characters beyond ASCII under a client_encoding other than UTF8",
            ));
        }
    }

    fn relation(&self, analysis: &Analysis, used: &RelationUse, broken: &mut Vec<String>) {
        if used.resolved.unknown || used.resolved.oids.is_empty() {
            broken.push(format!(
                "relation {} is not known here, or not for certain: only known relations may be named while columns are masked for you",
                used.written
            ));
        }
        for oid in &used.resolved.oids {
            let Some(relation) = self.catalog.relation(*oid) else { continue };
            self.readable(relation, broken);
            if self.masks.is_masked_table(*oid) {
                self.masked_relation(analysis, used, relation, broken);
            } else if used.access.iter().any(|access| access.is_write()) {
                self.writable(relation, broken);
                if used.access.iter().any(|access| access.may_remove()) {
                    self.removable(relation, broken);
                }
            }
        }
    }

    fn readable(&self, relation: &Relation, broken: &mut Vec<String>) {
        let name = relation.display();
        if relation.is_system() && !system::is_readable(relation) {
            broken.push(while_masked(&format!("reading {name}")));
        }
        if relation.row_security {
            broken.push(while_masked(&format!("using {name}, which has row security,")));
        }
        if relation.kind == RelationKind::Foreign {
            broken.push(while_masked(&format!("using {name}, which lies on another server,")));
        }
        if relation.columns.iter().any(|column| self.catalog.runs_code_on_read(column.type_oid)) {
            broken.push(while_masked(&format!("using {name}, whose values may run code,")));
        }
        let Some(facts) = self.catalog.view_facts(relation.oid) else { return };
        for reached in facts.reaches.iter().filter_map(|oid| self.catalog.relation(*oid)) {
            if self.masks.is_masked_table(reached.oid) && !reached.is_system() {
                broken.push(format!("view {name} reads {}, which has columns that are masked for you: select from that table", reached.display()));
            }
            if reached.is_system() && !system::is_readable(reached) {
                broken.push(while_masked(&format!(
                    "view {name}, which reads {},",
                    reached.display()
                )));
            }
        }
    }

    fn masked_relation(
        &self,
        analysis: &Analysis,
        used: &RelationUse,
        relation: &Relation,
        broken: &mut Vec<String>,
    ) {
        let name = relation.display();
        // COPY of a query selects; the query's own columns are looked at one by one.
        let by_query =
            used.access.contains(&Access::Select) && used.access.contains(&Access::CopyOut);
        let other = |access: &&Access| {
            !(**access == Access::Select || by_query && **access == Access::CopyOut)
        };
        if let Some(access) = used.access.iter().find(other) {
            let what = match access {
                Access::CopyIn | Access::CopyOut => "copied",
                Access::Lock => "locked",
                Access::Ddl => "altered",
                Access::Maintenance => "maintained",
                _ => "changed",
            };
            broken.push(format!("table {name} has columns that are masked for you: it may be selected from, not {what}"));
        }
        if analysis.explains {
            broken.push(format!("table {name} has columns that are masked for you: statements on it may not be explained"));
        }
        if let Some(disguise) = used.disguise {
            broken.push(format!(
                "table {name} has columns that are masked for you: it may not be used {disguise}"
            ));
        }
    }

    fn masked(&self, analysis: &'a Analysis) -> Masked<'a> {
        let mut by_reference: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        let mut queries = BTreeSet::new();
        let mut elsewhere = Vec::new();
        for (place, used) in analysis.relations.iter().enumerate() {
            for oid in used.resolved.oids.iter().filter(|oid| self.masks.is_masked_table(**oid)) {
                let Some(relation) = self.catalog.relation(*oid) else { continue };
                for reference in &used.references {
                    let columns =
                        self.masks.of_table(*oid).filter(|column| !column.is_clear()).collect();
                    by_reference.entry(reference).or_default().push((relation, columns));
                }
                let directly =
                    analysis.sources.iter().filter(|(_, places)| places.contains(&place));
                let directly: Vec<usize> = directly.map(|(query, _)| *query).collect();
                if directly.is_empty() {
                    elsewhere.push(relation);
                }
                queries.extend(directly);
            }
        }
        Masked { by_reference, queries, elsewhere }
    }
}

impl Masked<'_> {
    fn all(&self) -> impl Iterator<Item = &(&Relation, Vec<&LabelledColumn>)> {
        self.by_reference.values().flatten()
    }

    /// The masked columns that a name may mean: with its qualifier, or from any masked relation of the statement.
    pub(super) fn meant(
        &self,
        qualifier: Option<&str>,
        name: &str,
    ) -> Option<(&Relation, &LabelledColumn)> {
        let candidates: Vec<&(&Relation, Vec<&LabelledColumn>)> = match qualifier {
            Some(qualifier) => self.by_reference.get(qualifier).into_iter().flatten().collect(),
            None => self.all().collect(),
        };
        candidates.into_iter().find_map(|(relation, columns)| {
            columns.iter().find(|column| column.name == name).map(|column| (*relation, *column))
        })
    }

    fn column(&self, analysis: &Analysis, used: &ColumnUse, broken: &mut Vec<String>) {
        let qualifier = used.qualifier.as_deref();
        let projected = used.clause == Clause::Projection;
        let Some(name) = used.name.as_deref() else {
            return self.star(used, qualifier, projected, broken);
        };
        if let Some((relation, column)) = self.meant(qualifier, name) {
            if matches!(column.clearance, Clearance::Hidden(_)) {
                broken.push(hidden(relation, column));
            } else if !projected {
                broken.push(misused(relation, column, used.clause.words()));
            }
            return;
        }
        if let Some((relation, _)) =
            self.by_reference.get(name).and_then(|relations| relations.first())
        {
            broken.push(format!("{name} stands for a whole row of {}, which has columns that are masked for you: name the columns", relation.display()));
            return;
        }
        let known = match qualifier {
            _ if used.of_derived => true,
            // A name behind a masked relation must be one of its columns: else it is a function's, or made since.
            Some(qualifier) => self.by_reference.get(qualifier).is_none_or(|relations| {
                relations.iter().all(|(relation, _)| relation.column(name).is_some())
            }),
            None => analysis.known_names.contains(name),
        };
        if !known && !SYSTEM_COLUMNS.contains(&name) {
            broken.push(format!("{name} is not known to be a column beside the masked ones of this statement: name it with its table or alias"));
        }
    }

    fn star(
        &self,
        used: &ColumnUse,
        qualifier: Option<&str>,
        projected: bool,
        broken: &mut Vec<String>,
    ) {
        let relations: Vec<_> = match qualifier {
            Some(qualifier) => self.by_reference.get(qualifier).into_iter().flatten().collect(),
            None if self.queries.contains(&used.query) => self.all().collect(),
            None => Vec::new(),
        };
        for (relation, columns) in relations {
            for column in columns {
                if matches!(column.clearance, Clearance::Hidden(_)) {
                    broken.push(hidden(relation, column));
                } else if !projected {
                    broken.push(misused(
                        relation,
                        column,
                        &format!("a star in {}", used.clause.words()),
                    ));
                }
            }
        }
    }

    /// What an outermost query does with its results by name or place.
    fn tops(&self, analysis: &Analysis, broken: &mut Vec<String>) {
        for top in &analysis.tops {
            let mut names = BTreeSet::new();
            let mut first_star = None;
            let mut masked_places = Vec::new();
            for (place, output) in top.outputs.iter().enumerate() {
                let Output::Plain { column, name } = output else { continue };
                let Some(used) = analysis.columns.get(*column) else { continue };
                match used.name.as_deref() {
                    None => first_star = first_star.or(Some(place)),
                    Some(column) if self.meant(used.qualifier.as_deref(), column).is_some() => {
                        masked_places.push(place);
                        names.insert(name.as_deref().unwrap_or(column));
                    }
                    Some(_) => {}
                }
            }
            let starred = first_star.is_some() && self.star_is_masked(analysis, top);
            if masked_places.is_empty() && !starred {
                continue;
            }
            if top.distinct {
                broken.push(top_rule("SELECT DISTINCT"));
            }
            if top.grouped {
                broken.push(top_rule("GROUP BY or HAVING"));
            }
            let refers = |position: &i64| {
                let Ok(place) = usize::try_from(*position - 1) else { return true };
                masked_places.contains(&place)
                    || (starred && first_star.is_some_and(|star| place >= star))
            };
            if top.positions.iter().any(refers) {
                broken.push(top_rule("ORDER BY or GROUP BY a result's number"));
            }
            for used in &analysis.columns {
                let by_name = used.qualifier.is_none() && used.clause != Clause::Projection;
                if by_name && used.name.as_deref().is_some_and(|name| names.contains(name)) {
                    broken.push(format!(
                        "a result called {} is a masked column: it may not be used again in {}",
                        used.name.as_deref().unwrap_or_default(),
                        used.clause.words()
                    ));
                }
            }
        }
    }

    fn star_is_masked(&self, analysis: &Analysis, top: &crate::sql::analysis::TopQuery) -> bool {
        top.outputs.iter().any(|output| {
            let Output::Plain { column, .. } = output else { return false };
            let Some(used) = analysis.columns.get(*column).filter(|used| used.name.is_none())
            else {
                return false;
            };
            match used.qualifier.as_deref() {
                Some(qualifier) => self.by_reference.contains_key(qualifier),
                None => self.queries.contains(&used.query),
            }
        })
    }
}

pub(super) fn while_masked(what: &str) -> String {
    format!("{what} is not possible while columns are masked for you")
}

fn top_rule(what: &str) -> String {
    format!("{what} is not possible in a query that selects a masked column")
}

fn misused(relation: &Relation, column: &LabelledColumn, place: &str) -> String {
    format!(
        "column {}.{} is masked for you (label {}): it may only be selected as it is, not used in {place}",
        relation.display(),
        column.name,
        column.labels.join(", ")
    )
}

fn hidden(relation: &Relation, column: &LabelledColumn) -> String {
    format!(
        "column {}.{} (label {}) may not be read by you, masked or not: name the other columns",
        relation.display(),
        column.name,
        column.labels.join(", ")
    )
}
