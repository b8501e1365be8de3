//! What the engine reads otherwise where a value is NULL: it takes what is unknown for false, which is right where rows are
//! picked, and wrong where it is negated or looked at.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Query, Select, SetExpr, SetOperator, SetQuantifier, UnaryOperator, Value,
    Visitor,
};

use super::{Misread, found, not_offered};

pub(super) const NOT_IN: Misread = not_offered(
    "NOT IN (SELECT ..), or what says the same, is read right only as a condition of its own (or one joined by AND) of WHERE, with a \
     column on its left; write NOT EXISTS (SELECT .. WHERE ..) elsewhere",
);
pub(super) const IN_AS_VALUE: Misread = not_offered(
    "IN (SELECT ..), ANY and ALL are offered as conditions; compared with something, or asked for NULL or false, they would be false \
     where PostgreSQL has NULL",
);
pub(super) const NOT_ANY: Misread = not_offered(
    "<> ALL (..) and NOT (.. = ANY (..)) are offered for lists of constants without NULL; of others, where an element may be NULL, \
     write NOT EXISTS (SELECT 1 FROM unnest(..) AS t (x) WHERE ..)",
);
pub(super) const NULL_IN_LIST: Misread =
    not_offered("NULL in the array of ANY or ALL is compared with nothing; leave it out");
pub(super) const ARRAY_TEXT: Misread = not_offered(
    "an array that is written as a text has no quotes and no \\ here; write ARRAY['a', 'b']",
);
pub(super) const OF_SUBQUERY: Misread = not_offered(
    "ANY and ALL (SELECT ..) are not offered; write IN (SELECT ..), or compare with the min or max of it",
);
pub(super) const ALL_ROWS: Misread = not_offered(
    "EXCEPT ALL and INTERSECT ALL are not offered; number the rows that are the same: row_number() OVER (PARTITION BY ..)",
);
pub(super) const ROWS: Misread = not_offered(
    "comparisons of rows are not offered; compare column by column: a = 1 AND b = 2, or a < 1 OR (a = 1 AND b < 2)",
);

/// Finds the first of it.
#[derive(Default)]
pub(super) struct Nulls {
    /// Conditions of WHERE that the engine reads right although they are negated, by where they are.
    right: HashSet<*const Expr>,
}

impl Nulls {
    fn learn(&mut self, condition: &Expr) {
        match condition {
            Expr::Nested(inner) => self.learn(inner),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.learn(left);
                self.learn(right);
            }
            Expr::InSubquery { expr, negated: true, .. } if is_column(expr) => {
                self.right.insert(std::ptr::from_ref(condition));
            }
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                if matches!(unnested(expr), Expr::InSubquery { expr, negated: false, .. } if is_column(expr))
                {
                    self.right.insert(std::ptr::from_ref(condition));
                }
            }
            _ => {}
        }
    }
}

impl Visitor for Nulls {
    type Break = Misread;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Misread> {
        found(counts_rows(&query.body).then_some(ALL_ROWS))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Misread> {
        if let Some(condition) = &select.selection {
            self.learn(condition);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Misread> {
        let right = self.right.contains(&std::ptr::from_ref(expression));
        found(match expression {
            Expr::InSubquery { expr, .. } | Expr::InList { expr, .. } if is_row(expr) => Some(ROWS),
            Expr::InSubquery { negated: true, .. } if !right => Some(NOT_IN),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } if !right => negated(expr),
            Expr::IsNull(inner) | Expr::IsNotNull(inner) if is_row(inner) => Some(ROWS),
            Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsFalse(inner)
            | Expr::IsNotFalse(inner)
            | Expr::IsUnknown(inner)
            | Expr::IsNotUnknown(inner) => holds(inner, is_membership).then_some(IN_AS_VALUE),
            Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right) => {
                compared(left, right)
            }
            Expr::BinaryOp { left, op, right } if compares(op) => compared(left, right),
            Expr::Between { expr, .. } => is_row(expr).then_some(ROWS),
            Expr::AnyOp { right, .. } => array(right),
            Expr::AllOp { right, .. } => array(right).or((!is_constant(right)).then_some(NOT_ANY)),
            _ => None,
        })
    }
}

fn counts_rows(body: &SetExpr) -> bool {
    let SetExpr::SetOperation { op, set_quantifier, left, right } = body else { return false };
    let all = matches!(set_quantifier, SetQuantifier::All | SetQuantifier::AllByName);
    (all && !matches!(op, SetOperator::Union)) || counts_rows(left) || counts_rows(right)
}

/// What is wrong about NOT in front of `expression`.
fn negated(expression: &Expr) -> Option<Misread> {
    if holds(expression, |inner| matches!(inner, Expr::InSubquery { .. })) {
        return Some(NOT_IN);
    }
    let open = |inner: &Expr| matches!(inner, Expr::AnyOp { right, .. } if !is_constant(right));
    holds(expression, open).then_some(NOT_ANY)
}

fn compared(left: &Expr, right: &Expr) -> Option<Misread> {
    if is_row(left) || is_row(right) {
        return Some(ROWS);
    }
    (holds(left, is_membership) || holds(right, is_membership)).then_some(IN_AS_VALUE)
}

/// What is wrong about the array behind ANY or ALL.
fn array(of: &Expr) -> Option<Misread> {
    match unnested(of) {
        Expr::Subquery(_) => Some(OF_SUBQUERY),
        Expr::Array(array) => array.elem.iter().any(is_null).then_some(NULL_IN_LIST),
        other => {
            let text = text_of(other)?;
            if text.contains(['"', '\\']) {
                return Some(ARRAY_TEXT);
            }
            let mut elements = text.split(['{', '}', ',']).map(str::trim);
            elements.any(|one| one.eq_ignore_ascii_case("null")).then_some(NULL_IN_LIST)
        }
    }
}

fn is_constant(array: &Expr) -> bool {
    match unnested(array) {
        Expr::Array(array) => array.elem.iter().all(|one| {
            let one = match unnested(one) {
                Expr::UnaryOp { op: UnaryOperator::Minus, expr } => unnested(expr),
                one => one,
            };
            matches!(one, Expr::Value(value) if !matches!(value.value, Value::Null | Value::Placeholder(_)))
        }),
        other => text_of(other).is_some(),
    }
}

fn text_of(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Value(literal) => match &literal.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

fn is_null(expression: &Expr) -> bool {
    match unnested(expression) {
        Expr::Value(literal) => matches!(literal.value, Value::Null),
        Expr::Cast { expr, .. } => is_null(expr),
        _ => false,
    }
}

fn unnested(expression: &Expr) -> &Expr {
    match expression {
        Expr::Nested(inner) => unnested(inner),
        other => other,
    }
}

fn is_column(expression: &Expr) -> bool {
    matches!(unnested(expression), Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

fn is_row(expression: &Expr) -> bool {
    match unnested(expression) {
        Expr::Tuple(_) => true,
        Expr::Function(function) => {
            let name = function.name.0.last().and_then(|part| part.as_ident());
            name.is_some_and(|name| ["row", "struct"].contains(&name.value.to_lowercase().as_str()))
        }
        _ => false,
    }
}

const fn compares(op: &BinaryOperator) -> bool {
    use BinaryOperator as Op;
    matches!(op, Op::Eq | Op::NotEq | Op::Lt | Op::LtEq | Op::Gt | Op::GtEq)
}

const fn is_membership(expression: &Expr) -> bool {
    matches!(expression, Expr::InSubquery { .. } | Expr::AnyOp { .. } | Expr::AllOp { .. })
}

/// Whether `expression` is what `of` says, or such is joined in it by AND, OR and NOT.
fn holds(expression: &Expr, of: impl Fn(&Expr) -> bool + Copy) -> bool {
    match expression {
        Expr::Nested(inner) | Expr::UnaryOp { op: UnaryOperator::Not, expr: inner } => {
            holds(inner, of)
        }
        Expr::BinaryOp { left, op: BinaryOperator::And | BinaryOperator::Or, right } => {
            holds(left, of) || holds(right, of)
        }
        other => of(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Statements;

    fn refused(sql: &str) -> Option<String> {
        Some(Statements::new(64 * 1024).parse_one(sql).err()?.to_string())
    }

    #[test]
    fn what_nulls_make_another_answer_is_refused() {
        for (sql, why) in [
            ("SELECT 1 WHERE 1 NOT IN (SELECT x FROM t)", NOT_IN),
            ("SELECT a NOT IN (SELECT x FROM t) FROM u", NOT_IN),
            ("SELECT 1 FROM u WHERE a NOT IN (SELECT x FROM t) OR b = 1", NOT_IN),
            ("SELECT 1 FROM u WHERE NOT (b = 1 OR a IN (SELECT x FROM t))", NOT_IN),
            ("SELECT 1 FROM u WHERE CASE WHEN a NOT IN (SELECT x FROM t) THEN true END", NOT_IN),
            ("SELECT 1 FROM u JOIN v ON u.a NOT IN (SELECT x FROM t)", NOT_IN),
            ("SELECT a FROM u GROUP BY a HAVING a NOT IN (SELECT x FROM t)", NOT_IN),
            ("SELECT 1 FROM u WHERE (a IN (SELECT x FROM t)) IS NULL", IN_AS_VALUE),
            ("SELECT 1 FROM u WHERE (a IN (SELECT x FROM t)) = false", IN_AS_VALUE),
            ("SELECT 3 <> ALL (ARRAY[1, NULL])", NULL_IN_LIST),
            ("SELECT NOT (3 = ANY (ARRAY[1, NULL::int]))", NOT_ANY),
            ("SELECT 3 = ANY ('{1, null}')", NULL_IN_LIST),
            ("SELECT 'a' = ANY ('{\"a,b\"}')", ARRAY_TEXT),
            ("SELECT 1 FROM u WHERE a <> ALL (b)", NOT_ANY),
            ("SELECT 1 FROM u WHERE a <> ALL ($1)", NOT_ANY),
            ("SELECT 1 FROM u WHERE NOT a = ANY (b)", NOT_ANY),
            ("SELECT 1 FROM u WHERE NOT (c = 1 AND a = ANY (ARRAY[b]))", NOT_ANY),
            ("SELECT 1 FROM u WHERE (a = ANY (b)) IS NULL", IN_AS_VALUE),
            ("SELECT 1 FROM u WHERE a = ANY (SELECT x FROM t)", OF_SUBQUERY),
            ("SELECT 1 EXCEPT ALL SELECT 2", ALL_ROWS),
            ("SELECT * FROM (SELECT 1 UNION SELECT 2 INTERSECT ALL SELECT 2) t", ALL_ROWS),
            ("SELECT (1, NULL) = (1, NULL)", ROWS),
            ("SELECT (NULL, NULL) IS NULL", ROWS),
            ("SELECT ROW(1, 2) < ROW(1, 3)", ROWS),
            ("SELECT 1 FROM u WHERE (a, b) IN ((1, 2))", ROWS),
            ("SELECT 1 FROM u WHERE (a, b) NOT IN (SELECT x, y FROM t)", ROWS),
            ("SELECT 1 FROM u WHERE (a, b) IS DISTINCT FROM (1, 2)", ROWS),
        ] {
            let said = refused(sql).unwrap_or_else(|| panic!("{sql}"));
            assert!(said.contains(why.message), "{sql}: {said}");
        }
    }

    #[test]
    fn what_nulls_do_not_change_passes() {
        for sql in [
            "SELECT 1 FROM u WHERE a NOT IN (SELECT x FROM t)",
            "SELECT 1 FROM u WHERE (u.a NOT IN (SELECT x FROM t)) AND NOT b IN (SELECT x FROM t) AND NOT (a IN (SELECT 1))",
            "SELECT 1 FROM u WHERE a IN (SELECT x FROM t WHERE x NOT IN (SELECT 1)) OR b = 1",
            "SELECT 1 FROM u WHERE a NOT IN (1, 2, NULL) AND NOT EXISTS (SELECT 1)",
            "SELECT 1 FROM u WHERE a = ANY (b) AND (c = ANY ($1) OR d = ANY (ARRAY['x', 'y']))",
            "SELECT 1 FROM u WHERE a <> ALL (ARRAY['x', 'y']) AND NOT (b = ANY ('{1, -2}'))",
            "SELECT 1 FROM u WHERE a <> ALL (ARRAY[1, -2])",
            "SELECT 1 EXCEPT SELECT 2 INTERSECT SELECT 3 UNION ALL SELECT 4",
            "SELECT a, count(*) FROM u GROUP BY (a, b), ROLLUP (a, b)",
            "SELECT 1 FROM u WHERE (a IN (SELECT x FROM t)) IS TRUE",
        ] {
            assert_eq!(refused(sql), None, "{sql}");
        }
    }
}
