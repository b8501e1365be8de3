//! Columns that have a label and were not there when the catalog was read: they may be by now, and nothing is known of them but their
//! names. What is selected as it is waits until the catalog is read again, since its origin is not known; what would be computed of such
//! a column has none.

use std::collections::BTreeSet;

use crate::masking::MaskSet;
use crate::sql::analysis::{Access, Analysis, Clause, ColumnUse, RelationUse};
use crate::sql::catalog::{Catalog, Relation};

/// A relation of a statement, and the columns that are expected in it.
struct Expecting<'a> {
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
    for used in &analysis.relations {
        for oid in &used.resolved.oids {
            let Some((relation, columns)) = catalog.relation(*oid).zip(masks.expected(*oid)) else {
                continue;
            };
            let expecting = Expecting { used, relation, columns };
            broken.extend(expecting.whole());
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
        let own = |name: &str| self.used.references.iter().any(|reference| reference == name);
        let meant = column.of_derived || column.qualifier.as_deref().is_none_or(own);
        let as_it_is = column.clause == Clause::Projection;
        let Some(name) = column.name.as_deref() else {
            let nested = meant && !as_it_is;
            return nested.then(|| self.is_there("name the columns instead of a star"));
        };
        if meant && !as_it_is && self.columns.contains(name) {
            let display = self.relation.display();
            return Some(format!(
                "column {display}.{name} has a label and was not there when the catalog was read: try again in a moment if it is there now"
            ));
        }
        let row = column.qualifier.is_none() && own(name) && self.relation.column(name).is_none();
        row.then(|| self.is_there("name the columns instead of its whole row"))
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
