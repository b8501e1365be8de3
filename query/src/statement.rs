//! What a text asks for. Only questions pass; everything else is named and refused.

use datafusion::sql::sqlparser::ast::{Query, SetExpr, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use datafusion_postgres::datafusion_pg_catalog::sql::PostgresCompatibilityParser;

use crate::error::QueryError;

/// Words and signs of one text that may nest something: a chain of so many operators still fits a thread's stack,
/// also when it is dropped. Lists of values are flat and do not count.
const MAX_NESTING: usize = 1_000;
/// Statements in one text.
const MAX_STATEMENTS: usize = 16;

/// Parses texts in PostgreSQL's dialect, with the rewrites that PostgreSQL's own clients need.
#[derive(Debug)]
pub(crate) struct Statements {
    parser: PostgresCompatibilityParser,
    max_bytes: usize,
}

impl Statements {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { parser: PostgresCompatibilityParser::new(), max_bytes }
    }

    /// The statements of `sql`; none when it is empty.
    pub(crate) fn parse(&self, sql: &str) -> Result<Vec<Statement>, QueryError> {
        if sql.len() > self.max_bytes {
            return Err(QueryError::TooLong { bytes: sql.len(), max: self.max_bytes });
        }
        let syntax = |message: String| QueryError::Invalid { message, sqlstate: "42601" };
        let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize();
        let tokens = tokens.map_err(|error| syntax(error.to_string()))?;
        let nesting = tokens.iter().filter(|token| nests(token)).count();
        if nesting > MAX_NESTING {
            let message = format!(
                "the query has {nesting} operators and brackets, over the limit of {MAX_NESTING}; use lists (IN) or shorten it"
            );
            return Err(QueryError::Invalid { message, sqlstate: "54001" });
        }
        let statements = self.parser.parse(sql).map_err(|error| syntax(error.to_string()))?;
        if statements.len() > MAX_STATEMENTS {
            let message = format!("more than {MAX_STATEMENTS} statements in one text; send fewer");
            return Err(QueryError::Invalid { message, sqlstate: "54001" });
        }
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
