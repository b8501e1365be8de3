//! Who came in, what they may do, and how they left: the classes of Identity & Access Management.

use std::borrow::Cow;

use super::class::{Class, OTHER, Word, severity, status};
use super::objects::{
    Actor, ManagedEntity, NetworkEndpoint, Resource, Service, Session as OcsfSession, User, owned,
    text,
};
use super::value::Value;
use crate::{
    Approval, Asked, AuthMethod, Authentication, Event, Front, Outcome, Principal, Revocation,
    Session, SessionEnd,
};

const LOGON: Word = (1, "Logon");
const LOGOFF: Word = (2, "Logoff");
const ASSIGN_PRIVILEGES: Word = (1, "Assign Privileges");

/// Authentication: a logon that succeeded or failed.
pub(super) fn authentication<'a>(value: &mut Value<'a>, event: &'a Event, it: &'a Authentication) {
    value.is(Class::Authentication, LOGON);
    whose(value, event);
    value.dst_endpoint = event.context.target.as_ref().map(|it| NetworkEndpoint::target(it).into());
    let door = match it.front {
        Front::Quic | Front::Tcp => "tallyport-gateway",
        Front::QueryPgwire | Front::QueryHttp => "tallyport-query",
    };
    value.service = Some(service(door, event));
    let (protocol_id, protocol) = match it.method {
        AuthMethod::Oidc => (4, "OpenID"),
        AuthMethod::X509Svid => (OTHER, "X.509-SVID"),
        AuthMethod::JwtSvid => (OTHER, "JWT-SVID"),
        AuthMethod::Webhook => (OTHER, "Webhook"),
        AuthMethod::Saml => (5, "SAML"),
        AuthMethod::None => (OTHER, "None"),
    };
    (value.auth_protocol_id, value.auth_protocol) = (Some(protocol_id), Some(protocol));
    (value.logon_type_id, value.logon_type) = (Some(3), Some("Network"));
    value.is_remote = Some(true);
    value.session = Some(OcsfSession {
        issuer: it.issuer.as_deref().and_then(text),
        credential_uid: it.token_id.as_deref().and_then(text),
        expiration_time: it.expires_at.map(|at| at.as_millisecond()),
        is_remote: Some(true),
        ..OcsfSession::of(&event.context)
    });
    let who = name(event);
    match it.outcome {
        Outcome::Success => {
            value.status(status::SUCCESS);
            value.message(&format!("{who} authenticated"));
        }
        Outcome::Failure => {
            value.severity(severity::MEDIUM);
            value.status(status::FAILURE);
            value.status_code = it.failure.as_deref().and_then(text);
            value.status_detail = it.message.as_deref().and_then(text);
            let code = it.failure.as_deref().unwrap_or("no reason given");
            value.message(&format!("{who} failed to authenticate: {code}"));
        }
    }
}

/// Opened: Authorize Session. A grant: User Access Management. Every end, in order or not: a logoff.
pub(super) fn session<'a>(value: &mut Value<'a>, event: &'a Event, it: &'a Session) {
    whose(value, event);
    let mut session = OcsfSession::of(&event.context);
    let who = name(event);
    match it {
        Session::Opened { expires_at, .. } => {
            value.is(Class::AuthorizeSession, ASSIGN_PRIVILEGES);
            value.privileges = Some(vec![Cow::Borrowed("connect")]);
            value.dst_endpoint =
                event.context.target.as_ref().map(|it| NetworkEndpoint::target(it).into());
            session.expiration_time = expires_at.map(|at| at.as_millisecond());
            value.status(status::SUCCESS);
            value.message(&format!("{who} opened a session to {}", target(event)));
        }
        Session::Granted { grant_id, expires_at } => {
            value.is(Class::UserAccess, ASSIGN_PRIVILEGES);
            value.privileges = Some(vec![Cow::Owned(grant_id.to_string())]);
            value.resources = resources(event);
            value.status(status::SUCCESS);
            let until = expires_at.to_string();
            value.message(&format!("{who} was granted {grant_id} until {until}"));
            // The class has no session; the actor has it.
            return;
        }
        Session::Expired { cause, .. } => {
            logoff(value, event);
            value.status(status::SUCCESS);
            value.status_code = text("expired");
            session.expiration_reason = text(cause);
            value.message(&format!("session of {who} expired: {cause}"));
        }
        Session::Revoked { by, reason, .. } => {
            logoff(value, event);
            value.severity(severity::MEDIUM);
            value.status(status::SUCCESS);
            value.status_code = text("revoked");
            value.status_detail = text(reason);
            session.expiration_reason = text(reason);
            let user = User { name: text(by), ..User::unknown() };
            value.actor = Some(Actor { user: Some(user), ..Actor::default() }.into());
            value.message(&format!("session of {who} was revoked by {by}: {reason}"));
        }
        Session::Closed { end, .. } => {
            logoff(value, event);
            let refused = matches!(end, SessionEnd::Refused);
            value.status(if refused { status::FAILURE } else { status::SUCCESS });
            value.status_code = text(end.as_str());
            value.message(&format!("session of {who} closed: {end}"));
        }
        Session::Lost { cause, message, .. } => {
            logoff(value, event);
            value.severity(severity::MEDIUM);
            value.status(status::FAILURE);
            value.status_code = text(cause);
            value.status_detail = text(message);
            value.message(&format!("session of {who} was lost: {cause}: {message}"));
        }
    }
    value.session = Some(session);
}

/// A change of what a user may do, or the wish for one: User Access Management. The reviewer acts, the user gets.
pub(super) fn approval<'a>(value: &mut Value<'a>, event: &'a Event, it: &'a Approval) {
    whose(value, event);
    value.resources = resources(event);
    let who = name(event);
    match it {
        Approval::Requested(request) => {
            value.is(Class::UserAccess, (OTHER, "Request"));
            value.status(status::REQUESTED);
            let of: Vec<_> = request.requirements.iter().map(ToString::to_string).collect();
            let of = if of.is_empty() { "nobody".to_owned() } else { of.join(" and ") };
            match &request.asked {
                Asked::Command(_) => {
                    value.status_detail = owned(request.reasons.join("; "));
                    value.message(&format!("{who} asks {of} for approval"));
                }
                Asked::Access(access) => {
                    value.status_detail = text(&access.reason);
                    let (target, seconds) = (target(event), access.seconds);
                    value.message(&format!(
                        "{who} asks {of} for access to {target} for {seconds} s"
                    ));
                }
            }
        }
        Approval::Granted { reviewer, comment, .. } => {
            value.is(Class::UserAccess, ASSIGN_PRIVILEGES);
            value.status(status::SUCCESS);
            reviewed(value, reviewer, comment.as_deref());
            value.message(&format!("{} approved a request of {who}", reviewer.display_name));
        }
        Approval::Denied { reviewer, comment, .. } => {
            value.is(Class::UserAccess, ASSIGN_PRIVILEGES);
            value.severity(severity::MEDIUM);
            value.status(status::FAILURE);
            value.status_code = text("denied");
            reviewed(value, reviewer, comment.as_deref());
            value.message(&format!("{} denied a request of {who}", reviewer.display_name));
        }
        Approval::Expired { .. } => {
            value.is(Class::UserAccess, (OTHER, "Expire"));
            value.status(status::FAILURE);
            value.status_code = text("expired");
            value.message(&format!("a request of {who} was not answered, or not used, in time"));
        }
        Approval::Withdrawn { cause, .. } => {
            value.is(Class::UserAccess, (OTHER, "Withdraw"));
            value.status(status::FAILURE);
            value.status_code = text("withdrawn");
            value.status_detail = text(cause);
            value.message(&format!("{who} does not wait for an approval any more: {cause}"));
        }
        Approval::Notified { webhook, step, .. } => {
            value.is(Class::UserAccess, (OTHER, "Notify"));
            value.status(status::SUCCESS);
            value.message(&format!("{webhook} was told of a request of {who}: {step}"));
        }
        Approval::Used { .. } => {
            value.is(Class::UserAccess, (OTHER, "Use"));
            value.status(status::SUCCESS);
            value.message(&format!("{who} used an approval"));
        }
    }
    value.privileges = Some(vec![Cow::Owned(it.approval_id().to_string())]);
}

/// What ends is the entity, suspended until it is resumed; whoever ends it acts.
pub(super) fn revocation<'a>(value: &mut Value<'a>, event: &'a Event, it: &'a Revocation) {
    const SUSPEND: Word = (12, "Suspend");
    const RESUME: Word = (13, "Resume");
    whose(value, event);
    value.user = None;
    value.status(status::SUCCESS);
    let who = name(event);
    let entity = |kind, name: String, uid: String| ManagedEntity {
        name: owned(name),
        r#type: Some(kind),
        type_id: Some(OTHER),
        uid: owned(uid),
        ..ManagedEntity::default()
    };
    let uid = it.revocation_id().to_string();
    match it {
        Revocation::Revoked(order) | Revocation::Carried(order) => {
            value.is(Class::EntityManagement, SUSPEND);
            value.severity(severity::HIGH);
            value.entity = Some(entity(order.revoked.kind(), order.revoked.name(), uid));
            value.status_detail = text(&order.reason);
            let verb = if matches!(it, Revocation::Revoked(_)) { "revoked" } else { "had revoked" };
            value.message(&format!("{who} {verb} {}: {}", order.revoked, order.reason));
        }
        Revocation::Lifted { reason, .. } => {
            value.is(Class::EntityManagement, RESUME);
            value.severity(severity::MEDIUM);
            value.message(&format!("{who} lifted revocation {uid}: {reason}"));
            value.entity = Some(entity("revocation", uid.clone(), uid));
            value.status_detail = text(reason);
        }
    }
}

fn reviewed<'a>(value: &mut Value<'a>, reviewer: &'a Principal, comment: Option<&'a str>) {
    value.actor = Some(Actor::person(reviewer).into());
    value.status_detail = comment.and_then(text);
}

/// The subject of the event, and where it comes from.
fn whose<'a>(value: &mut Value<'a>, event: &'a Event) {
    let context = &*event.context;
    value.user = Some(User::of_context(context));
    value.actor = Some(Actor::of(context).into());
    value.src_endpoint = context.client.as_ref().map(|it| NetworkEndpoint::of(it).into());
}

/// Where the door is: Authentication wants the target or a service.
fn logoff<'a>(value: &mut Value<'a>, event: &'a Event) {
    value.is(Class::Authentication, LOGOFF);
    value.dst_endpoint = event.context.target.as_ref().map(|it| NetworkEndpoint::target(it).into());
    value.service = Some(service("tallyport-gateway", event));
}

fn service<'a>(name: &'a str, event: &'a Event) -> Service<'a> {
    Service { name: text(name), uid: text(event.producer.id.as_str()), ..Service::default() }
}

fn resources<'a>(event: &'a Event) -> Option<Vec<Resource<'a>>> {
    let target = event.context.target.as_ref()?;
    let name = match &target.database {
        Some(database) => owned(format!("{}/{database}", target.name)),
        None => text(&target.name),
    };
    Some(vec![Resource { name, r#type: Some(target.kind.as_str()), ..Resource::default() }])
}

pub(super) fn name(event: &Event) -> &str {
    event.context.principal.as_ref().map_or("an unknown principal", |it| &it.display_name)
}

pub(super) fn target(event: &Event) -> &str {
    event.context.target.as_ref().map_or("an unknown target", |it| &it.name)
}
