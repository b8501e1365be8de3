//! References to columns, rows and stars.

use super::scope::Source;
use super::walk::Walker;
use super::{Clause, ColumnUse};
use crate::sql::tree::Node;

/// Columns that every table has without their being listed.
pub(crate) const SYSTEM_COLUMNS: &[&str] =
    &["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid"];

impl Walker<'_> {
    pub(super) fn column(&mut self, reference: &Node, clause: Clause) {
        let fields = reference.list("fields");
        let strings = reference.strings("fields");
        let star = fields.last().is_some_and(|field| field.kind() == "AStar");
        let (name, before) = match (star, strings.split_last()) {
            (true, _) => (None, strings.as_slice()),
            (false, Some((last, before))) => (Some(*last), before),
            (false, None) => {
                return self.opaque("names a column in a way that is not understood".to_owned());
            }
        };
        let qualifier = before.last().copied();
        self.note_named(qualifier, name);
        if let (Some(qualifier), Some(name)) = (qualifier, name) {
            self.attribute_notation(qualifier, name);
        }
        let of_derived =
            qualifier.and_then(|name| self.sight.source(name)).is_some_and(|source| source.derived);
        self.out.columns.push(ColumnUse {
            qualifier: qualifier.map(str::to_owned),
            name: name.map(str::to_owned),
            clause,
            query: self.query,
            of_derived,
        });
    }

    /// A column named where no expression stands, as in USING.
    pub(super) fn column_by_name(&mut self, name: &str, clause: Clause) {
        self.note_named(None, Some(name));
        self.out.columns.push(ColumnUse {
            qualifier: None,
            name: Some(name.to_owned()),
            clause,
            query: self.query,
            of_derived: false,
        });
    }

    /// `x.f` where `x` has no column `f` calls the function `f` on `x`, row or scalar.
    fn attribute_notation(&mut self, qualifier: &str, name: &str) {
        let is_column = self.sight.source(qualifier).is_some_and(|source| {
            let listed = source
                .columns
                .as_ref()
                .is_some_and(|columns| columns.iter().any(|column| column == name));
            listed || (!source.oids.is_empty() && SYSTEM_COLUMNS.contains(&name))
        });
        if !is_column {
            self.maybe_function(name);
        }
    }

    /// `(x).f` and `(x).*`: a field, or a function by that name.
    pub(super) fn indirection(&mut self, node: &Node, clause: Clause) {
        for name in node.strings("indirection") {
            self.maybe_function(name);
        }
        self.fields(node, clause, &[]);
    }

    fn note_named(&mut self, qualifier: Option<&str>, name: Option<&str>) {
        let sources: Vec<&Source> = match (qualifier, name) {
            (Some(qualifier), _) => self.sight.source(qualifier).into_iter().collect(),
            (None, Some(name)) => {
                let with = self.sight.with_column(name);
                // A name that is no column may be a row.
                if with.is_empty() { self.sight.source(name).into_iter().collect() } else { with }
            }
            (None, None) => self.sight.levels.last().into_iter().flatten().collect(),
        };
        let mut named = Vec::new();
        for oid in sources.iter().flat_map(|source| &source.oids) {
            let Some(relation) = self.catalog.relation(*oid) else { continue };
            match name.and_then(|name| relation.column(name)) {
                Some(column) => named.push(relation.column_ref(&column.name)),
                // A star, a row, or a name that only another candidate has.
                None if name.is_none()
                    || (qualifier.is_none() && name == Some(relation.name.as_str())) =>
                {
                    named.extend(
                        relation.columns.iter().map(|column| relation.column_ref(&column.name)),
                    );
                }
                None => {}
            }
        }
        self.out.named_columns.extend(named);
    }
}
