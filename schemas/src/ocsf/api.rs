//! Calls on an interface: decisions are calls on a policy, what is sent to an MCP server and answered is one on a tool, and a
//! request of HTTP is one on a route or on an object of a cluster.
//! API Activity.

use std::borrow::Cow;

use super::class::{Class, OTHER, Word, control, severity, status};
use super::identity::{name, target};
use super::objects::{Api, Authorization, Policy, Request, Resource, Service, owned, text};
use super::traffic::{disposed, ended, ends, found, joined};
use super::value::Value;
use crate::{Command, CommandId, Decision, Effect, Event, Phase, Response, ResponseSummary};

const CREATE: Word = (1, "Create");
const READ: Word = (2, "Read");
const UPDATE: Word = (3, "Update");
const DELETE: Word = (4, "Delete");

/// A decision is a call on a policy, about any kind of target, so its class is API Activity: the actions are the
/// operation, the resources the resources, and the profile `security_control` says what came of it.
pub(super) fn decision<'a>(value: &mut Value<'a>, event: &'a Event, it: &'a Decision) {
    ends(value, event);
    let actions = joined(&it.actions);
    let activity = api_activity(&it.actions);
    value.is(Class::ApiActivity, activity.unwrap_or((OTHER, "Other")));
    value.api = Some(call_of(event, owned(actions.clone()), it.command_id));
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
    let of = |action: &String| match action.rsplit(':').next().unwrap_or(action) {
        "select" | "show" | "catalog" | "copyOut" | "read" | "readMasked" | "query" | "raw"
        | "get" | "list" | "watch" | "logs" | "discover" => Some(READ),
        "insert" | "copyIn" | "create" => Some(CREATE),
        "update" | "merge" | "patch" => Some(UPDATE),
        "delete" | "truncate" | "deleteCollection" => Some(DELETE),
        _ => None,
    };
    let asked: Vec<_> = actions.iter().filter_map(of).collect();
    [DELETE, UPDATE, CREATE, READ].into_iter().find(|kind| asked.contains(kind))
}

/// What is about to be asked of a service: intent, on record before it sees it.
pub(super) fn command<'a>(value: &mut Value<'a>, event: &'a Event, it: &'a Command) {
    value.is(Class::ApiActivity, if it.read_only { READ } else { (OTHER, caption(it.phase)) });
    let operation = match it.phase {
        Phase::Call => tool(event).unwrap_or(it.phase.as_str()),
        Phase::Request => it.functions.first().map_or(it.phase.as_str(), String::as_str),
        other => other.as_str(),
    };
    value.api = Some(call_of(event, text(operation), Some(it.command_id)));
    let what = match it.phase {
        Phase::Call | Phase::Request => format!("{} of {operation}", it.phase),
        other => other.to_string(),
    };
    disposed(value, event, it.disposition, &what);
}

/// What a service answered: outcome, on record before the agent sees it.
pub(super) fn response<'a>(value: &mut Value<'a>, event: &'a Event, it: &'a Response) {
    let who = name(event);
    let (activity, command_id) = match it {
        Response::Chunk { command_id, .. } => ("Response", *command_id),
        Response::Completed(summary) => ("Response", Some(summary.command_id)),
        Response::Unsolicited { .. } => ("Unsolicited", None),
    };
    value.is(Class::ApiActivity, (OTHER, activity));
    let operation = tool(event).unwrap_or(it.activity());
    value.api = Some(call_of(event, text(operation), command_id));
    match it {
        Response::Chunk { .. } => {
            value.status(status::PARTIAL);
            let target = target(event);
            value.message(&format!("{who} receives an answer of {target}, more follows"));
        }
        Response::Completed(summary) => completed(value, event, summary),
        Response::Unsolicited { kinds, findings, .. } => {
            found(value, findings);
            value.status(status::SUCCESS);
            value.message(&format!("{who} receives {} of {}", joined(kinds), target(event)));
        }
    }
}

fn completed<'a>(value: &mut Value<'a>, event: &'a Event, it: &'a ResponseSummary) {
    ended(value, it);
    found(value, &it.findings);
    value.message(&format!(
        "{} receives the answer of {}: {}, {} values masked",
        name(event),
        target(event),
        it.status,
        it.masked_values
    ));
}

/// An activity of our own is named after what is done.
const fn caption(phase: Phase) -> &'static str {
    match phase {
        Phase::Call => "Call",
        Phase::Read => "Read",
        Phase::Prompt => "Prompt",
        Phase::Complete => "Complete",
        Phase::Answer => "Answer",
        Phase::Request => "Request",
        Phase::Input => "Input",
        other => other.as_str(),
    }
}

fn tool(event: &Event) -> Option<&str> {
    event.context.call.as_ref().map(|call| call.tool.as_str())
}

/// The target is the service.
fn call_of<'a>(
    event: &'a Event,
    operation: Option<Cow<'a, str>>,
    command_id: Option<CommandId>,
) -> Api<'a> {
    let service = |name: &'a String| Service { name: text(name), ..Service::default() };
    let request = |id: CommandId| Request { uid: Some(id.to_string()), ..Request::default() };
    Api {
        operation,
        service: event.context.target.as_ref().map(|target| service(&target.name)),
        request: command_id.map(request),
        ..Api::default()
    }
}
