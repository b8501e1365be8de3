//! A door for the fuzz target of questions: what a text is taken for, and which rows it names.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{ObjectName, Statement, visit_relations};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::config::Limits;
use crate::size;
use crate::statement::{Statements, must_be_a_question};
use crate::views::{EVENTS, View};

/// Reads texts as both faces do, before anything is planned.
#[derive(Debug)]
pub struct Questions(Statements);

/// One statement of a text, as the engine gets it.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    /// Its text after the rewrites.
    pub text: String,
    /// Whether it is planned: a question that names few enough things.
    pub is_asked: bool,
    /// The views that it names, and the table, in order.
    pub rows: Vec<String>,
}

impl Questions {
    /// With the limits of a service that sets none.
    #[must_use]
    pub fn new() -> Self {
        Self(Statements::new(Limits::default().max_sql_bytes))
    }

    /// The statements of a text; `None` where it is refused as a whole.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<Vec<Read>> {
        let statements = self.0.parse(text).ok()?;
        let read = |statement: &Statement| {
            let asked = must_be_a_question(statement).and_then(|()| size::must_name_few(statement));
            let (text, rows) = (statement.to_string(), rows(statement));
            Read { text, is_asked: asked.is_ok(), rows }
        };
        Some(statements.iter().map(read).collect())
    }
}

impl Default for Questions {
    fn default() -> Self {
        Self::new()
    }
}

/// What a text names as it stands, for each of its statements; `None` where PostgreSQL's grammar does not have it.
#[must_use]
pub fn named(text: &str) -> Option<Vec<Vec<String>>> {
    let statements = Parser::parse_sql(&PostgreSqlDialect {}, text).ok()?;
    Some(statements.iter().map(rows).collect())
}

fn rows(statement: &Statement) -> Vec<String> {
    let mut named = Vec::new();
    let _all = visit_relations(statement, |name: &ObjectName| {
        let own = name.0.last().and_then(|part| part.as_ident());
        let own = own.map(|ident| ident.value.to_lowercase()).unwrap_or_default();
        if own == EVENTS || View::named(&own).is_some() {
            named.push(own);
        }
        ControlFlow::<()>::Continue(())
    });
    named
}
