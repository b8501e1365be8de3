//! What was sent to a database and answered, and what was asked of the audit: Datastore Activity.

use super::class::{Class, OTHER, Word, control, datastore, severity, status};
use super::fragments::Part;
use super::identity::{name, target};
use super::objects::{Database, QueryInfo, Table, cut, owned, text};
use super::traffic::{disposed, ended, ends, found, joined};
use super::value::Value;
use crate::{Command, Event, Phase, Query, QueryPhase, Response, ResponseSummary, StatementKind};

/// OCSF's copy of a statement is cut here; the own facts have the whole.
const MAX_QUERY_STRING_BYTES: usize = 64 * 1024;

/// A command: intent, on record before the target sees it.
pub(super) fn command<'a>(value: &mut Value<'a>, event: &'a Event, it: &'a Command) {
    let database = database(event);
    value.is(Class::DatastoreActivity, activity_of(it));
    let tables: Vec<_> = it.tables.iter().map(ToString::to_string).collect();
    about(value, database, &tables);
    value.query_info = it.statement.as_deref().map(|statement| QueryInfo {
        uid: Some(it.command_id.to_string()),
        query_string: text(cut(statement, MAX_QUERY_STRING_BYTES)),
        ..QueryInfo::default()
    });
    let what = if tables.is_empty() {
        it.phase.to_string()
    } else {
        format!("{} on {}", it.phase, joined(&tables))
    };
    disposed(value, event, it.disposition, &what);
}

/// The gravest of what its statements do: who looks for deletions finds them in a batch, too.
fn activity_of(it: &Command) -> Word {
    if it.phase == Phase::CopyData {
        return datastore::WRITE;
    }
    let gravest = it.kinds.iter().copied().max_by_key(|kind| gravity(*kind));
    gravest.map_or((OTHER, it.phase.as_str()), |kind| match kind {
        StatementKind::Delete | StatementKind::Truncate => datastore::DELETE,
        StatementKind::Update | StatementKind::Merge => datastore::UPDATE,
        StatementKind::Insert | StatementKind::CopyIn => datastore::WRITE,
        StatementKind::Select | StatementKind::Cursor => datastore::QUERY,
        StatementKind::CopyOut | StatementKind::Show | StatementKind::Explain => datastore::READ,
        other => (OTHER, other.as_str()),
    })
}

const fn gravity(kind: StatementKind) -> u8 {
    match kind {
        StatementKind::Delete | StatementKind::Truncate => 7,
        StatementKind::Ddl => 6,
        StatementKind::Update | StatementKind::Merge => 5,
        StatementKind::Insert | StatementKind::CopyIn => 4,
        StatementKind::Call | StatementKind::Other => 3,
        StatementKind::CopyOut => 2,
        StatementKind::Select | StatementKind::Cursor => 1,
        _ => 0,
    }
}

/// A response: outcome, on record before the agent sees it.
pub(super) fn response<'a>(value: &mut Value<'a>, event: &'a Event, it: &'a Response) {
    let database = database(event);
    let who = name(event);
    match it {
        Response::Chunk { rows, .. } => {
            value.is(Class::DatastoreActivity, datastore::READ);
            about(value, database, &[]);
            value.status(status::PARTIAL);
            value.message(&format!("{who} receives {rows} rows of {}, more follow", target(event)));
        }
        Response::Completed(summary) => completed(value, event, summary),
        Response::Unsolicited { kinds, findings, .. } => {
            value.is(Class::DatastoreActivity, (OTHER, "Unsolicited"));
            about(value, database, &[]);
            found(value, findings);
            value.status(status::SUCCESS);
            let kinds = joined(kinds);
            value.message(&format!("{who} receives {kinds} of {}", target(event)));
        }
    }
}

fn completed<'a>(value: &mut Value<'a>, event: &'a Event, it: &'a ResponseSummary) {
    value.is(Class::DatastoreActivity, activity_of_tag(it.tag.as_deref()));
    let mut tables: Vec<_> = it
        .columns
        .iter()
        .filter_map(|column| column.origin.as_ref())
        .map(|origin| match &origin.schema {
            Some(schema) => format!("{schema}.{}", origin.table),
            None => origin.table.clone(),
        })
        .collect();
    tables.sort();
    tables.dedup();
    about(value, database(event), &tables);
    ended(value, it);
    found(value, &it.findings);
    value.message(&format!(
        "{} receives {} rows of {}: {}, {} values masked",
        name(event),
        it.rows,
        target(event),
        it.status,
        it.masked_values
    ));
}

/// The target tells what it did by the first word of its tag.
fn activity_of_tag(tag: Option<&str>) -> Word {
    match tag.and_then(|tag| tag.split(' ').next()) {
        Some("SELECT" | "FETCH") => datastore::QUERY,
        Some("SHOW" | "EXPLAIN" | "COPY") => datastore::READ,
        Some("INSERT") => datastore::WRITE,
        Some("UPDATE" | "MERGE") => datastore::UPDATE,
        Some("DELETE" | "TRUNCATE") => datastore::DELETE,
        _ => (OTHER, "Response"),
    }
}

/// A question to the audit: the audit is a datastore, too.
pub(super) fn query<'a>(value: &mut Value<'a>, event: &'a Event, it: &'a Query) {
    ends(value, event);
    value.is(Class::DatastoreActivity, datastore::QUERY);
    let audit = Database {
        name: text("tallyport-audit"),
        r#type: Some("Lakehouse"),
        type_id: Some(OTHER),
        ..Database::default()
    };
    about(value, Some(audit.into()), &it.relations);
    value.query_info = Some(QueryInfo {
        uid: Some(it.query_id.to_string()),
        query_string: text(cut(&it.sql, MAX_QUERY_STRING_BYTES)),
        ..QueryInfo::default()
    });
    let who = name(event);
    match &it.phase {
        QueryPhase::Started => {
            value.control(control::ALLOWED);
            value.status(status::INTENT);
            value.message(&format!("{who} asks the audit"));
        }
        QueryPhase::Completed { rows, duration_us } => {
            value.control(control::ALLOWED);
            value.status(status::SUCCESS);
            value.duration = Some(duration_us / 1_000);
            value.message(&format!("{who} received {rows} rows of the audit"));
        }
        QueryPhase::Denied { reason } => {
            value.control(control::UNAUTHORIZED);
            value.severity(severity::MEDIUM);
            value.status(status::FAILURE);
            value.status_code = text("denied");
            value.status_detail = text(reason);
            value.message(&format!("{who} may not ask the audit this"));
        }
        QueryPhase::Failed { error } => {
            value.control(control::FAILED);
            value.status(status::FAILURE);
            value.status_code = text("failed");
            value.status_detail = text(error);
            value.message(&format!("a question of {who} to the audit failed"));
        }
    }
}

fn database(event: &Event) -> Option<Part<'_, Database<'_>>> {
    event.context.fragments().database.as_ref().map(Part::Written)
}

/// OCSF has room for one table; where there are more it is the database that was touched.
fn about<'a>(value: &mut Value<'a>, database: Option<Part<'a, Database<'a>>>, tables: &[String]) {
    let table = match tables {
        [table] => Some(Table { name: owned(table.clone()), ..Table::default() }),
        _ => None,
    };
    let (type_id, kind) = if table.is_some() { (3, "Table") } else { (1, "Database") };
    (value.type_id, value.r#type) = (Some(type_id), Some(kind));
    value.database = database;
    value.table = table;
}
