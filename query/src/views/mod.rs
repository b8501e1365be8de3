//! The views: each is a SELECT over `events`, kept as a file of its own.

use std::sync::LazyLock;

use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

/// The table under all views; permission for it is permission for everything but the raw bytes.
pub(crate) const EVENTS: &str = "events";

/// One view.
#[derive(Debug)]
pub(crate) struct View {
    /// Its name, which is what policy speaks of.
    pub(crate) name: &'static str,
    sql: &'static str,
}

/// All views, `events` aside.
pub(crate) static VIEWS: [View; 12] = [
    View { name: "approvals", sql: include_str!("approvals.sql") },
    View { name: "authentications", sql: include_str!("authentications.sql") },
    View { name: "commands", sql: include_str!("commands.sql") },
    View { name: "decisions", sql: include_str!("decisions.sql") },
    View { name: "integrity", sql: include_str!("integrity.sql") },
    View { name: "policy_changes", sql: include_str!("policy_changes.sql") },
    View { name: "queries", sql: include_str!("queries.sql") },
    View { name: "responses", sql: include_str!("responses.sql") },
    View { name: "revocations", sql: include_str!("revocations.sql") },
    View { name: "session_events", sql: include_str!("session_events.sql") },
    View { name: "sessions", sql: include_str!("sessions.sql") },
    View { name: "tool_calls", sql: include_str!("tool_calls.sql") },
];

/// Where an event stands: in every view of single events.
const PLACE: &str = "time, event_id, session_id, session_seq, trace_id";

/// Who, on whose behalf: in every view of single events.
const WHO: &str = "principal_issuer, principal_subject, principal_name, principal_kind, \
     principal_groups, principal_owner, actor, on_behalf_of, delegation, agent_model, agent_name, \
     agent_task, client_ip";

/// The call of a tool that an event belongs to: in every view of what passes in a session.
const CALL: &str = "call_id, call_server, call_tool";

/// Where an event is proven, and by which the lake prunes: in every view of single events.
const PROOF: &str = "ingest_date, appended_at, log_partition, log_offset, producer_id, \
     producer_epoch, producer_seq";

impl View {
    /// The view of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        VIEWS.iter().find(|view| view.name == name)
    }

    /// Its SELECT.
    pub(crate) fn sql(&self) -> String {
        let parts = [("{place}", PLACE), ("{who}", WHO), ("{call}", CALL), ("{proof}", PROOF)];
        parts.iter().fold(self.sql.to_owned(), |sql, (name, part)| sql.replace(name, part))
    }

    /// Its SELECT, parsed once.
    pub(crate) fn statement(&self) -> Result<Statement, ParserError> {
        static PARSED: LazyLock<Vec<(&str, Result<Statement, ParserError>)>> =
            LazyLock::new(|| VIEWS.iter().map(|view| (view.name, view.parse())).collect());
        let missing = || ParserError::ParserError(format!("no view {}", self.name));
        let parsed = PARSED.iter().find(|(name, _)| *name == self.name);
        parsed.map_or_else(|| Err(missing()), |(_, statement)| statement.clone())
    }

    fn parse(&self) -> Result<Statement, ParserError> {
        let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, &self.sql())?;
        statements.pop().ok_or_else(|| ParserError::ParserError("an empty view".to_owned()))
    }
}
