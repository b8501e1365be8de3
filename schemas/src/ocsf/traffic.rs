//! What every class of traffic says alike, and which class it is: the kind of the target decides.

use std::borrow::Cow;

use super::class::{control, severity, status};
use super::fragments::Part;
use super::identity::{name, target};
use super::objects::text;
use super::value::Value;
use super::{api, datastore};
use crate::{
    Command, Disposition, Event, Finding, FindingAction, Response, ResponseStatus, ResponseSummary,
    TargetKind,
};

/// What joins of names may grow to.
const MAX_JOINED_BYTES: usize = 256;

pub(super) fn command<'a>(value: &mut Value<'a>, event: &'a Event, it: &'a Command) {
    ends(value, event);
    if is_interface(event) {
        api::command(value, event, it)
    } else {
        datastore::command(value, event, it)
    }
}

pub(super) fn response<'a>(value: &mut Value<'a>, event: &'a Event, it: &'a Response) {
    ends(value, event);
    if is_interface(event) {
        api::response(value, event, it);
    } else {
        datastore::response(value, event, it);
    }
}

/// Whether the target is called, and not asked in a language of data.
fn is_interface(event: &Event) -> bool {
    event.context.target.as_ref().is_some_and(|target| target.kind != TargetKind::Postgresql)
}

/// Who acts, from where, to where. Both classes demand the first two.
pub(super) fn ends<'a>(value: &mut Value<'a>, event: &'a Event) {
    let written = event.context.fragments();
    value.actor = Some(Part::Written(&written.actor));
    value.src_endpoint = Some(Part::Written(&written.src_endpoint));
    value.dst_endpoint = written.dst_endpoint.as_ref().map(Part::Written);
}

/// Whether `what` goes to the target.
pub(super) fn disposed(value: &mut Value<'_>, event: &Event, disposition: Disposition, what: &str) {
    let who = name(event);
    match disposition {
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

/// How a command ended, and whether anything of its answer was masked.
pub(super) fn ended<'a>(value: &mut Value<'a>, it: &'a ResponseSummary) {
    value.control(if it.masked_values > 0 { control::MASKED } else { control::ALLOWED });
    value.status(match it.status {
        ResponseStatus::Ok => status::SUCCESS,
        ResponseStatus::Error | ResponseStatus::Interrupted => status::FAILURE,
        ResponseStatus::Suspended => status::SUSPENDED,
        ResponseStatus::CopyStarted => status::COPY_STARTED,
    });
    value.status_code = text(it.sqlstate.as_deref().unwrap_or(it.status.as_str()));
    value.duration = Some(it.duration_us / 1_000);
}

/// What detectors found. What one of them kept back is blocked, whatever else was masked.
pub(super) fn found(value: &mut Value<'_>, findings: &[Finding]) {
    if findings.iter().any(|finding| finding.action == FindingAction::Deny) {
        value.control(control::BLOCKED);
        value.severity(severity::MEDIUM);
    }
    value.status_detail = (!findings.is_empty()).then(|| {
        let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
        Cow::Owned(joined(&findings))
    });
}

pub(super) fn joined(names: &[String]) -> String {
    let mut all = names.join(", ");
    all.truncate(all.floor_char_boundary(MAX_JOINED_BYTES));
    all
}
