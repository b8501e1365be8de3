//! What a text asks for. Only questions pass; everything else is named and refused.

use std::error::Error;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{ObjectName, Query, SetExpr, Statement, visit_relations};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use datafusion_postgres::datafusion_pg_catalog::sql::rules::{
    AliasDuplicatedProjectionRewrite, CurrentUserVariableToSessionUserFunctionCall,
    FixArrayLiteral, FixVersionColumnName, PrependUnqualifiedPgTableName,
    ResolveUnqualifiedIdentifier, RewriteArrayAnyAllOperation, RewritePgCatalogOperator,
    RewriteRegCastToSubquery, SqlStatementRewriteRule, StripCallableQualifier, StripCollate,
};

use crate::catalog::{INFORMATION_SCHEMA, PG_CATALOG};
use crate::described::as_meant;
use crate::error::QueryError;
use crate::misread::{Misread, misread};
use crate::patterns;
use crate::size::must_be_readable;
use crate::views::{EVENTS, View};

/// Words and signs of one text that may nest something: a chain of so many operators still fits a thread's stack,
/// also when it is dropped. Lists of values are flat and do not count.
const MAX_NESTING: usize = 1_000;
/// Statements in one text.
const MAX_STATEMENTS: usize = 16;

/// Parses texts in PostgreSQL's dialect, with the rewrites that PostgreSQL's own clients need.
///
/// What clients ask of PostgreSQL's own catalog may be more than the engine can plan, so that there an answer may be made
/// up: whole statements are known by heart, and a question within a question becomes NULL when it looks at the outer one.
/// Whoever asks for events must never get that.
#[derive(Debug)]
pub(crate) struct Statements {
    of_catalog: PostgresCompatibilityParser,
    of_rows: Vec<Arc<dyn SqlStatementRewriteRule>>,
    max_bytes: usize,
}

/// The rewrites that leave what is asked as it is, in the order of [`PostgresCompatibilityParser`].
fn true_rewrites() -> Vec<Arc<dyn SqlStatementRewriteRule>> {
    vec![
        Arc::new(AliasDuplicatedProjectionRewrite),
        Arc::new(ResolveUnqualifiedIdentifier),
        Arc::new(RewriteArrayAnyAllOperation),
        Arc::new(PrependUnqualifiedPgTableName),
        Arc::new(StripCallableQualifier),
        Arc::new(FixArrayLiteral),
        Arc::new(CurrentUserVariableToSessionUserFunctionCall),
        Arc::new(StripCollate),
        Arc::new(RewritePgCatalogOperator),
        Arc::new(RewriteRegCastToSubquery::new()),
        Arc::new(FixVersionColumnName),
    ]
}

impl Statements {
    pub(crate) fn new(max_bytes: usize) -> Self {
        let of_catalog = PostgresCompatibilityParser::new();
        Self { of_catalog, of_rows: true_rewrites(), max_bytes }
    }

    /// The statements of `sql`; none when it is empty.
    pub(crate) fn parse(&self, sql: &str) -> Result<Vec<Statement>, QueryError> {
        if sql.len() > self.max_bytes {
            return Err(QueryError::TooLong { bytes: sql.len(), max: self.max_bytes });
        }
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize();
        let tokens = tokens.map_err(|error| syntax(&error))?;
        let nesting = tokens.iter().filter(|token| nests(token)).count();
        if nesting > MAX_NESTING {
            let message = format!(
                "the query has {nesting} operators and brackets, over the limit of {MAX_NESTING}; use lists (IN) or shorten it"
            );
            return Err(QueryError::Invalid { message, sqlstate: "54001" });
        }
        must_be_readable(&tokens)?;
        let statements = self.rewritten(sql)?;
        if statements.len() > MAX_STATEMENTS {
            let message = format!("more than {MAX_STATEMENTS} statements in one text; send fewer");
            return Err(QueryError::Invalid { message, sqlstate: "54001" });
        }
        must_not_be_misread(&statements)?;
        Ok(statements)
    }

    fn rewritten(&self, sql: &str) -> Result<Vec<Statement>, QueryError> {
        let mut statements = match Parser::parse_sql(&PostgreSqlDialect {}, sql) {
            Ok(statements) if !statements.iter().all(asks_the_catalog_alone) => {
                // Some of it is something else once it is rewritten.
                must_not_be_misread(&statements)?;
                let rewrite = |statement| {
                    self.of_rows.iter().fold(statement, |statement, rule| rule.rewrite(statement))
                };
                statements.into_iter().map(rewrite).collect()
            }
            Ok(mut statements) => {
                let another = statements.iter_mut().fold(false, |any, one| as_meant(one) | any);
                let texts: Vec<String> = statements.iter().map(ToString::to_string).collect();
                let text = if another { &texts.join("; ") } else { sql };
                self.of_catalog.parse(text).map_err(|error| syntax(&error))?
            }
            // What only PostgreSQL's clients say may not parse as it is.
            Err(_) => self.of_catalog.parse(sql).map_err(|error| syntax(&error))?,
        };
        let rows = statements.iter_mut().filter(|statement| !asks_the_catalog_alone(statement));
        rows.for_each(patterns::of_whole_texts);
        Ok(statements)
    }

    /// The one statement of `sql`.
    pub(crate) fn parse_one(&self, sql: &str) -> Result<Statement, QueryError> {
        let mut statements = self.parse(sql)?;
        match (statements.pop(), statements.is_empty()) {
            (Some(statement), true) => Ok(statement),
            (None, _) => Err(QueryError::BadRequest {
                problem: "the query is empty; send a SELECT".to_owned(),
            }),
            (Some(_), false) => Err(QueryError::BadRequest {
                problem: "more than one statement; send them one by one".to_owned(),
            }),
        }
    }
}

fn syntax(error: &dyn Error) -> QueryError {
    QueryError::Invalid { message: error.to_string(), sqlstate: "42601" }
}

fn must_not_be_misread(statements: &[Statement]) -> Result<(), QueryError> {
    // What is made up for the catalog is not asked of events.
    let rows = statements.iter().filter(|statement| !asks_the_catalog_alone(statement));
    match rows.filter_map(misread).next() {
        Some(Misread { sqlstate, message }) => {
            Err(QueryError::Invalid { message: message.to_owned(), sqlstate })
        }
        None => Ok(()),
    }
}

/// Whether `statement` names relations of PostgreSQL's catalog, and none with events.
fn asks_the_catalog_alone(statement: &Statement) -> bool {
    let (mut catalog, mut rows) = (false, false);
    let _all = visit_relations(statement, |name: &ObjectName| {
        let mut parts = name.0.iter().rev().filter_map(|part| part.as_ident());
        let own = parts.next().map(|part| part.value.to_lowercase()).unwrap_or_default();
        let schema = parts.next().map(|part| part.value.to_lowercase());
        match schema.as_deref() {
            Some(PG_CATALOG | INFORMATION_SCHEMA) => catalog = true,
            _ if own == EVENTS || View::named(&own).is_some() => rows = true,
            _ => catalog |= own.starts_with("pg_"),
        }
        ControlFlow::<()>::Continue(())
    });
    catalog && !rows
}

/// Whether something may be nested by `token`.
fn nests(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::UNION
                | Keyword::INTERSECT
                | Keyword::EXCEPT
                | Keyword::SELECT
                | Keyword::CASE
                | Keyword::JOIN
                | Keyword::IS
                | Keyword::IN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::SIMILAR
                | Keyword::BETWEEN
                | Keyword::AT
                | Keyword::COLLATE
                | Keyword::INTERVAL
                | Keyword::OPERATOR
        ),
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Placeholder(_)
        | Token::Comma
        | Token::Period
        | Token::SemiColon
        | Token::RParen
        | Token::RBracket
        | Token::Whitespace(_) => false,
        _ => true,
    }
}

/// Whether `statement` is a question; else what it is.
pub(crate) fn must_be_a_question(statement: &Statement) -> Result<(), QueryError> {
    let refused = |what: &str| Err(QueryError::ReadOnly { what: what.to_owned() });
    match statement {
        Statement::Query(query) => must_only_read(query),
        Statement::Explain { statement, .. } => match statement.as_ref() {
            Statement::Query(query) => must_only_read(query),
            _ => refused("EXPLAIN of anything but a question"),
        },
        other => {
            let text = other.to_string();
            let verb: Vec<_> = text.split_whitespace().take(2).collect();
            refused(&format!("`{}`", verb.join(" ")))
        }
    }
}

/// The parts of a query that write. Deeper ones (in CTEs) do not plan, and the plan is verified as well.
fn must_only_read(query: &Query) -> Result<(), QueryError> {
    let refused = |what: &str| Err(QueryError::ReadOnly { what: what.to_owned() });
    if query.with.as_ref().is_some_and(|with| with.recursive) {
        let message = "recursive queries (WITH RECURSIVE) are not offered; join as often as needed";
        return Err(QueryError::Invalid { message: message.to_owned(), sqlstate: "0A000" });
    }
    if !query.locks.is_empty() {
        return refused("FOR UPDATE");
    }
    match query.body.as_ref() {
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
            refused("writing")
        }
        SetExpr::Select(select) if select.into.is_some() => refused("SELECT INTO"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer that is made up is worse than none.
    #[test]
    fn a_question_for_events_is_asked_as_it_stands() {
        let statements = Statements::new(64 * 1024);
        for sql in [
            "SELECT v.f, (SELECT count(*) FROM events e WHERE e.family = v.f) AS n FROM (VALUES ('a')) AS v (f)",
            "SELECT (SELECT events.reason FROM events) AS r",
            "SELECT (SELECT count(*) FROM public.commands WHERE statement = $1) AS n",
            "SELECT c.statement, (SELECT max(r.rows) FROM responses AS r WHERE r.command_id = c.command_id) FROM commands AS c",
            "SELECT (SELECT count(*) FROM events AS e WHERE e.family = t.typname) FROM pg_catalog.pg_type AS t",
            "SELECT (SELECT v.n) FROM (VALUES (1)) AS v (n)",
            "EXPLAIN SELECT (SELECT count(*) FROM EVENTS AS e WHERE e.family = v.f) FROM (VALUES ('a')) AS v (f)",
        ] {
            assert_eq!(statements.parse_one(sql).unwrap().to_string(), sql);
        }
        // What psql asks of the catalog still becomes what can be planned.
        let psql = "SELECT (SELECT d.adbin FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid) FROM pg_catalog.pg_attribute a";
        assert_eq!(
            statements.parse_one(psql).unwrap().to_string(),
            "SELECT NULL FROM pg_catalog.pg_attribute a"
        );
    }

    fn judged(sql: &str) -> Result<(), QueryError> {
        let statements = Statements::new(64 * 1024);
        must_be_a_question(&statements.parse_one(sql)?)
    }

    #[test]
    fn questions_pass() {
        for sql in [
            "SELECT 1",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "VALUES (1)",
            "EXPLAIN SELECT 1",
            "SELECT 1;",
        ] {
            judged(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }

    #[test]
    fn everything_else_is_named_and_refused() {
        for sql in [
            "INSERT INTO events VALUES (1)",
            "UPDATE events SET time = NULL",
            "DELETE FROM events",
            "CREATE TABLE t (a int)",
            "CREATE VIEW v AS SELECT 1",
            "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
            "DROP VIEW commands",
            "COPY events TO '/tmp/x'",
            "COPY (SELECT 1) TO '/tmp/x'",
            "SET datafusion.execution.batch_size = 1",
            "SELECT 1 INTO t",
            "TRUNCATE events",
            "EXPLAIN DELETE FROM events",
            "SELECT * FROM events FOR UPDATE",
            "CALL f()",
            "PREPARE p AS SELECT 1",
        ] {
            let error = judged(sql).expect_err(sql);
            assert!(
                matches!(error, QueryError::ReadOnly { .. } | QueryError::Invalid { .. }),
                "{sql}: {error:?}"
            );
        }
    }

    #[test]
    fn bounds_are_said() {
        let statements = Statements::new(1000);
        let long = format!("SELECT '{}'", "x".repeat(1000));
        assert!(matches!(statements.parse(&long), Err(QueryError::TooLong { max: 1000, .. })));
        let statements = Statements::new(1_000_000);
        let deep = format!("SELECT 1{}", "+1".repeat(MAX_NESTING));
        assert_eq!(statements.parse(&deep).unwrap_err().sqlstate(), "54001");
        let flat = format!("SELECT 1 WHERE 1 IN (1{})", ", 1".repeat(20_000));
        assert_eq!(statements.parse(&flat).unwrap().len(), 1, "a list is flat");
        let many = "SELECT 1;".repeat(MAX_STATEMENTS + 1);
        assert_eq!(statements.parse(&many).unwrap_err().sqlstate(), "54001");
    }
}
