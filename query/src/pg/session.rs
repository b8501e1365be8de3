//! Statements about the session itself, which drivers send by themselves. They read nothing and change nothing.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{Set, Statement};
use datafusion_postgres::pgwire::api::results::{
    DataRowEncoder, FieldFormat, FieldInfo, QueryResponse, Response, Tag,
};
use datafusion_postgres::pgwire::api::{ClientInfo, Type};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::response::TransactionStatus;
use futures::stream;

use super::wire;
use crate::described::setting;
use crate::error::QueryError;

/// Settings that a client may set to anything: they bind only the client, or bounds that are stricter here anyway.
const HARMLESS: [&str; 7] = [
    "application_name",
    "client_min_messages",
    "extra_float_digits",
    "search_path",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
];

/// Settings that may be set only to what they are.
const FIXED: [(&str, &[&str]); 9] = [
    ("bytea_output", &["hex"]),
    ("client_encoding", &["utf8", "utf-8", "unicode"]),
    ("datestyle", &["iso", "iso, mdy", "iso, ymd", "iso, dmy"]),
    ("default_transaction_read_only", &["on", "true"]),
    ("intervalstyle", &["postgres"]),
    ("standard_conforming_strings", &["on"]),
    ("synchronize_seqscans", &["on", "off"]),
    ("timezone", &["utc", "etc/utc", "gmt"]),
    ("transaction_read_only", &["on", "true"]),
];

/// Whether `statement` is about the session.
pub(super) const fn is_about_session(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::StartTransaction { .. }
            | Statement::Commit { .. }
            | Statement::Rollback { .. }
            | Statement::Set(_)
            | Statement::Reset(_)
            | Statement::ShowVariable { .. }
            | Statement::Discard { .. }
            | Statement::Deallocate { .. }
    )
}

/// Whether an aborted transaction lets `statement` pass.
pub(super) fn ends_transaction(statement: &Statement) -> bool {
    matches!(statement, Statement::Commit { .. } | Statement::Rollback { .. })
}

/// Whether its answer has rows; `SHOW` has one column.
pub(super) fn columns(statement: &Statement) -> Vec<FieldInfo> {
    match statement {
        Statement::ShowVariable { variable } => {
            let name = variable.last().map_or("show", |name| name.value.as_str());
            vec![text_column(name)]
        }
        _ => Vec::new(),
    }
}

/// Answers a statement about the session.
pub(super) fn answer<C: ClientInfo>(client: &C, statement: &Statement) -> PgWireResult<Response> {
    let status = client.transaction_status();
    match statement {
        Statement::StartTransaction { .. } => Ok(match status {
            TransactionStatus::Idle => Response::TransactionStart(Tag::new("BEGIN")),
            _ => Response::Execution(Tag::new("BEGIN")),
        }),
        Statement::Commit { .. } if status == TransactionStatus::Error => {
            Ok(Response::TransactionEnd(Tag::new("ROLLBACK")))
        }
        Statement::Commit { .. } => Ok(Response::TransactionEnd(Tag::new("COMMIT"))),
        Statement::Rollback { .. } => Ok(Response::TransactionEnd(Tag::new("ROLLBACK"))),
        Statement::Set(set) => {
            may_set(set).map_err(|error| wire(&error))?;
            Ok(Response::Execution(Tag::new("SET")))
        }
        Statement::Reset(_) => Ok(Response::Execution(Tag::new("RESET"))),
        Statement::Discard { .. } => Ok(Response::Execution(Tag::new("DISCARD"))),
        Statement::Deallocate { .. } => Ok(Response::Execution(Tag::new("DEALLOCATE"))),
        Statement::ShowVariable { variable } => {
            let name: Vec<_> = variable.iter().map(|part| part.value.to_lowercase()).collect();
            show(client, &name.join("."))
        }
        other => Err(wire(&QueryError::ReadOnly { what: format!("`{other}`") })),
    }
}

fn may_set(set: &Set) -> Result<(), QueryError> {
    let (name, value) = match set {
        Set::SingleAssignment { variable, values, .. } => {
            let values: Vec<_> = values.iter().map(ToString::to_string).collect();
            (variable.to_string().to_lowercase(), values.join(", "))
        }
        Set::SetTimeZone { value, .. } => ("timezone".to_owned(), value.to_string()),
        Set::SetNames { charset_name, .. } => {
            ("client_encoding".to_owned(), charset_name.to_string())
        }
        Set::SetTransaction { modes, .. } => {
            let modes: Vec<_> = modes.iter().map(ToString::to_string).collect();
            let modes = modes.join(", ");
            if modes.contains("READ WRITE") {
                return Err(QueryError::ReadOnly { what: "a transaction that writes".to_owned() });
            }
            return Ok(());
        }
        other => return Err(QueryError::ReadOnly { what: format!("`{other}`") }),
    };
    let value = value.trim_matches(['\'', '"']).to_lowercase();
    let fixed = FIXED.iter().find(|(known, _)| *known == name);
    if HARMLESS.contains(&name.as_str()) || fixed.is_some_and(|(_, v)| v.contains(&value.as_str()))
    {
        return Ok(());
    }
    let sqlstate = if fixed.is_some() { "0A000" } else { "42704" };
    let message = match fixed {
        Some((_, values)) => {
            format!("`{name}` can only be set to {} here", values.join(" or "))
        }
        None => format!("`{name}` cannot be set here"),
    };
    Err(QueryError::Invalid { message, sqlstate })
}

fn show<C: ClientInfo>(client: &C, name: &str) -> PgWireResult<Response> {
    let application = client.metadata().get("application_name").map_or("", String::as_str);
    let known = match name {
        "application_name" => Some(application),
        // As the parser has `SHOW TIME ZONE` and `SHOW TRANSACTION ISOLATION LEVEL`.
        "time.zone" => setting("timezone"),
        "transaction.isolation.level" => setting("transaction_isolation"),
        _ => setting(name),
    };
    let value = match known {
        Some(value) => value,
        None => {
            let message = format!("`{name}` is no setting here");
            return Err(PgWireError::UserError(Box::new(ErrorInfo::new(
                "ERROR".to_owned(),
                "42704".to_owned(),
                message,
            ))));
        }
    };
    let fields = Arc::new(vec![text_column(name)]);
    let mut row = DataRowEncoder::new(Arc::clone(&fields));
    row.encode_field(&Some(value))?;
    let row = row.take_row();
    let mut response = QueryResponse::new(fields, stream::iter([Ok(row)]));
    response.set_command_tag("SHOW");
    Ok(Response::Query(response))
}

fn text_column(name: &str) -> FieldInfo {
    FieldInfo::new(name.to_owned(), None, None, Type::TEXT, FieldFormat::Text)
}
