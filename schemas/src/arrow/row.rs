//! The part of a row that every event has: its place, and who, on whose behalf, to where.

use std::borrow::Cow;
use std::fmt::Display;

use jiff::Timestamp;

use super::columns::Row;
use super::families;
use super::times::{micros, utc_day};
use crate::{Actor, Context, Event, Principal};

/// Where on the log an event stands, and since when.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) partition: u32,
    pub(super) offset: u64,
    pub(super) appended_at_ms: i64,
}

/// The row of an event whose exact bytes are `raw`.
pub(super) fn of<'a>(event: &'a Event, raw: &'a [u8], place: Place) -> Row<'a> {
    let mut row = Row {
        ingest_date: Some(utc_day(place.appended_at_ms)),
        log_partition: Some(i32::try_from(place.partition).unwrap_or(i32::MAX)),
        log_offset: int(place.offset),
        event_id: written(event.event_id),
        time: instant(event.time),
        appended_at: Some(micros(place.appended_at_ms.saturating_mul(1_000))),
        family: text(event.body.family().as_str()),
        activity: text(event.body.activity()),
        schema_version: text(&event.schema_version),
        producer_id: text(event.producer.id.as_str()),
        producer_epoch: int(event.producer.epoch),
        producer_seq: int(event.producer.seq),
        session_seq: event.session_seq.and_then(int),
        raw: Some(raw),
        ..Row::default()
    };
    context(&mut row, &event.context);
    families::fill(&mut row, &event.body);
    row
}

fn context<'a>(row: &mut Row<'a>, context: &'a Context) {
    row.session_id = context.session_id.and_then(written);
    row.trace_id = context.trace_id.and_then(written);
    if let Some(principal) = &context.principal {
        identity(row, principal, context.delegation.first());
    }
    row.delegation = texts(context.delegation.iter().map(|actor| &actor.subject));
    row.agent_model = maybe(context.agent.model.as_ref());
    row.agent_name = maybe(context.agent.agent.as_ref());
    row.agent_task = maybe(context.agent.task.as_ref());
    if let Some(target) = &context.target {
        row.target = text(&target.name);
        row.target_kind = text(target.kind.as_str());
        row.database = maybe(target.database.as_ref());
    }
    if let Some(client) = &context.client {
        row.client_ip = text(&client.ip);
        row.client_port = Some(i32::from(client.port));
    }
    if let Some(call) = &context.call {
        row.call_id = written(call.call_id);
        row.call_server = text(&call.server);
        row.call_tool = text(&call.tool);
    }
}

/// With a delegation the token's subject is for whom, and the outermost actor is who acts (RFC 8693 section 4.1).
fn identity<'a>(row: &mut Row<'a>, principal: &'a Principal, outermost: Option<&'a Actor>) {
    row.principal_issuer = text(&principal.issuer);
    row.principal_subject = text(&principal.subject);
    row.principal_name = text(&principal.display_name);
    row.principal_kind = text(principal.kind.as_str());
    row.principal_groups = texts(&principal.groups);
    row.principal_owner = maybe(principal.owner.as_ref());
    row.actor = text(outermost.map_or(&principal.subject, |actor| &actor.subject));
    row.on_behalf_of = match outermost {
        Some(_) => text(&principal.subject),
        None => maybe(principal.owner.as_ref()),
    };
}

#[expect(clippy::unnecessary_wraps, reason = "the column takes an option")]
pub(super) fn text(value: &str) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(value))
}

pub(super) fn maybe(value: Option<&String>) -> Option<Cow<'_, str>> {
    value.map(|text| Cow::Borrowed(text.as_str()))
}

#[expect(clippy::unnecessary_wraps, reason = "the column takes an option")]
pub(super) fn written<'a>(value: impl Display) -> Option<Cow<'a, str>> {
    Some(Cow::Owned(value.to_string()))
}

pub(super) fn texts<'a>(values: impl IntoIterator<Item = &'a String>) -> Vec<Cow<'a, str>> {
    values.into_iter().map(|text| Cow::Borrowed(text.as_str())).collect()
}

pub(super) fn all_written<'a>(values: impl IntoIterator<Item = impl Display>) -> Vec<Cow<'a, str>> {
    values.into_iter().map(|value| Cow::Owned(value.to_string())).collect()
}

/// Clamped: the lake's integers are signed.
#[expect(clippy::unnecessary_wraps, reason = "the column takes an option")]
pub(super) fn int(value: u64) -> Option<i64> {
    Some(i64::try_from(value).unwrap_or(i64::MAX))
}

#[expect(clippy::unnecessary_wraps, reason = "the column takes an option")]
pub(super) fn instant(time: Timestamp) -> Option<i64> {
    Some(micros(time.as_microsecond()))
}
