//! A relation of the snapshot, and what a view reaches.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use tallyport_schemas::{ColumnRef, ObjectRef};

use super::{Catalog, STANDARD_SCHEMA, SYSTEM_SCHEMA};
use crate::sql::analysis;

/// What kind of relation it is (`pg_class.relkind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RelationKind {
    /// A table, partitioned or not.
    Table,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A table of another server.
    Foreign,
    /// A sequence.
    Sequence,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// `pg_attribute.attnum`.
    pub(crate) attnum: i16,
    /// Its name.
    pub(crate) name: String,
    /// Its type's oid.
    pub(crate) type_oid: u32,
}

/// A relation.
#[derive(Debug)]
pub(crate) struct Relation {
    pub(crate) oid: u32,
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) kind: RelationKind,
    pub(crate) row_security: bool,
    pub(crate) has_rules: bool,
    pub(crate) has_triggers: bool,
    pub(crate) columns: Vec<Column>,
    pub(crate) parents: Vec<u32>,
    pub(crate) children: Vec<u32>,
    /// Expressions that a write evaluates, as SQL text.
    pub(crate) expressions: Vec<String>,
    /// Columns of other tables that its rows must match: (table, attribute number).
    pub(crate) references: Vec<(u32, i16)>,
    /// Columns of other tables that must match its rows: (table, attribute number).
    pub(crate) referrers: Vec<(u32, i16)>,
    /// Attribute numbers of its whole unique keys: indexes over all its rows, without expressions.
    pub(crate) keys: Vec<Vec<i16>>,
    /// How many rows it has of its own, by the server's statistics.
    pub(crate) rows: Option<u64>,
    /// Where values of its columns come from: (own attribute number, table, attribute number there).
    pub(crate) derived: Vec<(i16, u32, i16)>,
    /// The text of a view.
    pub(crate) definition: Option<String>,
    /// Relations that `pg_depend` says a view uses.
    pub(crate) uses: Vec<u32>,
    pub(super) facts: OnceLock<ViewFacts>,
    pub(super) write_code: OnceLock<Option<String>>,
}

/// What a view reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ViewFacts {
    /// All relations it reaches, views between included.
    pub(crate) reaches: BTreeSet<u32>,
    /// Why its effect cannot be told, when it cannot.
    pub(crate) opaque: Option<String>,
    /// Whether reading it has an effect, such as taking from a sequence.
    pub(crate) has_effect: bool,
}

/// Views over views deeper than this are not followed; what is beyond is opaque.
const MAX_VIEW_DEPTH: usize = 64;

impl Relation {
    /// Whether it is one of the server's own.
    pub(crate) fn is_system(&self) -> bool {
        self.schema == SYSTEM_SCHEMA || self.schema == STANDARD_SCHEMA
    }

    /// Whether rows come from a stored query.
    pub(crate) const fn is_view(&self) -> bool {
        matches!(self.kind, RelationKind::View | RelationKind::MaterializedView)
    }

    /// The column of that name.
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Its name for events.
    pub(crate) fn object_ref(&self) -> ObjectRef {
        ObjectRef { schema: Some(self.schema.clone()), name: self.name.clone() }
    }

    /// The name of one of its columns for events.
    pub(crate) fn column_ref(&self, column: &str) -> ColumnRef {
        ColumnRef {
            schema: Some(self.schema.clone()),
            table: self.name.clone(),
            column: column.to_owned(),
        }
    }

    /// `schema.name`, for people.
    pub(crate) fn display(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// The function outside the known ones that a write to it would run, by default, check or index.
    pub(crate) fn code_on_write(&self, catalog: &Catalog) -> Option<&str> {
        self.write_code
            .get_or_init(|| {
                self.expressions.iter().find_map(|text| analysis::code_in_expression(text, catalog))
            })
            .as_deref()
    }

    pub(super) fn view_facts(&self, catalog: &Catalog) -> Option<&ViewFacts> {
        if !self.is_view() || self.is_system() {
            return None;
        }
        Some(self.facts.get_or_init(|| gather(self, catalog)))
    }
}

/// Follows a view through everything it uses, by name in its text and by oid in `pg_depend`: the text misses what a
/// star stood for at creation, `pg_depend` misses the server's own relations and functions.
fn gather(view: &Relation, catalog: &Catalog) -> ViewFacts {
    let mut facts = ViewFacts::default();
    let mut todo = vec![(view.oid, 0_usize)];
    let mut seen = BTreeSet::from([view.oid]);
    while let Some((oid, depth)) = todo.pop() {
        let Some(relation) = catalog.relation(oid) else { continue };
        if relation.row_security || relation.kind == RelationKind::Foreign {
            facts.opaque.get_or_insert_with(|| {
                format!("{} has row security or lies on another server", relation.display())
            });
        }
        if !relation.is_view() || relation.is_system() {
            continue;
        }
        if depth >= MAX_VIEW_DEPTH {
            facts.opaque.get_or_insert_with(|| "views are nested too deep".to_owned());
            continue;
        }
        let text = analysis::view_text(relation.definition.as_deref(), catalog);
        facts.has_effect |= text.has_effect;
        if let Some(why) = text.opaque {
            facts.opaque.get_or_insert_with(|| format!("view {} {why}", relation.display()));
        }
        for used in text.relations.iter().chain(&relation.uses) {
            facts.reaches.insert(*used);
            if seen.insert(*used) {
                todo.push((*used, depth + 1));
            }
        }
    }
    facts
}
