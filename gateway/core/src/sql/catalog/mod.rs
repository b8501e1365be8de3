//! One database as it was at one moment: what names mean in it, and what runs code of its own.
//!
//! The IO side runs [`QUERIES`] on the target and hands the rows over; nothing here connects to anything. A snapshot
//! goes stale: under masks a name that it does not know is refused, and a result's origin is checked on the wire.

mod queries;
mod relation;
mod rows;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tallyport_schemas::ColumnRef;

pub use queries::{CatalogQuery, QUERIES};
pub use rows::{CatalogError, CatalogRows};

pub(crate) use relation::{Column, Relation, RelationKind, ViewFacts};

use crate::sql::builtins;

/// The schema that PostgreSQL searches first, whatever the path says.
pub(crate) const SYSTEM_SCHEMA: &str = "pg_catalog";
/// The SQL standard's views of the catalog.
pub(crate) const STANDARD_SCHEMA: &str = "information_schema";

/// An immutable snapshot of one database.
#[derive(Debug)]
pub struct Catalog {
    version: String,
    database: String,
    user: String,
    search_path: Vec<String>,
    definition_path: Vec<String>,
    schemas: BTreeSet<String>,
    relations: BTreeMap<u32, Relation>,
    by_name: HashMap<String, Vec<u32>>,
    functions: HashMap<String, Vec<Routine>>,
    operators: HashMap<String, Vec<Routine>>,
    types: BTreeMap<String, Vec<UserType>>,
    code_on_read: BTreeSet<u32>,
}

/// A function, or the function behind an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Routine {
    /// Its schema.
    pub(crate) schema: String,
    /// Whether it is known to compute from its arguments alone.
    pub(crate) safe: bool,
}

/// A type outside `pg_catalog`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserType {
    /// Its schema.
    pub(crate) schema: String,
    /// Whether a value of it can be made without code of a user: enumerations, types of known extensions, domains
    /// without a check.
    pub(crate) safe: bool,
}

impl Catalog {
    /// The snapshot that these rows tell.
    ///
    /// # Errors
    /// When a query's rows are missing or not of its shape.
    pub fn from_rows(rows: CatalogRows) -> Result<Self, CatalogError> {
        rows::decode(&rows)
    }

    /// SHA-256 over all rows, lower-case hexadecimal: equal snapshots have equal versions.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The role as which the rows were read.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The `search_path` of the connection that read the rows, as schema names; `$user` is the role's name.
    #[must_use]
    pub fn search_path(&self) -> &[String] {
        &self.search_path
    }

    /// The same as a setting that a connection may begin with.
    #[must_use]
    pub fn search_path_setting(&self) -> String {
        let quoted = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
        self.search_path.iter().map(quoted).collect::<Vec<_>>().join(", ")
    }

    /// Whether a relation has this oid.
    #[must_use]
    pub fn knows_relation(&self, oid: u32) -> bool {
        self.relations.contains_key(&oid)
    }

    /// The column that a RowDescription names by table oid and attribute number.
    #[must_use]
    pub fn column(&self, table_oid: u32, attnum: i16) -> Option<ColumnRef> {
        let relation = self.relations.get(&table_oid)?;
        let column = relation.columns.iter().find(|column| column.attnum == attnum)?;
        Some(relation.column_ref(&column.name))
    }

    pub(crate) fn definition_path(&self) -> &[String] {
        &self.definition_path
    }

    pub(crate) fn relation(&self, oid: u32) -> Option<&Relation> {
        self.relations.get(&oid)
    }

    pub(crate) fn has_schema(&self, name: &str) -> bool {
        self.schemas.contains(name)
    }

    /// The schemas that are not the server's own; sorted.
    pub(crate) fn user_schemas(&self) -> impl Iterator<Item = &str> {
        self.schemas
            .iter()
            .map(String::as_str)
            .filter(|name| *name != SYSTEM_SCHEMA && *name != STANDARD_SCHEMA)
    }

    /// All relations of that name, in whatever schema.
    pub(crate) fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.values()
    }

    pub(crate) fn named(&self, name: &str) -> impl Iterator<Item = &Relation> {
        self.by_name.get(name).into_iter().flatten().filter_map(|oid| self.relations.get(oid))
    }

    /// All functions of that name, in whatever schema.
    pub(crate) fn functions_named(&self, name: &str) -> &[Routine] {
        self.functions.get(name).map_or(&[], Vec::as_slice)
    }

    /// All operators of that name outside `pg_catalog`.
    pub(crate) fn operators_named(&self, name: &str) -> &[Routine] {
        self.operators.get(name).map_or(&[], Vec::as_slice)
    }

    /// All types of that name outside `pg_catalog`.
    pub(crate) fn types_named(&self, name: &str) -> &[UserType] {
        self.types.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether values of this type may be made of others, or turned into others, by code of a user.
    pub(crate) fn runs_code_on_read(&self, type_oid: u32) -> bool {
        self.code_on_read.contains(&type_oid)
    }

    /// The relations whose rows come with those of `oid` or the other way round: partitions, inheritance, in whatever
    /// distance. Without `oid` itself.
    pub(crate) fn relatives(&self, oid: u32) -> BTreeSet<u32> {
        let mut seen = BTreeSet::from([oid]);
        let mut todo = vec![oid];
        while let Some(next) = todo.pop() {
            let Some(relation) = self.relations.get(&next) else { continue };
            for relative in relation.parents.iter().chain(&relation.children) {
                if seen.insert(*relative) {
                    todo.push(*relative);
                }
            }
        }
        seen.remove(&oid);
        seen
    }

    /// Columns of other tables whose rows the removal of rows of this one, or a change of its keys, may touch or trip over, by way of
    /// other tables too: (table, attribute number).
    pub(crate) fn referrers(&self, oid: u32) -> BTreeSet<(u32, i16)> {
        let mut found = BTreeSet::new();
        let mut todo = vec![oid];
        while let Some(next) = todo.pop() {
            let Some(relation) = self.relations.get(&next) else { continue };
            for referrer in &relation.referrers {
                if found.insert(*referrer) {
                    todo.push(referrer.0);
                }
            }
        }
        found
    }

    /// About how many rows a table has, those of its partitions and children too; None where the statistics do not tell.
    pub(crate) fn estimated_rows(&self, oid: u32) -> Option<u64> {
        let mut total = 0_u64;
        let mut seen = BTreeSet::from([oid]);
        let mut todo = vec![oid];
        while let Some(next) = todo.pop() {
            let relation = self.relations.get(&next)?;
            // A partitioned table has no rows of its own.
            let own = if relation.children.is_empty() {
                relation.rows?
            } else {
                relation.rows.unwrap_or(0)
            };
            total = total.saturating_add(own);
            todo.extend(relation.children.iter().filter(|child| seen.insert(**child)));
        }
        Some(total)
    }

    /// What a view reaches, through other views and in whatever depth; None for what is no view.
    pub(crate) fn view_facts(&self, oid: u32) -> Option<&ViewFacts> {
        let relation = self.relations.get(&oid)?;
        relation.view_facts(self)
    }
}

/// Whether a routine is known to compute from its arguments alone: C code of an extension that is known to do only that.
fn routine_is_safe(language: &str, volatility: &str, extension: &str) -> bool {
    let compiled = matches!(language, "c" | "internal");
    compiled && volatility == "i" && builtins::extension_is_pure(extension)
}
