//! What one statement touches and how, over a catalog and a session, without asking whether it may.

mod code;
mod columns;
mod dml;
mod from;
mod keys;
mod scope;
mod select;
mod statements;
mod text;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use tallyport_schemas::{ColumnRef, StatementKind};

pub(crate) use columns::SYSTEM_COLUMNS;
pub(crate) use text::{code_in_expression, view_text};

use super::catalog::{Catalog, Relation};
use super::names::Resolved;
use super::session::SessionState;
use super::settings::Change;
use super::tree::Node;

/// What is done to a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Access {
    Select,
    Insert,
    Update,
    Delete,
    Merge,
    CopyIn,
    CopyOut,
    Truncate,
    Ddl,
    Lock,
    Maintenance,
}

impl Access {
    /// Whether it changes rows.
    const fn is_of_rows(self) -> bool {
        self.is_write() && !matches!(self, Self::Ddl | Self::Maintenance)
    }

    /// Whether it may remove rows, or change what others refer to them by.
    pub(crate) const fn may_remove(self) -> bool {
        matches!(self, Self::Update | Self::Delete | Self::Merge | Self::Truncate | Self::Ddl)
    }

    /// Whether it changes the relation or its rows.
    pub(crate) const fn is_write(self) -> bool {
        !matches!(self, Self::Select | Self::CopyOut | Self::Lock)
    }
}

/// Where in a statement something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Clause {
    /// A plain column or star in the outermost list of results: the one place where a masked column may stand.
    Projection,
    /// Inside an expression of a list of results.
    Expression,
    Where,
    On,
    Using,
    GroupBy,
    Having,
    Window,
    OrderBy,
    Distinct,
    Limit,
    From,
    Subquery,
    With,
    SetOperation,
    Values,
    Assignment,
    Returning,
    Copy,
    Utility,
}

impl Clause {
    /// What people call it.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Projection => "the list of results",
            Self::Expression => "an expression",
            Self::Where => "WHERE",
            Self::On => "ON",
            Self::Using => "USING",
            Self::GroupBy => "GROUP BY",
            Self::Having => "HAVING",
            Self::Window => "WINDOW",
            Self::OrderBy => "ORDER BY",
            Self::Distinct => "DISTINCT",
            Self::Limit => "LIMIT or OFFSET",
            Self::From => "FROM",
            Self::Subquery => "a subquery",
            Self::With => "WITH",
            Self::SetOperation => "UNION, INTERSECT or EXCEPT",
            Self::Values => "VALUES",
            Self::Assignment => "an assignment",
            Self::Returning => "RETURNING",
            Self::Copy => "COPY",
            Self::Utility => "this statement",
        }
    }
}

/// One place where a relation is named.
#[derive(Clone, Debug)]
pub(crate) struct RelationUse {
    /// The name as written, for people.
    pub(crate) written: String,
    /// The name without its schema.
    pub(crate) name: String,
    /// What it may mean.
    pub(crate) resolved: Resolved,
    /// What is done to it.
    pub(crate) access: BTreeSet<Access>,
    /// How columns and rows of it may be referred to: its alias and its name.
    pub(crate) references: Vec<String>,
    /// What about the way it is named hides which column is which, if anything.
    pub(crate) disguise: Option<&'static str>,
}

/// One place where a column, a star, or a row is named.
#[derive(Clone, Debug)]
pub(crate) struct ColumnUse {
    /// What stands before the last dot: an alias or a relation's name.
    pub(crate) qualifier: Option<String>,
    /// The name; None for a star.
    pub(crate) name: Option<String>,
    /// Where it stands.
    pub(crate) clause: Clause,
    /// The query it stands in, so that a star is told from that of another.
    pub(crate) query: usize,
    /// Whether the qualifier names something that a query or function makes, which carries no masked column.
    pub(crate) of_derived: bool,
}

/// One result of an outermost list.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// Place of the column or star in [`Analysis::columns`], and the name it is given.
    Plain { column: usize, name: Option<String> },
    /// `count`, `min` or `max`, which do not depend on the order of rows.
    Aggregate,
    /// Anything else.
    Expression,
}

/// One item of an outermost ORDER BY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SortKey {
    /// A result by its number, from 1.
    Position(i64),
    /// A column, or a result by its name.
    Column { qualifier: Option<String>, name: String },
    /// Anything else.
    Expression,
}

/// What an outermost query does with its results by their place or name.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopQuery {
    pub(crate) outputs: Vec<Output>,
    /// Results referred to by number, from 1.
    pub(crate) positions: Vec<i64>,
    pub(crate) distinct: bool,
    pub(crate) grouped: bool,
    /// Its number in [`Analysis::sources`].
    pub(crate) query: usize,
    pub(crate) sorted: Vec<SortKey>,
}

/// A call whose effect cannot be seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OpaqueCall {
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
}

/// Rows of a table that a statement changes or removes.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    /// What the table's name may mean.
    pub(crate) oids: Vec<u32>,
    /// Certainly not more than one row.
    pub(crate) one_row: bool,
}

/// What policy is asked of a statement beside its relations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Demand {
    Select,
    CopyIn,
    CopyOut,
    Ddl,
    Set,
    Show,
    Transaction,
    Call,
    Maintenance,
    Notify,
}

/// What one statement touches and how.
#[derive(Clone, Debug)]
pub(crate) struct Analysis {
    pub(crate) kind: StatementKind,
    pub(crate) relations: Vec<RelationUse>,
    pub(crate) columns: Vec<ColumnUse>,
    pub(crate) tops: Vec<TopQuery>,
    /// The columns it names, as far as they resolve.
    pub(crate) named_columns: BTreeSet<ColumnRef>,
    /// The functions it calls.
    pub(crate) functions: BTreeSet<String>,
    /// The calls among them that nobody can see through.
    pub(crate) opaque_calls: BTreeSet<OpaqueCall>,
    /// Why its effect cannot be told, once per reason.
    pub(crate) opaque: BTreeSet<String>,
    /// Whether it may change something that is stored.
    pub(crate) has_effect: bool,
    /// Rows locked by `FOR UPDATE` and its like.
    pub(crate) locks_rows: bool,
    /// `EXPLAIN`, with or without `ANALYZE`.
    pub(crate) explains: bool,
    /// `UPDATE` and `DELETE` without WHERE.
    pub(crate) lacks_where: bool,
    pub(crate) has_where: bool,
    /// `UPDATE` and `DELETE` that do not name one row by a whole key.
    pub(crate) lacks_key: bool,
    pub(crate) has_key: bool,
    /// What `UPDATE`, `DELETE` and `TRUNCATE` change.
    pub(crate) changed: Vec<Changed>,
    pub(crate) changes: Vec<Change>,
    pub(crate) demands: BTreeSet<Demand>,
    /// Names that something in the statement defines or brings along.
    pub(crate) known_names: BTreeSet<String>,
    /// Names of prepared statements or cursors whose body is not known.
    pub(crate) unknown_bodies: BTreeSet<String>,
    /// Queries (numbers) and the relation uses that lie directly in their FROM.
    pub(crate) sources: BTreeMap<usize, Vec<usize>>,
    /// The path may mean anything, or the text may not be UTF-8: then names are not what they seem.
    pub(crate) misread: bool,
    /// Kind of the statement's node, for rules about kinds.
    pub(crate) node_kind: &'static str,
}

impl Analysis {
    /// A relation of the system itself whose rows it writes.
    pub(crate) fn writes_to_system(&self, catalog: &Catalog) -> Option<String> {
        let writes =
            self.relations.iter().filter(|used| used.access.iter().any(|it| it.is_of_rows()));
        let written = writes.flat_map(|used| &used.resolved.oids);
        let mut written = written.filter_map(|oid| catalog.relation(*oid));
        written.find(|relation| relation.is_system()).map(Relation::display)
    }
}

/// Analyses one statement of a session.
pub(crate) fn analyse(statement: &Node, catalog: &Catalog, session: &SessionState) -> Analysis {
    let mut walker = walk::Walker::new(catalog, session.paths(), Some(session));
    super::deep(|| walker.outermost(statement));
    walker.finish(statement)
}
