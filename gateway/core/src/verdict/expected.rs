//! Columns that have a label and were not there when the catalog was read: they may be by now, and nothing is known of them but their
//! names. What is selected as it is waits until the catalog is read again, since its origin is not known; what would be computed of such
//! a column has none.

use std::collections::BTreeSet;

use crate::masking::MaskSet;
use crate::sql::analysis::{
    Access, Analysis, Clause, ColumnUse, Output, RelationUse, SYSTEM_COLUMNS, TopQuery,
};
use crate::sql::catalog::{Catalog, Relation};

/// A relation of a statement, and the columns that are expected in it.
struct Expecting<'a> {
    analysis: &'a Analysis,
    catalog: &'a Catalog,
    /// Its place in the analysis.
    place: usize,
    used: &'a RelationUse,
    relation: &'a Relation,
    columns: &'a BTreeSet<String>,
}

/// Why a statement may not pass; nothing when it may.
pub(super) fn broken_by(
    analysis: &Analysis,
    masks: &MaskSet,
    catalog: &Catalog,
    broken: &mut Vec<String>,
) {
    for (place, used) in analysis.relations.iter().enumerate() {
        for oid in &used.resolved.oids {
            let Some((relation, columns)) = catalog.relation(*oid).zip(masks.expected(*oid)) else {
                continue;
            };
            let expecting = Expecting { analysis, catalog, place, used, relation, columns };
            broken.extend(expecting.whole());
            broken.extend(analysis.tops.iter().filter_map(|top| expecting.sorted(top)));
            broken.extend(analysis.columns.iter().filter_map(|column| expecting.broken_by(column)));
        }
    }
}

impl Expecting<'_> {
    /// All of its columns at once.
    fn whole(&self) -> Option<String> {
        let copied = self.used.access.contains(&Access::CopyOut)
            && !self.used.access.contains(&Access::Select);
        if copied {
            return Some(
                self.is_there("it may not be copied: COPY a SELECT that names the columns"),
            );
        }
        self.used.disguise.map(|disguise| self.is_there(&format!("it may not be used {disguise}")))
    }

    fn broken_by(&self, column: &ColumnUse) -> Option<String> {
        let as_it_is = column.clause == Clause::Projection;
        let Some(name) = column.name.as_deref() else { return self.star(column) };
        if column.of_derived || !self.is_meant(column) {
            return None;
        }
        if self.columns.contains(name) {
            let display = self.relation.display();
            return (!as_it_is).then(|| format!(
                "column {display}.{name} has a label and was not there when the catalog was read: try again in a moment if it is there now"
            ));
        }
        let known = self.relation.column(name).is_some();
        if SYSTEM_COLUMNS.contains(&name) || known && (as_it_is || column.qualifier.is_some()) {
            return None;
        }
        if column.qualifier.is_none() && self.is_own(name) {
            return Some(self.is_there("name the columns instead of its whole row"));
        }
        // What is no column is a function of the whole row, or a column that is computed of one that came with it.
        let elsewhere = column.qualifier.is_none() && self.is_known(name);
        (!known && !elsewhere)
            .then(|| self.is_there(&format!("{name} is not known to be a column, nor of what")))
    }

    /// What stands alone in the outermost list, or in RETURNING, has its origin.
    fn star(&self, column: &ColumnUse) -> Option<String> {
        let meant = match column.qualifier.as_deref() {
            Some(qualifier) => column.clause != Clause::Projection && self.is_own(qualifier),
            None => {
                let sources = self.analysis.sources.get(&column.query);
                let nested = !matches!(column.clause, Clause::Projection | Clause::Returning);
                nested && sources.is_none_or(|places| places.contains(&self.place))
            }
        };
        meant.then(|| self.is_there("name the columns instead of a star"))
    }

    /// Whether a name without a table may be that of a column that the catalog has, or of something that the statement makes.
    fn is_known(&self, name: &str) -> bool {
        let mut oids = self.analysis.relations.iter().flat_map(|used| &used.resolved.oids);
        self.analysis.known_names.contains(name)
            || oids.any(|oid| {
                self.catalog.relation(*oid).is_some_and(|relation| relation.column(name).is_some())
            })
    }

    /// What an outermost query does with its results by name or place: their values are masked in time, and not what their order tells.
    fn sorted(&self, top: &TopQuery) -> Option<String> {
        let (mut names, mut places, mut star) = (BTreeSet::new(), Vec::new(), None);
        for (place, output) in top.outputs.iter().enumerate() {
            let Output::Plain { column, name: alias } = output else { continue };
            let used = self.analysis.columns.get(*column).filter(|used| self.is_meant(used));
            match used.map(|used| used.name.as_deref()) {
                Some(None) => star = star.or(Some(place)),
                Some(Some(name)) if self.columns.contains(name) => {
                    places.push(place);
                    names.insert(alias.as_deref().unwrap_or(name));
                }
                Some(Some(_)) | None => {}
            }
        }
        // Of a star it comes behind the columns that are known.
        let behind = star.map(|star| star + self.relation.columns.len());
        let refers = |position: &i64| {
            usize::try_from(*position - 1).map_or(true, |place| {
                places.contains(&place) || behind.is_some_and(|behind| place >= behind)
            })
        };
        let again = self.analysis.columns.iter().any(|used| {
            let by_name = used.qualifier.is_none() && used.clause != Clause::Projection;
            by_name && used.name.as_deref().is_some_and(|name| names.contains(name))
        });
        let any = star.is_some() || !places.is_empty();
        let so = if again {
            "a result that may be such a column is not used again by its name"
        } else if any && top.distinct {
            "name other columns in SELECT DISTINCT"
        } else if !places.is_empty() && top.grouped {
            "name other columns beside GROUP BY"
        } else if any && top.positions.iter().any(refers) {
            "name what to order or group by"
        } else {
            return None;
        };
        Some(self.is_there(so))
    }

    fn is_meant(&self, column: &ColumnUse) -> bool {
        column.qualifier.as_deref().is_none_or(|qualifier| self.is_own(qualifier))
    }

    /// Whether rows of the table are called so; those of one that is written to have names beside.
    fn is_own(&self, name: &str) -> bool {
        let written = self.used.access.iter().any(|access| access.is_write());
        self.used.references.iter().any(|reference| reference == name)
            || written && ["old", "new", "excluded"].contains(&name)
    }

    fn is_there(&self, so: &str) -> String {
        let columns: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        format!(
            "table {} may have columns by now that have a label ({}): {so}",
            self.relation.display(),
            columns.join(", ")
        )
    }
}
