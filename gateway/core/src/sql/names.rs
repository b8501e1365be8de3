//! What a name may mean: first match along the search path, as PostgreSQL looks it up.

use super::catalog::{Catalog, Relation, SYSTEM_SCHEMA};

/// The search paths that may be in force. A `SET` may have failed, or been rolled back since, so earlier paths stay
/// possible; a name then means any of what it means under each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Paths {
    /// One of these.
    OneOf(Vec<Vec<String>>),
    /// Any.
    Unknown,
}

/// More possible paths than this are as good as unknown.
const MAX_PATHS: usize = 16;

/// What an unqualified or qualified relation name may mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// Oids of known relations; sorted, without repeats.
    pub(crate) oids: Vec<u32>,
    /// Schemas in which a relation of this name would be found, had it been made since the snapshot; only filled where
    /// some possible path finds nothing.
    pub(crate) unknown_in: Vec<String>,
    /// Whether some possible path finds nothing.
    pub(crate) unknown: bool,
}

impl Paths {
    /// Exactly this one.
    pub(crate) fn exactly(path: Vec<String>) -> Self {
        Self::OneOf(vec![path])
    }

    /// From now on also this one; whether that is new.
    pub(crate) fn add(&mut self, path: Vec<String>) -> bool {
        let Self::OneOf(paths) = self else { return false };
        if paths.contains(&path) {
            return false;
        }
        paths.push(path);
        if paths.len() > MAX_PATHS {
            *self = Self::Unknown;
        }
        true
    }

    /// Whether one of them speaks of the role's own schema.
    pub(crate) fn name_the_role(&self) -> bool {
        matches!(self, Self::OneOf(paths) if paths.iter().flatten().any(|name| name == "$user"))
    }

    /// Whether something in `schema` may be found without its schema named.
    pub(crate) fn may_see(&self, schema: &str, catalog: &Catalog) -> bool {
        match self {
            Self::Unknown => true,
            Self::OneOf(paths) => paths.iter().any(|path| {
                schema == SYSTEM_SCHEMA || effective(path, catalog).any(|name| name == schema)
            }),
        }
    }

    /// Whether `pg_catalog` comes before everything else on every possible path.
    pub(crate) fn system_first(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::OneOf(paths) => paths.iter().all(|path| {
                path.iter().position(|name| name == SYSTEM_SCHEMA).is_none_or(|place| place == 0)
            }),
        }
    }

    /// What `schema.name`, or `name` alone, may mean.
    pub(crate) fn relation(&self, schema: Option<&str>, name: &str, catalog: &Catalog) -> Resolved {
        let mut resolved = Resolved::default();
        match (schema, self) {
            (Some(schema), _) => {
                resolved.note(find(catalog, schema, name), || vec![schema.to_owned()]);
            }
            (None, Self::Unknown) => {
                let oids: Vec<u32> = catalog.named(name).map(|relation| relation.oid).collect();
                if oids.is_empty() {
                    let schemas = catalog.user_schemas().map(str::to_owned).collect();
                    resolved.note(None, || schemas);
                }
                resolved.oids.extend(oids);
            }
            (None, Self::OneOf(paths)) => {
                for path in paths {
                    let found =
                        effective(path, catalog).find_map(|schema| find(catalog, schema, name));
                    resolved.note(found, || {
                        let existing = path
                            .iter()
                            .filter(|schema| catalog.has_schema(expand(schema, catalog)));
                        existing.map(|schema| expand(schema, catalog).to_owned()).collect()
                    });
                }
            }
        }
        resolved.oids.sort_unstable();
        resolved.oids.dedup();
        resolved.unknown_in.sort_unstable();
        resolved.unknown_in.dedup();
        resolved
    }
}

impl Resolved {
    fn note(&mut self, found: Option<&Relation>, schemas: impl FnOnce() -> Vec<String>) {
        match found {
            Some(relation) => self.oids.push(relation.oid),
            None => {
                self.unknown = true;
                self.unknown_in.extend(schemas());
            }
        }
    }
}

fn find<'a>(catalog: &'a Catalog, schema: &str, name: &str) -> Option<&'a Relation> {
    catalog.named(name).find(|relation| relation.schema == schema)
}

fn expand<'a>(schema: &'a str, catalog: &'a Catalog) -> &'a str {
    if schema == "$user" { catalog.user() } else { schema }
}

/// The schemas of a path in the order of search: `pg_catalog` first unless the path places it. Temporary schemas are
/// not in the snapshot; making something there is data definition, which masks forbid.
fn effective<'a>(path: &'a [String], catalog: &'a Catalog) -> impl Iterator<Item = &'a str> {
    let implicit = (!path.iter().any(|name| name == SYSTEM_SCHEMA)).then_some(SYSTEM_SCHEMA);
    implicit.into_iter().chain(path.iter().map(move |schema| expand(schema, catalog)))
}
