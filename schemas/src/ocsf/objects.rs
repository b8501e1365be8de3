//! The objects of OCSF 1.8, as far as our events fill them. Absent means absent: nothing is made up.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::Serialize;

use crate::{Context, Endpoint, Principal, PrincipalKind, TargetKind, TargetRef};

pub(super) type Text<'a> = Cow<'a, str>;

/// What stands where OCSF demands a name and we know none.
pub(super) const UNKNOWN: &str = "unknown";

macro_rules! objects {
    ($($(#[$meta:meta])* $name:ident { $($field:ident: $type:ty),+ $(,)? })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, Serialize)]
        pub(super) struct $name<'a> {
            $(
                #[serde(skip_serializing_if = "Option::is_none")]
                pub(super) $field: Option<$type>,
            )+
            #[serde(skip)]
            pub(super) life: std::marker::PhantomData<&'a ()>,
        }
    )+};
}

objects! {
    Metadata {
        version: &'a str,
        uid: String,
        event_code: String,
        product: Product<'a>,
        profiles: Vec<&'a str>,
        sequence: u64,
        original_time: String,
        correlation_uid: String,
        log_name: &'a str,
        log_provider: &'a str,
        log_source: &'a str,
        log_version: &'a str,
    }
    Product { name: Text<'a>, vendor_name: &'a str, uid: &'a str, version: Text<'a> }
    Actor {
        user: User<'a>,
        session: Session<'a>,
        idp: Idp<'a>,
        app_name: Text<'a>,
        app_uid: Text<'a>,
    }
    User {
        name: Text<'a>,
        uid: Text<'a>,
        domain: Text<'a>,
        r#type: &'a str,
        type_id: u32,
        groups: Vec<Group<'a>>,
    }
    Group { name: Text<'a> }
    Session {
        uid: String,
        issuer: Text<'a>,
        credential_uid: Text<'a>,
        expiration_time: i64,
        expiration_reason: Text<'a>,
        is_remote: bool,
    }
    Idp { name: Text<'a>, issuer: Text<'a> }
    NetworkEndpoint { ip: String, port: u16, name: Text<'a>, svc_name: &'a str }
    Service { name: Text<'a>, uid: Text<'a> }
    Database { name: Text<'a>, uid: Text<'a>, r#type: &'a str, type_id: u32 }
    Table { name: Text<'a> }
    QueryInfo { uid: String, query_string: Text<'a>, name: Text<'a> }
    Api { operation: Text<'a>, service: Service<'a>, request: Request<'a> }
    Request { uid: String }
    Resource { name: Text<'a>, r#type: &'a str, version: Text<'a> }
    Authorization { decision: &'a str, policy: Policy<'a> }
    Policy { uid: Text<'a>, name: Text<'a>, r#type: &'a str, version: Text<'a>, is_applied: bool }
    ManagedEntity {
        name: Text<'a>,
        uid: Text<'a>,
        r#type: &'a str,
        type_id: u32,
        version: Text<'a>,
        policy: Policy<'a>,
    }
}

impl<'a> User<'a> {
    pub(super) fn of(principal: &'a Principal) -> Self {
        // 1.8 has no kind for an AI agent; 1.9 brings one.
        let (type_id, kind) = match principal.kind {
            PrincipalKind::Human => (1, "User"),
            PrincipalKind::Service => (4, "Service"),
            PrincipalKind::Agent => (super::class::OTHER, "Agent"),
        };
        let group = |name: &'a String| Group { name: text(name), ..Group::default() };
        Self {
            name: text(&principal.display_name),
            uid: text(&principal.subject),
            domain: text(&principal.issuer),
            r#type: Some(kind),
            type_id: Some(type_id),
            groups: (!principal.groups.is_empty())
                .then(|| principal.groups.iter().map(group).collect()),
            ..Self::default()
        }
    }

    pub(super) fn unknown() -> Self {
        Self { name: text(UNKNOWN), r#type: Some("Unknown"), type_id: Some(0), ..Self::default() }
    }

    /// The principal, where it is known.
    pub(super) fn of_context(context: &'a Context) -> Self {
        context.principal.as_ref().map_or_else(Self::unknown, Self::of)
    }
}

impl<'a> Actor<'a> {
    /// The principal acts; where it delegated (RFC 8693), the outermost actor does so for it, as an application.
    pub(super) fn of(context: &'a Context) -> Self {
        let user = context.principal.as_ref().map(User::of);
        let app_uid = context.delegation.first().and_then(|actor| text(&actor.subject));
        let app_name = context.agent.agent.as_deref().and_then(text);
        let nobody = user.is_none() && app_uid.is_none() && app_name.is_none();
        Self {
            session: context.session_id.is_some().then(|| Session::of(context)),
            idp: context.principal.as_ref().map(|principal| Idp::of(&principal.issuer)),
            app_name: if nobody { text(UNKNOWN) } else { app_name },
            app_uid,
            user,
            ..Self::default()
        }
    }

    /// A principal that acts on something of somebody else.
    pub(super) fn person(principal: &'a Principal) -> Self {
        Self {
            user: Some(User::of(principal)),
            idp: Some(Idp::of(&principal.issuer)),
            ..Self::default()
        }
    }

    /// One of our own services.
    pub(super) fn service(producer: &'a str) -> Self {
        Self { app_name: text(super::value::PRODUCT), app_uid: text(producer), ..Self::default() }
    }
}

impl<'a> Idp<'a> {
    pub(super) fn of(issuer: &'a str) -> Self {
        Self { name: text(issuer), issuer: text(issuer), ..Self::default() }
    }
}

impl<'a> Session<'a> {
    pub(super) fn of(context: &'a Context) -> Self {
        Self {
            uid: context.session_id.map(|id| id.to_string()),
            issuer: context.principal.as_ref().and_then(|principal| text(&principal.issuer)),
            ..Self::default()
        }
    }
}

impl<'a> NetworkEndpoint<'a> {
    pub(super) fn of(endpoint: &'a Endpoint) -> Self {
        let ip = endpoint.ip.parse::<IpAddr>().ok();
        Self {
            name: if ip.is_none() { text(&endpoint.ip) } else { None },
            ip: ip.map(|ip| ip.to_string()),
            port: Some(endpoint.port),
            ..Self::default()
        }
    }

    pub(super) fn target(target: &'a TargetRef) -> Self {
        Self { name: text(&target.name), svc_name: Some(target.kind.as_str()), ..Self::default() }
    }

    pub(super) fn unknown() -> Self {
        Self { name: text(UNKNOWN), ..Self::default() }
    }
}

impl<'a> Database<'a> {
    /// The datastore that the target is, if it is one.
    pub(super) fn of(target: Option<&'a TargetRef>) -> Option<Self> {
        let Some(target) = target else {
            return Some(Self {
                name: text(UNKNOWN),
                type_id: Some(0),
                r#type: Some("Unknown"),
                ..Self::default()
            });
        };
        let (type_id, kind) = match target.kind {
            TargetKind::Postgresql => (1, "Relational"),
            TargetKind::Mcp | TargetKind::Http | TargetKind::Kubernetes => return None,
        };
        Some(Self {
            name: text(target.database.as_deref().unwrap_or(&target.name)),
            uid: text(&target.name),
            r#type: Some(kind),
            type_id: Some(type_id),
            ..Self::default()
        })
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the attribute takes an option")]
pub(super) fn text(text: &str) -> Option<Text<'_>> {
    Some(Cow::Borrowed(text))
}

#[expect(clippy::unnecessary_wraps, reason = "the attribute takes an option")]
pub(super) fn owned<'a>(text: String) -> Option<Text<'a>> {
    Some(Cow::Owned(text))
}

/// At most `max_bytes` of `text`, cut between characters.
pub(super) fn cut(text: &str, max_bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(max_bytes)).unwrap_or(text)
}
