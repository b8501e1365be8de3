//! What the parser or the engine takes for something else than PostgreSQL does. It is refused: the answer would look like one to
//! what was asked, and would be one to another question.

mod nulls;

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Select,
    SelectItem, Statement, TableFactor, UnaryOperator, Value, Visit, Visitor,
};

use nulls::Nulls;

/// Why it is refused, and what to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Misread {
    pub(crate) sqlstate: &'static str,
    pub(crate) message: &'static str,
}

const fn not_offered(message: &'static str) -> Misread {
    Misread { sqlstate: "0A000", message }
}

const fn unclear(message: &'static str) -> Misread {
    Misread { sqlstate: "42601", message }
}

/// PostgreSQL's grammar: IS binds closer than AND and OR. The parser takes all behind FROM for what is compared.
const DISTINCT: Misread = unclear(
    "what IS [NOT] DISTINCT FROM compares ends nowhere before an AND or OR, which would be a part of it; put brackets around the \
     comparison: (a IS DISTINCT FROM b) AND c",
);
/// The engine takes the pattern for a regular expression that may match anywhere: `%` and `_` would be themselves.
const SIMILAR: Misread =
    not_offered("SIMILAR TO is not offered; write LIKE, or a regular expression: x ~ '^(a|b)$'");
/// PostgreSQL's grammar: a sign binds closer than `^`.
const POWER: Misread =
    unclear("-a ^ b would be -(a ^ b), where PostgreSQL has (-a) ^ b; put brackets");
/// PostgreSQL's grammar: IS binds closer than NOT.
const NOT_EXISTS: Misread = unclear(
    "NOT EXISTS (..) IS NULL would be (NOT EXISTS (..)) IS NULL, where PostgreSQL has NOT (.. IS NULL); put brackets",
);
/// The engine reads the whole table.
const SAMPLE: Misread = not_offered("TABLESAMPLE is not offered; an answer is about all events");
/// The parser knows no such operator, and takes it for a name.
const ISNULL: Misread =
    unclear("ISNULL would be the column's name; write IS NULL, or AS \"isnull\"");
/// Two texts behind each other are one (SQL, literals), and no name.
const TEXT_AS_NAME: Misread = unclear(
    "a text behind a column would be its name; write || between two texts, and names without quotes or in \"..\"",
);
const NO_OPERATOR: Misread =
    unclear("<=> and XOR are no operators of PostgreSQL; write IS NOT DISTINCT FROM, or <>");
/// The engine has the signs of strftime: what has none of them is given as it is written.
const TEMPLATE: Misread = not_offered(
    "to_char has the signs of strftime here: to_char(time, '%Y-%m-%d %H:%M:%S'); or write date_trunc, or extract",
);

/// The first of it in `statement`.
pub(crate) fn misread(statement: &Statement) -> Option<Misread> {
    let first = statement.visit(&mut Finder).break_value();
    first.or_else(|| statement.visit(&mut Nulls::default()).break_value())
}

struct Finder;

impl Visitor for Finder {
    type Break = Misread;

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Misread> {
        found(match expression {
            Expr::IsDistinctFrom(_, other) | Expr::IsNotDistinctFrom(_, other) => {
                joins(other).then_some(DISTINCT)
            }
            Expr::SimilarTo { .. } => Some(SIMILAR),
            Expr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => {
                matches!(**expr, Expr::BinaryOp { op: BinaryOperator::PGExp, .. }).then_some(POWER)
            }
            Expr::IsNull(inner) | Expr::IsNotNull(inner) => {
                matches!(**inner, Expr::Exists { negated: true, .. }).then_some(NOT_EXISTS)
            }
            Expr::BinaryOp { op: BinaryOperator::Spaceship | BinaryOperator::Xor, .. } => {
                Some(NO_OPERATOR)
            }
            Expr::Function(function) => misread_template(function).then_some(TEMPLATE),
            _ => None,
        })
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<Misread> {
        let is_sampled = matches!(
            table,
            TableFactor::Table { sample: Some(_), .. }
                | TableFactor::Derived { sample: Some(_), .. }
        );
        found(is_sampled.then_some(SAMPLE))
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Misread> {
        found(select.projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { alias, .. } => misread_name(alias),
            _ => None,
        }))
    }
}

fn misread_template(function: &Function) -> bool {
    let name = function.name.0.last().and_then(|part| part.as_ident());
    let FunctionArguments::List(list) = &function.args else { return false };
    let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(template)))) = list.args.get(1)
    else {
        return false;
    };
    name.is_some_and(|name| {
        ["to_char", "date_format"].contains(&name.value.to_lowercase().as_str())
    }) && matches!(&template.value, Value::SingleQuotedString(text) if !text.contains('%'))
}

fn misread_name(name: &Ident) -> Option<Misread> {
    match name.quote_style {
        Some('\'') => Some(TEXT_AS_NAME),
        None if name.value.eq_ignore_ascii_case("isnull") => Some(ISNULL),
        _ => None,
    }
}

/// Brackets are a node of their own.
const fn joins(expression: &Expr) -> bool {
    use BinaryOperator::{And, Or, Xor};
    matches!(expression, Expr::BinaryOp { op: And | Or | Xor, .. })
}

fn found(misread: Option<Misread>) -> ControlFlow<Misread> {
    misread.map_or(ControlFlow::Continue(()), ControlFlow::Break)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Statements;

    fn refused(sql: &str) -> Option<(String, String)> {
        let refused = Statements::new(64 * 1024).parse_one(sql).err()?;
        Some((refused.sqlstate().to_owned(), refused.to_string()))
    }

    #[test]
    fn what_would_be_misread_is_refused() {
        for (sql, why) in [
            (
                "SELECT * FROM events WHERE family IS DISTINCT FROM 'query' AND session_seq = 1",
                DISTINCT,
            ),
            (
                "SELECT * FROM events WHERE family IS NOT DISTINCT FROM 'query' OR session_seq = 1",
                DISTINCT,
            ),
            (
                "SELECT * FROM events WHERE time IS NOT NULL AND family IS DISTINCT FROM 'query' AND session_seq = 1",
                DISTINCT,
            ),
            (
                "SELECT count(*) FILTER (WHERE family IS DISTINCT FROM 'query' OR rows > 1) FROM responses",
                DISTINCT,
            ),
            (
                "WITH a AS (SELECT family IS DISTINCT FROM 'query' AND true FROM events) SELECT * FROM a",
                DISTINCT,
            ),
            (
                "EXPLAIN SELECT * FROM events WHERE family IS DISTINCT FROM 'query' AND session_seq = 1",
                DISTINCT,
            ),
            (
                "SELECT * FROM events e JOIN events f ON e.family IS DISTINCT FROM f.family AND true",
                DISTINCT,
            ),
            ("SELECT 1 FROM commands WHERE statement SIMILAR TO '%(DROP|ALTER)%'", SIMILAR),
            ("SELECT 1 FROM commands WHERE statement NOT SIMILAR TO 'a'", SIMILAR),
            ("SELECT -2 ^ 2", POWER),
            ("SELECT - session_seq ^ 2 FROM events", POWER),
            ("SELECT 1 FROM events e WHERE NOT EXISTS (SELECT 1) IS NULL", NOT_EXISTS),
            ("SELECT count(*) FROM events TABLESAMPLE SYSTEM (10)", SAMPLE),
            ("SELECT reason ISNULL FROM events", ISNULL),
            ("SELECT 1 UNION SELECT reason IsNull FROM events", ISNULL),
            ("SELECT to_char(time, 'YYYY-MM-DD') FROM events", TEMPLATE),
            ("SELECT 1 FROM events ORDER BY To_Char(time, 'HH24')", TEMPLATE),
            ("SELECT 'a' 'b'", TEXT_AS_NAME),
            ("SELECT reason 'x' FROM events", TEXT_AS_NAME),
        ] {
            let (sqlstate, said) = refused(sql).unwrap_or_else(|| panic!("{sql}"));
            assert_eq!(sqlstate, why.sqlstate, "{sql}: {said}");
            assert!(said.contains(why.message), "{sql}: {said}");
        }
    }

    #[test]
    fn what_is_clear_passes() {
        for sql in [
            "SELECT * FROM events WHERE (family IS DISTINCT FROM 'query') AND session_seq = 1",
            "SELECT * FROM events WHERE session_seq = 1 AND family IS DISTINCT FROM 'query' ORDER BY time",
            "SELECT * FROM events WHERE family IS DISTINCT FROM ('query' AND true)",
            "SELECT * FROM events WHERE session_seq IS DISTINCT FROM rows + 1",
            "SELECT relname FROM pg_class WHERE relkind IS DISTINCT FROM 'r' AND true",
            "SELECT (-2) ^ 2, -(2 ^ 2), 2 ^ -2",
            "SELECT 1 FROM events e WHERE (NOT EXISTS (SELECT 1)) IS NULL AND NOT EXISTS (SELECT 2)",
            "SELECT reason AS \"isnull\", reason IS NULL, time AS x, time \"y\" FROM events",
            "SELECT to_char(time, '%Y-%m') FROM events",
            "SELECT statement LIKE 'a%', statement ~ '^a' FROM commands",
        ] {
            assert_eq!(refused(sql), None, "{sql}");
        }
    }
}
