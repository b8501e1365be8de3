//! What was asked, decided, sent and answered: API Activity for decisions, Datastore Activity for the rest.

use std::borrow::Cow;

use super::class::{Class, OTHER, Word, control, datastore, severity, status};
use super::fragments::Part;
use super::identity::{name, target};
use super::objects::{
    Api, Authorization, Database, Policy, QueryInfo, Request, Resource, Service, Table, cut, owned,
    text,
};
use super::value::Value;
use crate::{
    Command, Decision, Disposition, Effect, Event, Phase, Query, QueryPhase, Response,
    ResponseStatus, ResponseSummary, StatementKind,
};

/// OCSF's copy of a statement is cut here; the own facts have the whole.
const MAX_QUERY_STRING_BYTES: usize = 64 * 1024;

/// What joins of names may grow to.
const MAX_JOINED_BYTES: usize = 256;

/// A decision is a call on a policy, about any kind of target, so its class is API Activity: the actions are the
/// operation, the resources the resources, and the profile `security_control` says what came of it.
pub(super) fn decision<'a>(value: &mut Value<'a>, event: &'a Event, it: &'a Decision) {
    ends(value, event);
    let actions = joined(&it.actions);
    let activity = api_activity(&it.actions);
    value.is(Class::ApiActivity, activity.unwrap_or((OTHER, "Other")));
    value.api = Some(Api {
        operation: owned(actions.clone()),
        service: event
            .context
            .target
            .as_ref()
            .map(|target| Service { name: text(&target.name), ..Service::default() }),
        request: it
            .command_id
            .map(|id| Request { uid: Some(id.to_string()), ..Request::default() }),
        ..Api::default()
    });
    let resource = |name: &'a String| Resource { name: text(name), ..Resource::default() };
    value.resources =
        (!it.resources.is_empty()).then(|| it.resources.iter().map(resource).collect());
    value.policy = Some(policy(it, None));
    value.authorizations = Some(authorizations(it));
    let who = name(event);
    match it.effect {
        Effect::Allow => {
            value.control(control::ALLOWED);
            value.status(status::SUCCESS);
            value.message(&format!("{who} may {actions} on {}", target(event)));
        }
        Effect::Deny => {
            value.control(control::UNAUTHORIZED);
            value.severity(severity::MEDIUM);
            value.status(status::FAILURE);
            value.status_code = text("denied");
            value.message(&format!("{who} may not {actions} on {}", target(event)));
        }
        Effect::Pause => {
            value.control(control::PAUSED);
            value.status(status::SUSPENDED);
            value.status_code = text("approval_required");
            value.message(&format!("{actions} of {who} on {} waits for approval", target(event)));
        }
    }
    value.status_detail = (!it.reasons.is_empty()).then(|| Cow::Owned(it.reasons.join("; ")));
}

fn policy<'a>(it: &'a Decision, id: Option<&'a str>) -> Policy<'a> {
    Policy {
        uid: id.and_then(text),
        r#type: Some("Cedar"),
        version: text(&it.policy_version),
        is_applied: id.map(|_| true),
        ..Policy::default()
    }
}

/// One per determining policy; one without an id where nothing permits.
fn authorizations<'a>(it: &'a Decision) -> Vec<Authorization<'a>> {
    let one = |id: Option<&'a str>| Authorization {
        decision: Some(it.effect.as_str()),
        policy: Some(policy(it, id)),
        ..Authorization::default()
    };
    if it.policy_ids.is_empty() {
        return vec![one(None)];
    }
    it.policy_ids.iter().map(|id| one(Some(id))).collect()
}

/// The gravest of what is asked for, by the verb after the colon: `sql:select` reads.
fn api_activity(actions: &[String]) -> Option<Word> {
    const READ: Word = (2, "Read");
    const CREATE: Word = (1, "Create");
    const UPDATE: Word = (3, "Update");
    const DELETE: Word = (4, "Delete");
    let of = |action: &String| match action.rsplit(':').next().unwrap_or(action) {
        "select" | "show" | "catalog" | "copyOut" | "read" | "readMasked" | "query" | "raw" => {
            Some(READ)
        }
        "insert" | "copyIn" => Some(CREATE),
        "update" | "merge" => Some(UPDATE),
        "delete" | "truncate" => Some(DELETE),
        _ => None,
    };
    let asked: Vec<_> = actions.iter().filter_map(of).collect();
    [DELETE, UPDATE, CREATE, READ].into_iter().find(|kind| asked.contains(kind))
}

/// A command: intent, on record before the target sees it.
pub(super) fn command<'a>(value: &mut Value<'a>, event: &'a Event, it: &'a Command) {
    ends(value, event);
    let database = Part::Written(&event.context.fragments().database);
    value.is(Class::DatastoreActivity, activity_of(it));
    let tables: Vec<_> = it.tables.iter().map(ToString::to_string).collect();
    about(value, database, &tables);
    value.query_info = it.statement.as_deref().map(|statement| QueryInfo {
        uid: Some(it.command_id.to_string()),
        query_string: text(cut(statement, MAX_QUERY_STRING_BYTES)),
        ..QueryInfo::default()
    });
    let who = name(event);
    let what = if tables.is_empty() {
        it.phase.to_string()
    } else {
        format!("{} on {}", it.phase, joined(&tables))
    };
    match it.disposition {
        Disposition::Forwarded => {
            value.control(control::ALLOWED);
            value.status(status::INTENT);
            value.message(&format!("{who} sends {what} to {}", target(event)));
        }
        Disposition::Refused => {
            value.control(control::BLOCKED);
            value.severity(severity::MEDIUM);
            value.status(status::FAILURE);
            value.status_code = text("refused");
            value.message(&format!("{what} of {who} to {} was refused", target(event)));
        }
        Disposition::Abandoned => {
            value.control(control::ABANDONED);
            value.status(status::FAILURE);
            value.status_code = text("abandoned");
            value.message(&format!("{who} left before {what} to {} was decided", target(event)));
        }
    }
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
    ends(value, event);
    let database = Part::Written(&event.context.fragments().database);
    let who = name(event);
    match it {
        Response::Chunk { rows, .. } => {
            value.is(Class::DatastoreActivity, datastore::READ);
            about(value, database, &[]);
            value.status(status::PARTIAL);
            value.message(&format!("{who} receives {rows} rows of {}, more follow", target(event)));
        }
        Response::Completed(summary) => completed(value, event, summary),
        Response::Unsolicited { kinds, .. } => {
            value.is(Class::DatastoreActivity, (OTHER, "Unsolicited"));
            about(value, database, &[]);
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
    about(value, Part::Written(&event.context.fragments().database), &tables);
    value.control(if it.masked_values > 0 { control::MASKED } else { control::ALLOWED });
    value.status(match it.status {
        ResponseStatus::Ok => status::SUCCESS,
        ResponseStatus::Error | ResponseStatus::Interrupted => status::FAILURE,
        ResponseStatus::Suspended => status::SUSPENDED,
        ResponseStatus::CopyStarted => status::COPY_STARTED,
    });
    value.status_code = text(it.sqlstate.as_deref().unwrap_or(it.status.as_str()));
    value.duration = Some(it.duration_us / 1_000);
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
    about(value, audit.into(), &it.relations);
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

/// Who acts, from where, to where. Both classes demand the first two.
fn ends<'a>(value: &mut Value<'a>, event: &'a Event) {
    let written = event.context.fragments();
    value.actor = Some(Part::Written(&written.actor));
    value.src_endpoint = Some(Part::Written(&written.src_endpoint));
    value.dst_endpoint = written.dst_endpoint.as_ref().map(Part::Written);
}

/// OCSF has room for one table; where there are more it is the database that was touched.
fn about<'a>(value: &mut Value<'a>, database: Part<'a, Database<'a>>, tables: &[String]) {
    let table = match tables {
        [table] => Some(Table { name: owned(table.clone()), ..Table::default() }),
        _ => None,
    };
    let (type_id, kind) = if table.is_some() { (3, "Table") } else { (1, "Database") };
    (value.type_id, value.r#type) = (Some(type_id), Some(kind));
    value.database = Some(database);
    value.table = table;
}

fn joined(names: &[String]) -> String {
    let mut all = names.join(", ");
    all.truncate(all.floor_char_boundary(MAX_JOINED_BYTES));
    all
}
