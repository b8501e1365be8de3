//! Whether an UPDATE or DELETE names one row, by a whole unique key that it compares with constants.
//!
//! Only what certainly does: a key inside OR, an IN, a comparison with another column, an expression or another operator
//! count as none.

use std::collections::BTreeSet;

use super::walk::Walker;
use super::{Access, Changed};
use crate::sql::catalog::Relation;
use crate::sql::tree::Node;

/// `BoolExprType` and `A_Expr_Kind` of libpg_query.
const AND: i64 = 1;
const OPERATOR: i64 = 1;

impl Walker<'_> {
    /// Notes what an UPDATE or DELETE changes, and whether that is one row.
    pub(super) fn note_changed(&mut self, target: Option<usize>, statement: &Node) {
        let upserts = statement
            .child("on_conflict_clause")
            .is_some_and(|conflict| !conflict.list("target_list").is_empty());
        if upserts || statement.kind() == "MergeStmt" {
            // Nobody knows how many rows.
            self.out.changed.push(Changed { oids: Vec::new(), one_row: false });
        }
        if !matches!(statement.kind(), "UpdateStmt" | "DeleteStmt") {
            return;
        }
        let Some(used) = target.and_then(|at| self.out.relations.get(at)) else { return };
        let oids = used.resolved.oids.clone();
        // With other tables beside it, a name without its table may be theirs.
        let alone = statement.list("from_clause").is_empty()
            && statement.list("using_clause").is_empty()
            && statement.child("with_clause").is_none();
        let range = statement.child("relation");
        let called = range.map_or("", |range| {
            range.child("alias").map_or(range.text("relname"), |alias| alias.text("aliasname"))
        });
        let mut fixed = BTreeSet::new();
        if self.equality_is_the_servers()
            && let Some(condition) = statement.child("where_clause")
        {
            fixed_columns(condition, called, alone, &mut fixed);
        }
        let certain = !used.resolved.unknown && !oids.is_empty();
        let relations: Vec<&Relation> =
            oids.iter().filter_map(|oid| self.catalog.relation(*oid)).collect();
        let by_key = certain && relations.iter().all(|relation| has_key(relation, &fixed));
        self.out.lacks_key |= !by_key;
        self.out.has_key |= by_key;
        self.out.changed.push(Changed { oids, one_row: by_key });
    }

    /// Notes that all rows of some tables go.
    pub(super) fn note_truncated(&mut self) {
        let truncated = self.out.relations.iter();
        let truncated = truncated.filter(|used| used.access.contains(&Access::Truncate));
        let changed: Vec<Changed> = truncated
            .map(|used| Changed { oids: used.resolved.oids.clone(), one_row: false })
            .collect();
        self.out.changed.extend(changed);
    }

    /// An `=` of a user's own may say of many rows that they are equal.
    fn equality_is_the_servers(&self) -> bool {
        self.catalog.operators_named("=").iter().all(|routine| routine.safe)
    }
}

/// The columns that a condition fixes to a constant, in what all of it demands.
fn fixed_columns<'n>(
    condition: &'n Node,
    called: &str,
    alone: bool,
    fixed: &mut BTreeSet<&'n str>,
) {
    match condition.kind() {
        "BoolExpr" if condition.int("boolop") == AND => {
            for part in condition.list("args") {
                crate::sql::deep(|| fixed_columns(part, called, alone, fixed));
            }
        }
        "AExpr" if condition.int("kind") == OPERATOR && condition.strings("name") == ["="] => {
            let (Some(left), Some(right)) = (condition.child("lexpr"), condition.child("rexpr"))
            else {
                return;
            };
            let sides = [(left, right), (right, left)];
            let column = sides.into_iter().find_map(|(column, constant)| {
                column_of(column, called, alone).filter(|_| is_constant(constant))
            });
            fixed.extend(column);
        }
        _ => {}
    }
}

fn column_of<'n>(node: &'n Node, called: &str, alone: bool) -> Option<&'n str> {
    if node.kind() != "ColumnRef" {
        return None;
    }
    match node.strings("fields")[..] {
        [column] if alone && node.list("fields").len() == 1 => Some(column),
        [table, column] if table == called && node.list("fields").len() == 2 => Some(column),
        _ => None,
    }
}

fn is_constant(node: &Node) -> bool {
    match node.kind() {
        "AConst" | "ParamRef" => true,
        "TypeCast" => node.child("arg").is_some_and(is_constant),
        _ => false,
    }
}

fn has_key(relation: &Relation, fixed: &BTreeSet<&str>) -> bool {
    let is_fixed = |attnum: &i16| {
        let column = relation.columns.iter().find(|column| column.attnum == *attnum);
        column.is_some_and(|column| fixed.contains(column.name.as_str()))
    };
    relation.keys.iter().any(|key| !key.is_empty() && key.iter().all(is_fixed))
}
