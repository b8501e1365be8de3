//! Patterns mean what they do in PostgreSQL: a dot is any character, a line feed too, so that no statement of several
//! lines escapes a search.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Statement,
    Value, VisitMut as _, VisitorMut,
};

/// The engine's word for it, in front of a pattern. What the pattern itself begins with counts after that.
const OF_WHOLE_TEXTS: &str = "(?s)";
/// Functions that take a pattern behind a text.
const FUNCTIONS: [&str; 5] =
    ["regexp_like", "regexp_match", "regexp_replace", "regexp_count", "regexp_instr"];

/// Makes all patterns in `statement` so.
pub(crate) fn of_whole_texts(statement: &mut Statement) {
    let _all = statement.visit(&mut Patterns);
}

struct Patterns;

impl VisitorMut for Patterns {
    type Break = ();

    // Behind what is in the expression, which a pattern that is made anew would be again.
    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        use BinaryOperator as Op;
        match expression {
            Expr::BinaryOp {
                op:
                    Op::PGRegexMatch | Op::PGRegexIMatch | Op::PGRegexNotMatch | Op::PGRegexNotIMatch,
                right,
                ..
            } => of_whole_text(right),
            Expr::Function(function) => pattern_of(function).map_or((), of_whole_text),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn pattern_of(function: &mut Function) -> Option<&mut Expr> {
    let name = function.name.0.last()?.as_ident()?.value.to_lowercase();
    let FunctionArguments::List(list) = &mut function.args else { return None };
    match list.args.get_mut(1).filter(|_| FUNCTIONS.contains(&name.as_str()))? {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(pattern)) => Some(pattern),
        _ => None,
    }
}

fn of_whole_text(pattern: &mut Expr) {
    if let Expr::Value(literal) = pattern
        && let Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) =
            &mut literal.value
    {
        text.insert_str(0, OF_WHOLE_TEXTS);
        return;
    }
    let front = Value::SingleQuotedString(OF_WHOLE_TEXTS.to_owned()).with_empty_span();
    let own = std::mem::replace(pattern, Expr::Value(front.clone()));
    *pattern = Expr::Nested(Box::new(Expr::BinaryOp {
        left: Box::new(Expr::Value(front)),
        op: BinaryOperator::StringConcat,
        right: Box::new(Expr::Nested(Box::new(own))),
    }));
}

#[cfg(test)]
mod tests {
    use crate::statement::Statements;

    #[test]
    fn every_pattern_is_of_whole_texts() {
        for (asked, read) in [
            ("SELECT a ~ 'b.c'", "SELECT a ~ '(?s)b.c'"),
            ("SELECT a !~* '(?x) b . c'", "SELECT a !~* '(?s)(?x) b . c'"),
            ("SELECT a ~ $1", "SELECT a ~ ('(?s)' || ($1))"),
            ("SELECT regexp_replace(a, 'b', 'c')", "SELECT regexp_replace(a, '(?s)b', 'c')"),
            ("SELECT Regexp_Like(a, b || c)", "SELECT Regexp_Like(a, ('(?s)' || (b || c)))"),
            (
                "SELECT a OPERATOR(pg_catalog.~) (regexp_match(b, 'c'))[1]",
                "SELECT a ~ ('(?s)' || ((regexp_match(b, '(?s)c'))[1]))",
            ),
            ("SELECT a LIKE 'b', strpos(a, 'b')", "SELECT a LIKE 'b', strpos(a, 'b')"),
        ] {
            let read_as = Statements::new(1_000).parse_one(asked).unwrap().to_string();
            assert_eq!(read_as, read, "{asked}");
        }
    }
}
