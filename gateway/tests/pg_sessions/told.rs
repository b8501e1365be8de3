//! What of one kind the log tells.

use tallyport_schemas::{Body, Event};

/// The commands among events.
pub fn commands(events: &[Event]) -> Vec<&tallyport_schemas::Command> {
    events
        .iter()
        .filter_map(|event| match &event.body {
            Body::Command(command) => Some(command.as_ref()),
            _ => None,
        })
        .filter(|command| {
            !command.statement.as_deref().unwrap_or_default().starts_with("-- the gateway")
        })
        .collect()
}

/// The responses among events.
pub fn responses(events: &[Event]) -> Vec<&tallyport_schemas::Response> {
    events
        .iter()
        .filter_map(|event| match &event.body {
            Body::Response(response) => Some(response.as_ref()),
            _ => None,
        })
        .collect()
}
