//! From rows in text format to a [`Catalog`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

use super::queries::SIZES_NAME;
use super::{Catalog, Column, QUERIES, Relation, RelationKind, Routine, UserType, routine_is_safe};
use crate::sql::{builtins, settings};

/// The rows of all [`QUERIES`], in text format.
#[derive(Clone, Debug, Default)]
pub struct CatalogRows {
    rows: BTreeMap<&'static str, Vec<Vec<Option<String>>>>,
}

/// The rows do not tell a database.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A query was not run.
    #[error("catalog query `{0}` has no rows handed over; run every query of QUERIES")]
    Missing(&'static str),
    /// Two rows tell of the same.
    #[error("catalog query `{query}` tells of {what} twice; PostgreSQL has each once")]
    Twice {
        /// The query.
        query: &'static str,
        /// A relation or a column.
        what: String,
    },
    /// A row is not of its query's shape.
    #[error("catalog query `{query}` gave a row whose column {column} is not {expected}")]
    Shape {
        /// The query.
        query: &'static str,
        /// The column, from 0.
        column: usize,
        /// What was due.
        expected: &'static str,
    },
}

impl CatalogRows {
    /// Hands over the rows of one query. Rows under another name than a query's are not looked at.
    pub fn insert(&mut self, query: &CatalogQueryName, rows: Vec<Vec<Option<String>>>) {
        self.rows.insert(query.name, rows);
    }

    fn of(&self, name: &'static str) -> Result<impl Iterator<Item = Row<'_>>, CatalogError> {
        let rows = self.rows.get(name).ok_or(CatalogError::Missing(name))?;
        Ok(rows.iter().map(move |values| Row { query: name, values }))
    }
}

use super::CatalogQuery as CatalogQueryName;

/// One row, read by position.
struct Row<'a> {
    query: &'static str,
    values: &'a [Option<String>],
}

impl<'a> Row<'a> {
    fn wrong(&self, column: usize, expected: &'static str) -> CatalogError {
        CatalogError::Shape { query: self.query, column, expected }
    }

    fn some(&self, column: usize) -> Option<&'a str> {
        self.values.get(column).and_then(Option::as_deref)
    }

    fn text(&self, column: usize) -> Result<&'a str, CatalogError> {
        self.some(column).ok_or_else(|| self.wrong(column, "a text"))
    }

    fn oid(&self, column: usize) -> Result<u32, CatalogError> {
        self.text(column)?.parse().map_err(|_| self.wrong(column, "an oid"))
    }

    fn attnum(&self, column: usize) -> Result<i16, CatalogError> {
        self.text(column)?.parse().map_err(|_| self.wrong(column, "an attribute number"))
    }

    fn flag(&self, column: usize) -> Result<bool, CatalogError> {
        match self.text(column)? {
            "t" | "true" => Ok(true),
            "f" | "false" => Ok(false),
            _ => Err(self.wrong(column, "t or f")),
        }
    }

    fn kind(&self, column: usize) -> Result<RelationKind, CatalogError> {
        match self.text(column)? {
            "r" | "p" => Ok(RelationKind::Table),
            "v" => Ok(RelationKind::View),
            "m" => Ok(RelationKind::MaterializedView),
            "f" => Ok(RelationKind::Foreign),
            "S" => Ok(RelationKind::Sequence),
            _ => Err(self.wrong(column, "a relkind that is read")),
        }
    }
}

pub(super) fn decode(rows: &CatalogRows) -> Result<Catalog, CatalogError> {
    let database = rows.of("database")?.next().ok_or(CatalogError::Missing("database"))?;
    let user = database.text(1)?.to_owned();
    let search_path = settings::split_path(database.text(3)?)
        .into_iter()
        .map(|schema| if schema == "$user" { user.clone() } else { schema })
        .collect();
    let relations = relations(rows)?;
    let mut by_name: HashMap<String, Vec<u32>> = HashMap::new();
    for relation in relations.values() {
        by_name.entry(relation.name.clone()).or_default().push(relation.oid);
    }
    let code_on_read = code_on_read(rows)?;
    Ok(Catalog {
        version: version(rows),
        database: database.text(0)?.to_owned(),
        user,
        search_path,
        definition_path: texts(rows, "path", 0)?,
        schemas: texts(rows, "schemas", 1)?,
        relations,
        by_name,
        functions: functions(rows)?,
        operators: operators(rows)?,
        types: types(rows, &code_on_read)?,
        code_on_read,
    })
}

fn version(rows: &CatalogRows) -> String {
    let mut digest = Sha256::new();
    for query in QUERIES {
        digest.update(query.name);
        if query.name == SIZES_NAME {
            sizes_roughly(rows, &mut digest);
            continue;
        }
        for value in rows.rows.get(query.name).into_iter().flatten().flatten() {
            // Lengths keep neighbours apart; NULL is no length that a text has.
            let length = value.as_ref().map_or(u64::MAX, |text| text.len() as u64);
            digest.update(length.to_be_bytes());
            digest.update(value.as_deref().unwrap_or_default());
        }
    }
    hex::encode(digest.finalize())
}

/// To the power of two: a table that grew by a row is the same database.
fn sizes_roughly(rows: &CatalogRows, digest: &mut Sha256) {
    for row in rows.rows.get(SIZES_NAME).into_iter().flatten() {
        let [oid, size, ..] = row.as_slice() else { continue };
        digest.update(oid.as_deref().unwrap_or_default());
        let size = size.as_deref().and_then(|size| size.parse::<u64>().ok());
        digest
            .update([size.map_or(u8::MAX, |size| size.checked_ilog2().map_or(0, |log| log as u8))]);
    }
}

fn texts<C: FromIterator<String>>(
    rows: &CatalogRows,
    query: &'static str,
    column: usize,
) -> Result<C, CatalogError> {
    rows.of(query)?.map(|row| row.text(column).map(str::to_owned)).collect()
}

fn foreign_keys(
    rows: &CatalogRows,
    relations: &mut BTreeMap<u32, Relation>,
) -> Result<(), CatalogError> {
    for row in rows.of("foreign_keys")? {
        let (own, other) = (row.oid(0)?, row.oid(1)?);
        let (reference, referrer) = ((other, row.attnum(2)?), (own, row.attnum(3)?));
        change(relations, own, |relation| relation.references.push(reference));
        change(relations, other, |relation| relation.referrers.push(referrer));
    }
    Ok(())
}

fn relations(rows: &CatalogRows) -> Result<BTreeMap<u32, Relation>, CatalogError> {
    let mut relations = BTreeMap::new();
    for row in rows.of("relations")? {
        let relation = Relation {
            oid: row.oid(0)?,
            schema: row.text(1)?.to_owned(),
            name: row.text(2)?.to_owned(),
            kind: row.kind(3)?,
            row_security: row.flag(4)?,
            has_rules: row.flag(5)?,
            has_triggers: false,
            columns: Vec::new(),
            parents: Vec::new(),
            children: Vec::new(),
            expressions: Vec::new(),
            references: Vec::new(),
            referrers: Vec::new(),
            derived: Vec::new(),
            keys: Vec::new(),
            rows: None,
            definition: None,
            uses: Vec::new(),
            facts: OnceLock::new(),
            write_code: OnceLock::new(),
        };
        relations.insert(relation.oid, relation);
    }
    // Rows about a relation that is not there (made between two queries) are left out: the relation is then unknown.
    for row in rows.of("columns")? {
        let column =
            Column { attnum: row.attnum(1)?, name: row.text(2)?.to_owned(), type_oid: row.oid(3)? };
        change(&mut relations, row.oid(0)?, |relation| relation.columns.push(column));
    }
    each_once(&relations)?;
    for row in rows.of("inherits")? {
        let (child, parent) = (row.oid(0)?, row.oid(1)?);
        change(&mut relations, child, |relation| relation.parents.push(parent));
        change(&mut relations, parent, |relation| relation.children.push(child));
    }
    for row in rows.of("views")? {
        let definition = row.some(1).map(str::to_owned);
        change(&mut relations, row.oid(0)?, |relation| relation.definition = definition);
    }
    for row in rows.of("view_uses")? {
        let used = row.oid(1)?;
        change(&mut relations, row.oid(0)?, |relation| relation.uses.push(used));
    }
    for row in rows.of("triggers")? {
        change(&mut relations, row.oid(0)?, |relation| relation.has_triggers = true);
    }
    for row in rows.of("expressions")? {
        // NULL: the expression went away meanwhile, or may not be seen; then it is not one that is known.
        let text = row.some(1).unwrap_or(UNREADABLE).to_owned();
        change(&mut relations, row.oid(0)?, |relation| relation.expressions.push(text));
    }
    foreign_keys(rows, &mut relations)?;
    for row in rows.of("derived")? {
        let derivation = (row.attnum(1)?, row.oid(2)?, row.attnum(3)?);
        change(&mut relations, row.oid(0)?, |relation| relation.derived.push(derivation));
    }
    for (oid, keys) in keys(rows)? {
        change(&mut relations, oid, |relation| relation.keys = keys);
    }
    for row in rows.of(SIZES_NAME)? {
        let size = row.some(1).and_then(|size| size.parse().ok());
        change(&mut relations, row.oid(0)?, |relation| relation.rows = size);
    }
    Ok(relations)
}

/// Labels go by name and masks by number: where either stands for two, one of them would be missed.
fn each_once(relations: &BTreeMap<u32, Relation>) -> Result<(), CatalogError> {
    let mut names = BTreeSet::new();
    for relation in relations.values() {
        if !names.insert((&relation.schema, &relation.name)) {
            return Err(CatalogError::Twice { query: "relations", what: relation.display() });
        }
        let (mut numbers, mut names) = (BTreeSet::new(), BTreeSet::new());
        for column in &relation.columns {
            if !numbers.insert(column.attnum) || !names.insert(&column.name) {
                let what = format!("column {} of {}", column.name, relation.display());
                return Err(CatalogError::Twice { query: "columns", what });
            }
        }
    }
    Ok(())
}

/// By table, the columns of each of its keys.
fn keys(rows: &CatalogRows) -> Result<BTreeMap<u32, Vec<Vec<i16>>>, CatalogError> {
    let mut indexes: BTreeMap<(u32, u32), Vec<i16>> = BTreeMap::new();
    for row in rows.of("keys")? {
        indexes.entry((row.oid(0)?, row.oid(1)?)).or_default().push(row.attnum(2)?);
    }
    let mut keys: BTreeMap<u32, Vec<Vec<i16>>> = BTreeMap::new();
    for ((table, _), key) in indexes {
        keys.entry(table).or_default().push(key);
    }
    Ok(keys)
}

/// No expression: it does not parse, and what does not parse is not known.
const UNREADABLE: &str = ")";

fn change(relations: &mut BTreeMap<u32, Relation>, oid: u32, how: impl FnOnce(&mut Relation)) {
    if let Some(relation) = relations.get_mut(&oid) {
        how(relation);
    }
}

fn functions(rows: &CatalogRows) -> Result<HashMap<String, Vec<Routine>>, CatalogError> {
    let mut functions: HashMap<String, Vec<Routine>> = HashMap::new();
    for row in rows.of("functions")? {
        let (schema, name) = (row.text(0)?, row.text(1)?);
        let safe = builtins::function(schema, name).is_some()
            || routine_is_safe(row.text(2)?, row.text(3)?, row.text(4)?);
        functions
            .entry(name.to_owned())
            .or_default()
            .push(Routine { schema: schema.to_owned(), safe });
    }
    Ok(functions)
}

fn operators(rows: &CatalogRows) -> Result<HashMap<String, Vec<Routine>>, CatalogError> {
    let mut operators: HashMap<String, Vec<Routine>> = HashMap::new();
    for row in rows.of("operators")? {
        // Operators of such extensions are immutable or they would not be indexable.
        let safe = routine_is_safe(row.text(2)?, "i", row.text(3)?);
        operators
            .entry(row.text(1)?.to_owned())
            .or_default()
            .push(Routine { schema: row.text(0)?.to_owned(), safe });
    }
    Ok(operators)
}

/// A type is safe when values of it are made without code of a user; an array when its elements are.
fn types(
    rows: &CatalogRows,
    code_on_read: &BTreeSet<u32>,
) -> Result<BTreeMap<String, Vec<UserType>>, CatalogError> {
    let mut elements = BTreeMap::new();
    let mut unsafe_oids = BTreeSet::new();
    for row in rows.of("types")? {
        let oid = row.oid(0)?;
        let element = row.oid(6)?;
        if element != 0 {
            elements.insert(oid, element);
            continue;
        }
        let pure = builtins::extension_is_pure(row.text(4)?);
        let safe = match row.text(3)? {
            "e" => true,
            "d" => !row.flag(5)?,
            _ => pure,
        };
        if !safe || code_on_read.contains(&oid) {
            unsafe_oids.insert(oid);
        }
    }
    let mut types: BTreeMap<String, Vec<UserType>> = BTreeMap::new();
    for row in rows.of("types")? {
        let oid = row.oid(0)?;
        let safe = !unsafe_oids.contains(elements.get(&oid).unwrap_or(&oid));
        let found = UserType { schema: row.text(1)?.to_owned(), safe };
        types.entry(row.text(2)?.to_owned()).or_default().push(found);
    }
    Ok(types)
}

/// Types that a user's cast leads from or to. The server's own types are left out: casts between them are the
/// superuser's, and `int` would make every table one that runs code.
fn code_on_read(rows: &CatalogRows) -> Result<BTreeSet<u32>, CatalogError> {
    let mut oids = BTreeSet::new();
    for row in rows.of("casts")? {
        if !routine_is_safe(row.text(2)?, "i", row.text(3)?) {
            oids.extend(
                [row.oid(0)?, row.oid(1)?].into_iter().filter(|oid| *oid >= FIRST_USER_OID),
            );
        }
    }
    Ok(oids)
}

/// Oids from here on are given to what users make (`FirstNormalObjectId`).
const FIRST_USER_OID: u32 = 16_384;
