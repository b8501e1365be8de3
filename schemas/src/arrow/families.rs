//! The part of a row that its family fills.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::columns::Row;
use super::row::{all_written, instant, int, maybe, text, texts, written};
use crate::{
    Approval, ApprovalRequest, Asked, AskedCommand, AuthMethod, Authentication, Body, Command,
    Content, Decision, Integrity, OutputColumn, Parameter, PolicyChange, Principal, Query,
    QueryPhase, Response, ResponseSummary, Revocation, RevocationOrder, Session, SessionStats,
};

pub(super) fn fill<'a>(row: &mut Row<'a>, body: &'a Body) {
    match body {
        Body::Authentication(authentication) => fill_authentication(row, authentication),
        Body::Session(session) => fill_session(row, session),
        Body::Decision(decision) => fill_decision(row, decision),
        Body::Command(command) => fill_command(row, command),
        Body::Response(response) => fill_response(row, response),
        Body::Approval(approval) => fill_approval(row, approval),
        Body::Revocation(revocation) => fill_revocation(row, revocation),
        Body::Policy(change) => fill_policy(row, change),
        Body::Query(query) => fill_query(row, query),
        Body::Integrity(integrity) => fill_integrity(row, integrity),
    }
}

fn fill_authentication<'a>(row: &mut Row<'a>, authentication: &'a Authentication) {
    row.outcome = text(authentication.outcome.as_str());
    row.failure = maybe(authentication.failure.as_ref());
    row.reason = maybe(authentication.message.as_ref());
    row.auth_method = text(authentication.method.as_str());
    row.front = text(authentication.front.as_str());
    row.token_id = maybe(authentication.token_id.as_ref());
    row.key_id = maybe(authentication.key_id.as_ref());
    row.expires_at = authentication.expires_at.and_then(instant);
    // A refused token names nobody, but whose it claimed to be is what one asks by.
    if row.principal_issuer.is_none() {
        row.principal_issuer = maybe(authentication.issuer.as_ref());
    }
}

fn fill_session<'a>(row: &mut Row<'a>, session: &'a Session) {
    match session {
        Session::Opened { expires_at, application, .. } => {
            row.expires_at = expires_at.and_then(instant);
            row.application = maybe(application.as_ref());
        }
        Session::Granted { grant_id, expires_at } => {
            row.approval_id = written(grant_id);
            row.expires_at = instant(*expires_at);
        }
        Session::Expired { cause, stats } => {
            row.outcome = text("expired");
            row.failure = text(cause);
            fill_stats(row, *stats);
        }
        Session::Revoked { reason, stats, revocation_id, .. } => {
            row.outcome = text("revoked");
            row.revocation_id = revocation_id.and_then(written);
            row.reason = text(reason);
            fill_stats(row, *stats);
        }
        Session::Closed { end, stats } => {
            row.outcome = text(end.as_str());
            fill_stats(row, *stats);
        }
        Session::Lost { cause, message, stats } => {
            row.outcome = text("lost");
            row.failure = text(cause);
            row.reason = text(message);
            fill_stats(row, *stats);
        }
    }
}

fn fill_stats(row: &mut Row<'_>, stats: SessionStats) {
    row.rows = int(stats.rows);
    row.bytes = int(stats.bytes_to_agent);
}

fn fill_decision<'a>(row: &mut Row<'a>, decision: &'a Decision) {
    row.outcome = text(decision.effect.as_str());
    row.reason = (!decision.reasons.is_empty()).then(|| Cow::Owned(decision.reasons.join("; ")));
    row.actions = texts(&decision.actions);
    row.resources = texts(&decision.resources);
    row.policy_ids = texts(&decision.policy_ids);
    row.policy_version = text(&decision.policy_version);
    row.obligations = all_written(&decision.obligations);
    row.command_id = decision.command_id.and_then(written);
}

fn fill_command<'a>(row: &mut Row<'a>, command: &'a Command) {
    row.outcome = text(command.disposition.as_str());
    row.command_id = written(command.command_id);
    row.phase = text(command.phase.as_str());
    row.statement = maybe(command.statement.as_ref());
    row.statement_sha256 = maybe(command.statement_sha256.as_ref());
    row.fingerprint = maybe(command.fingerprint.as_ref());
    row.kinds = command.kinds.iter().map(|kind| Cow::Borrowed(kind.as_str())).collect();
    row.tables = all_written(&command.tables);
    row.columns = all_written(&command.columns);
    row.functions = texts(&command.functions);
    row.labels = texts(&command.labels);
    row.read_only = Some(command.read_only);
    row.opaque = Some(command.opaque);
    row.parameters = parameters(&command.parameters);
    row.prepared = maybe(command.prepared.as_ref());
    row.portal = maybe(command.portal.as_ref());
    row.chunk = command.chunk.and_then(int);
    row.command_definition_sha256 = maybe(command.definition_sha256.as_ref());
    fill_wire(row, command.wire_bytes, &command.wire_sha256, command.content.as_ref());
}

/// As JSON. Texts and numbers only, so this cannot fail; `raw` holds them in any case.
fn parameters<'a>(all: &[Parameter]) -> Option<Cow<'a, str>> {
    let written = (!all.is_empty()).then(|| serde_json::to_string(all));
    written.and_then(Result::ok).map(Cow::Owned)
}

fn fill_wire<'a>(row: &mut Row<'a>, bytes: u64, sha256: &'a str, content: Option<&'a Content>) {
    row.wire_bytes = int(bytes);
    row.wire_sha256 = text(sha256);
    row.content_sha256 = content.and_then(|content| text(&content.sha256));
}

fn fill_response<'a>(row: &mut Row<'a>, response: &'a Response) {
    match response {
        Response::Chunk { command_id, chunk, rows, wire_bytes, wire_sha256, content } => {
            row.command_id = command_id.and_then(written);
            row.chunk = int(*chunk);
            row.rows = int(*rows);
            fill_wire(row, *wire_bytes, wire_sha256, content.as_ref());
        }
        Response::Completed(summary) => fill_summary(row, summary),
        Response::Unsolicited { kinds, wire_bytes, wire_sha256, content, findings } => {
            row.kinds = texts(kinds);
            row.findings = all_written(findings);
            fill_wire(row, *wire_bytes, wire_sha256, content.as_ref());
        }
    }
}

fn fill_summary<'a>(row: &mut Row<'a>, summary: &'a ResponseSummary) {
    row.outcome = text(summary.status.as_str());
    row.command_id = written(summary.command_id);
    row.tag = maybe(summary.tag.as_ref());
    row.sqlstate = maybe(summary.sqlstate.as_ref());
    row.rows = int(summary.rows);
    row.bytes = int(summary.bytes);
    row.columns = all_written(origins(&summary.columns));
    row.tables = all_written(origin_tables(&summary.columns));
    let labels: BTreeSet<_> = summary.columns.iter().flat_map(|column| &column.labels).collect();
    row.labels = texts(labels);
    let masked = summary.columns.iter().filter(|column| column.mask.is_some());
    row.masked_columns = masked.map(column_name).collect();
    row.masked_values = int(summary.masked_values);
    row.recording = written(summary.recording);
    row.chunks = int(summary.chunks);
    row.duration_us = int(summary.duration_us);
    row.findings = all_written(&summary.findings);
    fill_wire(row, summary.wire_bytes, &summary.wire_sha256, summary.content.as_ref());
}

fn origins(columns: &[OutputColumn]) -> BTreeSet<&crate::ColumnRef> {
    columns.iter().filter_map(|column| column.origin.as_ref()).collect()
}

fn origin_tables(columns: &[OutputColumn]) -> BTreeSet<crate::ObjectRef> {
    let table = |column: &crate::ColumnRef| crate::ObjectRef {
        schema: column.schema.clone(),
        name: column.table.clone(),
    };
    origins(columns).into_iter().map(table).collect()
}

/// Where it comes from; for a masked expression the name the agent sees.
fn column_name(column: &OutputColumn) -> Cow<'_, str> {
    column
        .origin
        .as_ref()
        .map_or(Cow::Borrowed(column.name.as_str()), |origin| Cow::Owned(origin.to_string()))
}

fn fill_approval<'a>(row: &mut Row<'a>, approval: &'a Approval) {
    row.approval_id = written(approval.approval_id());
    match approval {
        Approval::Requested(request) => fill_asked(row, request),
        Approval::Granted { reviewer, comment, webhook, .. } => {
            row.outcome = text("granted");
            fill_review(row, reviewer, comment.as_ref());
            fill_webhook(row, webhook.as_ref());
        }
        Approval::Denied { reviewer, comment, webhook, .. } => {
            row.outcome = text("denied");
            fill_review(row, reviewer, comment.as_ref());
            fill_webhook(row, webhook.as_ref());
        }
        Approval::Expired { .. } => row.outcome = text("expired"),
        Approval::Withdrawn { cause, .. } => {
            row.outcome = text("withdrawn");
            row.failure = text(cause);
        }
        Approval::Notified { webhook, step, .. } => {
            row.outcome = text("notified");
            row.reason = text(step);
            fill_webhook(row, Some(webhook));
        }
        Approval::Used { command_id, digest, .. } => {
            row.outcome = text("used");
            row.command_id = written(command_id);
            row.digest = text(digest);
        }
    }
}

/// The way by which somebody answered, or was told.
fn fill_webhook<'a>(row: &mut Row<'a>, webhook: Option<&'a String>) {
    if let Some(webhook) = webhook {
        row.auth_method = text(AuthMethod::Webhook.as_str());
        row.resources = vec![Cow::Owned(format!("webhook/{webhook}"))];
    }
}

fn fill_asked<'a>(row: &mut Row<'a>, request: &'a ApprovalRequest) {
    row.digest = text(&request.digest);
    row.reason = (!request.reasons.is_empty()).then(|| Cow::Owned(request.reasons.join("; ")));
    row.expires_at = instant(request.expires_at);
    row.policy_ids = texts(&request.policy_ids);
    row.policy_version = text(&request.policy_version);
    row.obligations = all_written(&request.requirements);
    match &request.asked {
        Asked::Command(command) => fill_asked_command(row, command),
        // Why policy asks for it is among its policies; why it is wanted is what one asks for.
        Asked::Access(access) => row.reason = text(&access.reason),
    }
}

fn fill_asked_command<'a>(row: &mut Row<'a>, command: &'a AskedCommand) {
    row.command_id = written(command.command_id);
    row.statement = text(&command.statement);
    row.parameters = parameters(&command.parameters);
    row.kinds = all_written(&command.kinds);
    row.tables = all_written(&command.tables);
    row.columns = all_written(&command.columns);
    row.functions = texts(&command.functions);
    row.labels = texts(&command.labels);
    row.read_only = Some(command.read_only);
    row.opaque = Some(command.opaque);
}

fn fill_review<'a>(row: &mut Row<'a>, reviewer: &'a Principal, comment: Option<&'a String>) {
    row.reviewer_issuer = text(&reviewer.issuer);
    row.reviewer_subject = text(&reviewer.subject);
    row.reviewer_name = text(&reviewer.display_name);
    row.reason = maybe(comment);
}

fn fill_revocation<'a>(row: &mut Row<'a>, revocation: &'a Revocation) {
    row.outcome = text(revocation.activity());
    row.revocation_id = written(revocation.revocation_id());
    match revocation {
        Revocation::Revoked(order) | Revocation::Carried(order) => fill_order(row, order),
        Revocation::Lifted { reason, .. } => row.reason = text(reason),
    }
}

fn fill_order<'a>(row: &mut Row<'a>, order: &'a RevocationOrder) {
    row.kinds = vec![Cow::Borrowed(order.revoked.kind())];
    row.resources = vec![Cow::Owned(order.revoked.name())];
    row.reason = text(&order.reason);
    row.expires_at = order.until.and_then(instant);
}

fn fill_policy<'a>(row: &mut Row<'a>, change: &'a PolicyChange) {
    match change {
        PolicyChange::Loaded { kind, version, source, .. } => {
            row.outcome = text("loaded");
            row.policy_version = text(version);
            row.kinds = vec![Cow::Borrowed(kind.as_str())];
            row.resources = vec![Cow::Borrowed(source)];
        }
        PolicyChange::Rejected { kind, kept, source, error } => {
            row.outcome = text("rejected");
            row.policy_version = text(kept);
            row.kinds = vec![Cow::Borrowed(kind.as_str())];
            row.resources = vec![Cow::Borrowed(source)];
            row.reason = text(error);
        }
        PolicyChange::ToolDefinition { server, tool, state, sha256, reason, .. } => {
            row.outcome = text(state.as_str());
            row.policy_version = maybe(sha256.as_ref());
            row.kinds = vec![Cow::Borrowed("tool")];
            row.resources = vec![Cow::Owned(format!("{server}/{tool}"))];
            row.call_server = text(server);
            row.call_tool = text(tool);
            row.reason = maybe(reason.as_ref());
        }
    }
}

fn fill_query<'a>(row: &mut Row<'a>, query: &'a Query) {
    row.outcome = text(query.activity());
    row.command_id = written(query.query_id);
    row.face = text(query.face.as_str());
    row.statement = text(&query.sql);
    row.tables = texts(&query.relations);
    row.snapshot_version = query.snapshot_version.and_then(int);
    match &query.phase {
        QueryPhase::Started => {}
        QueryPhase::Completed { rows, duration_us } => {
            row.rows = int(*rows);
            row.duration_us = int(*duration_us);
        }
        QueryPhase::Denied { reason } => row.reason = text(reason),
        QueryPhase::Failed { error } => row.reason = text(error),
    }
}

fn fill_integrity<'a>(row: &mut Row<'a>, integrity: &'a Integrity) {
    match integrity {
        Integrity::Gap { outcome, reason, .. } => {
            row.outcome = text(outcome.as_str());
            row.reason = text(reason);
        }
        Integrity::Checkpoint { key_id, .. } => row.key_id = text(key_id),
        Integrity::ProducerStarted { .. } | Integrity::ProducerStopped { .. } => {}
    }
}
