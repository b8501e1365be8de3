//! One value on the log: what every class has, and the attributes of those classes that we use.

use std::borrow::Cow;

use serde::Serialize;

use super::class::{Class, Word, control, severity};
use super::fragments::Part;
use super::objects::{
    Actor, Api, Authorization, Database, ManagedEntity, Metadata, NetworkEndpoint, Policy, Product,
    QueryInfo, Resource, Service, Session, Table, Text, User, cut,
};
use crate::{Body, CommandId, Event, Response};

/// The name of the product in every event.
pub(super) const PRODUCT: &str = "Tallyport";

/// The topic of all events; approvals stand on it too.
const LOG_NAME: &str = "tallyport.audit.v1";

/// The sentence for people; the facts are elsewhere.
const MAX_MESSAGE_BYTES: usize = 512;

macro_rules! value {
    ($($field:ident: $type:ty),+ $(,)?) => {
        /// An OCSF event. Its attributes are written in this order.
        #[derive(Debug, Serialize)]
        pub(super) struct Value<'a> {
            class_uid: u32,
            class_name: &'static str,
            category_uid: u32,
            category_name: &'static str,
            activity_id: u32,
            activity_name: Text<'a>,
            type_uid: u64,
            type_name: String,
            severity_id: u32,
            severity: &'static str,
            time: i64,
            message: String,
            pub(super) metadata: Metadata<'a>,
            $(
                #[serde(skip_serializing_if = "Option::is_none")]
                pub(super) $field: Option<$type>,
            )+
            unmapped: Unmapped<'a>,
        }

        impl<'a> Value<'a> {
            /// What all classes have. The family says the rest.
            pub(super) fn new(event: &'a Event) -> Self {
                let (severity_id, severity) = severity::INFORMATIONAL;
                Self {
                    class_uid: 0,
                    class_name: "",
                    category_uid: 0,
                    category_name: "",
                    activity_id: 0,
                    activity_name: Cow::Borrowed(""),
                    type_uid: 0,
                    type_name: String::new(),
                    severity_id,
                    severity,
                    time: event.time.as_millisecond(),
                    message: String::new(),
                    metadata: metadata(event),
                    $($field: None,)+
                    unmapped: Unmapped { tallyport: event },
                }
            }
        }
    };
}

value! {
    status_id: u32,
    status: &'a str,
    status_code: Text<'a>,
    status_detail: Text<'a>,
    duration: u64,
    // Who, from where, to where
    actor: Part<'a, Actor<'a>>,
    user: User<'a>,
    session: Session<'a>,
    src_endpoint: Part<'a, NetworkEndpoint<'a>>,
    dst_endpoint: Part<'a, NetworkEndpoint<'a>>,
    service: Service<'a>,
    // Identity and access
    auth_protocol_id: u32,
    auth_protocol: &'a str,
    logon_type_id: u32,
    logon_type: &'a str,
    is_remote: bool,
    privileges: Vec<Text<'a>>,
    entity: ManagedEntity<'a>,
    entity_result: ManagedEntity<'a>,
    comment: Text<'a>,
    // Control
    action_id: u32,
    action: &'a str,
    disposition_id: u32,
    disposition: &'a str,
    authorizations: Vec<Authorization<'a>>,
    policy: Policy<'a>,
    // What it is about
    api: Api<'a>,
    resources: Vec<Resource<'a>>,
    type_id: u32,
    r#type: &'a str,
    database: Part<'a, Database<'a>>,
    table: Table<'a>,
    query_info: QueryInfo<'a>,
    app: Product<'a>,
    log_name: &'a str,
    log_provider: &'a str,
    log_type_id: u32,
    log_type: &'a str,
}

/// Where OCSF keeps what it has no attribute for.
#[derive(Debug, Serialize)]
struct Unmapped<'a> {
    tallyport: &'a Event,
}

impl<'a> Value<'a> {
    pub(super) fn is(&mut self, class: Class, (id, name): (u32, impl Into<Text<'a>>)) {
        let name = name.into();
        (self.category_uid, self.category_name) = class.category();
        self.class_uid = class.uid();
        self.class_name = class.caption();
        self.activity_id = id;
        self.type_uid = u64::from(class.uid()) * 100 + u64::from(id);
        // For an activity of our own the type is the class's "Other", whatever we call it.
        let caption = if id == super::class::OTHER { "Other" } else { &*name };
        self.type_name = format!("{}: {caption}", class.caption());
        self.activity_name = name;
    }

    pub(super) const fn severity(&mut self, (id, caption): Word) {
        self.severity_id = id;
        self.severity = caption;
    }

    pub(super) const fn status(&mut self, (id, caption): Word) {
        self.status_id = Some(id);
        self.status = Some(caption);
    }

    /// The profile `security_control`.
    pub(super) fn control(&mut self, (action, disposition): (Word, Word)) {
        self.metadata.profiles = Some(vec![control::PROFILE]);
        self.action_id = Some(action.0);
        self.action = Some(action.1);
        self.disposition_id = Some(disposition.0);
        self.disposition = Some(disposition.1);
    }

    pub(super) fn message(&mut self, message: &str) {
        cut(message, MAX_MESSAGE_BYTES).clone_into(&mut self.message);
    }
}

fn metadata(event: &Event) -> Metadata<'_> {
    let trace = || event.context.trace_id.map(|trace| trace.to_string());
    Metadata {
        version: Some(super::OCSF_VERSION),
        uid: Some(event.event_id.to_string()),
        event_code: Some(format!("{}.{}", event.body.family().as_str(), event.body.activity())),
        // Without a version: a new build must not change the bytes of an old event. `producer_started` has it.
        product: Some(Product {
            name: Some(Cow::Borrowed(PRODUCT)),
            vendor_name: Some(PRODUCT),
            ..Product::default()
        }),
        sequence: Some(event.producer.seq),
        original_time: Some(event.time.to_string()),
        correlation_uid: command_id(&event.body).map(|id| id.to_string()).or_else(trace),
        log_name: Some(LOG_NAME),
        log_provider: Some(PRODUCT),
        log_source: Some(event.producer.id.as_str()),
        log_version: Some(&event.schema_version),
        ..Metadata::default()
    }
}

/// The command that an event is about.
const fn command_id(body: &Body) -> Option<CommandId> {
    match body {
        Body::Decision(decision) => decision.command_id,
        Body::Command(command) => Some(command.command_id),
        Body::Response(response) => match &**response {
            Response::Chunk { command_id, .. } => *command_id,
            Response::Completed(summary) => Some(summary.command_id),
            Response::Unsolicited { .. } => None,
        },
        Body::Approval(approval) => approval.command_id(),
        Body::Query(query) => Some(query.query_id),
        Body::Authentication(_)
        | Body::Session(_)
        | Body::Revocation(_)
        | Body::Policy(_)
        | Body::Integrity(_) => None,
    }
}
