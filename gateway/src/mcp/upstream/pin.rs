//! What is put on record of the definitions of a server's tools: what is new, what has changed, what is gone and what is back.

use std::sync::Arc;

use gateway_core::mcp::{Pins, Standing};
use tallyport_schemas::{Body, Context, DefinitionState, Draft, PolicyChange};

use super::Upstream;
use super::definitions::{Definition, Look};
use crate::service::Inner;

/// Puts on record what a look has found, and all gateways do not know yet.
pub(super) async fn pin(inner: &Arc<Inner>, upstream: &Arc<Upstream>, look: &Look) {
    if inner.control.current().await.is_err() {
        tracing::warn!(
            server = upstream.name(),
            "it is not known which tools were pinned; new ones wait"
        );
        return;
    }
    for definition in look.tools() {
        let found = found(&inner.control.known().pins, upstream, definition);
        if let Some(found) = found {
            say(inner, upstream, &definition.facts.name, found).await;
        }
    }
    let gone = gone(&inner.control.known().pins, upstream, look);
    for (tool, sha256) in gone {
        tracing::warn!(server = upstream.name(), tool, "a tool is gone");
        let reason = "the server defines it no more, or not as what can be used";
        let found = Found {
            state: DefinitionState::Gone,
            sha256: None,
            previous: Some(sha256),
            reason: Some(reason),
        };
        say(inner, upstream, &tool, found).await;
    }
}

/// What there is to say of a tool.
struct Found {
    state: DefinitionState,
    sha256: Option<String>,
    previous: Option<String>,
    reason: Option<&'static str>,
}

fn found(pins: &Pins, upstream: &Upstream, definition: &Definition) -> Option<Found> {
    let (name, sha256) = (&definition.facts.name, &definition.sha256);
    let pin = pins.pin(upstream.name(), name);
    let was_gone = pin.is_some_and(|pin| pin.is_gone);
    let (state, reason) = match pins.standing(upstream.name(), name, sha256) {
        Standing::InUse | Standing::Changed { on_record: true } if !was_gone => return None,
        Standing::InUse => (DefinitionState::Pinned, Some("the server has it again, as it was")),
        Standing::New => (DefinitionState::Pinned, None),
        Standing::Changed { .. } => {
            tracing::warn!(
                server = upstream.name(),
                tool = name,
                "a tool is not what was pinned: it is out of use until somebody accepts it (`tallyport mcp-servers show NAME`)"
            );
            (DefinitionState::Changed, Some("the server defines it otherwise than before"))
        }
    };
    let previous = pin.map(|pin| pin.sha256.clone());
    Some(Found { state, sha256: Some(sha256.clone()), previous, reason })
}

/// The tools that the server has no more, with their pins, where that is not on record.
fn gone(pins: &Pins, upstream: &Upstream, look: &Look) -> Vec<(String, String)> {
    let has = |tool: &str| look.tools().iter().any(|it| it.facts.name == tool);
    let gone = pins.of(upstream.name()).filter(|(tool, pin)| !pin.is_gone && !has(tool));
    gone.map(|(tool, pin)| (tool.to_owned(), pin.sha256.clone())).collect()
}

async fn say(inner: &Arc<Inner>, upstream: &Upstream, tool: &str, found: Found) {
    let change = PolicyChange::ToolDefinition {
        server: upstream.name().to_owned(),
        tool: tool.to_owned(),
        state: found.state,
        sha256: found.sha256,
        previous: found.previous,
        reason: found.reason.map(str::to_owned),
    };
    let context = Context { target: Some(upstream.reference()), ..Context::default() };
    let draft = Draft::new(context.into(), None, Body::Policy(change));
    // A crash right here, or in the commit: the next look finds the same.
    match inner.control.commit(draft).await {
        Ok(Ok(())) => {}
        // Another gateway saw it first: what that one pinned is what counts.
        Ok(Err(why)) => tracing::info!(server = upstream.name(), tool, %why, "not pinned"),
        Err(error) => {
            tracing::error!(server = upstream.name(), tool, %error, "a definition is not on record; the tool waits");
        }
    }
}
