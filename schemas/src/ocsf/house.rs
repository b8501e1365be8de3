//! What the services say of themselves: their policy, their coming and going, their log.

use super::class::{Class, OTHER, Word, severity, status};
use super::objects::{Actor, ManagedEntity, Policy, Product, owned, text};
use super::value::{PRODUCT, Value};
use crate::{DefinitionState, Event, GapOutcome, Integrity, PolicyChange, PolicyKind};

/// Entity Management: what was in force before is the entity, what is now its result.
pub(super) fn policy<'a>(value: &mut Value<'a>, event: &'a Event, it: &'a PolicyChange) {
    const UPDATE: Word = (3, "Update");
    const ACTIVATE: Word = (10, "Activate");
    const DEACTIVATE: Word = (11, "Deactivate");
    const SUSPEND: Word = (12, "Suspend");
    value.actor = Some(Actor::service(event.producer.id.as_str()).into());
    match it {
        PolicyChange::Loaded { kind, version, previous, source } => {
            value.is(Class::EntityManagement, if previous.is_some() { UPDATE } else { ACTIVATE });
            value.entity = Some(entity(*kind, source, previous.as_deref().unwrap_or(version)));
            value.entity_result = Some(entity(*kind, source, version));
            value.status(status::SUCCESS);
            value.message(&format!("{kind} of {source} is in force"));
        }
        PolicyChange::Rejected { kind, kept, source, error } => {
            value.is(Class::EntityManagement, UPDATE);
            value.entity = Some(entity(*kind, source, kept));
            value.severity(severity::HIGH);
            value.status(status::FAILURE);
            value.status_code = text("rejected");
            value.status_detail = text(error);
            value.message(&format!("{kind} of {source} was rejected, what was in force stays"));
        }
        PolicyChange::ToolDefinition { server, tool, state, sha256, previous, reason } => {
            let (activity, told) = match state {
                DefinitionState::Pinned => (ACTIVATE, "was pinned"),
                DefinitionState::Changed => (SUSPEND, "differs from its pin and is out of use"),
                DefinitionState::Accepted => (UPDATE, "was accepted as it is now"),
                DefinitionState::Gone => (DEACTIVATE, "is there no more"),
            };
            if event.context.principal.is_some() {
                value.actor = Some(Actor::of(&event.context).into());
            }
            value.is(Class::EntityManagement, activity);
            let before = previous.as_deref().or(sha256.as_deref());
            value.entity = Some(tool_entity(server, tool, before));
            value.entity_result =
                sha256.as_deref().map(|sha256| tool_entity(server, tool, Some(sha256)));
            if *state == DefinitionState::Changed {
                value.severity(severity::HIGH);
            }
            value.status(status::SUCCESS);
            value.status_code = text(state.as_str());
            value.status_detail = reason.as_deref().and_then(text);
            value.message(&format!("the definition of {tool} of {server} {told}"));
        }
    }
}

fn tool_entity<'a>(server: &str, tool: &str, version: Option<&'a str>) -> ManagedEntity<'a> {
    ManagedEntity {
        name: owned(format!("{server}/{tool}")),
        r#type: Some("Tool"),
        type_id: Some(OTHER),
        version: version.and_then(text),
        ..ManagedEntity::default()
    }
}

fn entity<'a>(kind: PolicyKind, source: &'a str, version: &'a str) -> ManagedEntity<'a> {
    let policy = Policy {
        name: text(source),
        r#type: Some(match kind {
            PolicyKind::Policy => "Cedar",
            PolicyKind::Masking => "Masking",
            PolicyKind::Config => "Configuration",
        }),
        version: text(version),
        ..Policy::default()
    };
    let (type_id, kind_name) = match kind {
        PolicyKind::Policy | PolicyKind::Masking => (5, "Policy"),
        PolicyKind::Config => (OTHER, "Configuration"),
    };
    ManagedEntity {
        name: text(source),
        r#type: Some(kind_name),
        type_id: Some(type_id),
        version: text(version),
        policy: (type_id == 5).then_some(policy),
        ..ManagedEntity::default()
    }
}

/// Start and stop: Application Lifecycle. A gap: Application Error, since the log failed and nothing was attacked; what
/// the missing numbers waited for did not pass. A checkpoint: Event Log Activity, since it is about the log itself.
pub(super) fn integrity<'a>(value: &mut Value<'a>, event: &'a Event, it: &'a Integrity) {
    const START: Word = (3, "Start");
    const STOP: Word = (4, "Stop");
    const GENERAL_ERROR: Word = (1, "General Error");
    let producer = event.producer.id.as_str();
    match it {
        Integrity::ProducerStarted { version, role } => {
            value.is(Class::ApplicationLifecycle, START);
            value.app = Some(Product {
                name: owned(format!("tallyport-{role}")),
                version: text(version),
                ..app(producer)
            });
            value.status(status::SUCCESS);
            value.message(&format!("{role} {producer} began to write"));
        }
        Integrity::ProducerStopped { events } => {
            value.is(Class::ApplicationLifecycle, STOP);
            value.app = Some(app(producer));
            value.status(status::SUCCESS);
            value.message(&format!("{producer} stopped after {events} events"));
        }
        Integrity::Gap { first_seq, last_seq, outcome, reason } => {
            value.is(Class::ApplicationError, GENERAL_ERROR);
            value.severity(severity::HIGH);
            value.status(status::FAILURE);
            value.status_code = text(outcome.as_str());
            value.status_detail = text(reason);
            let known = match outcome {
                GapOutcome::NotPersisted => "are not on the log",
                GapOutcome::Unknown => "may or may not be on the log",
            };
            value.message(&format!("events {first_seq} to {last_seq} of {producer} {known}"));
        }
        Integrity::Checkpoint { tree_size, .. } => {
            value.is(Class::EventLogActivity, (OTHER, "Checkpoint"));
            value.actor = Some(Actor::service(producer).into());
            value.log_name = value.metadata.log_name;
            value.log_provider = Some(PRODUCT);
            (value.log_type_id, value.log_type) = (Some(2), Some("Application"));
            value.status(status::SUCCESS);
            value.message(&format!("the first {tree_size} events are sealed"));
        }
    }
}

fn app(producer: &str) -> Product<'_> {
    Product {
        name: text(PRODUCT),
        vendor_name: Some(PRODUCT),
        uid: Some(producer),
        ..Product::default()
    }
}
