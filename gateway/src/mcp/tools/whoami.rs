//! `whoami`: who the caller is here, and what they may reach.

use std::sync::Arc;

use async_trait::async_trait;
use gateway_core::mcp::RpcError;
use serde_json::{Map, Value, json};

use super::{Asked, Need, Progress, Seen, Tool, ToolAnswer};
use crate::api::{Door, door};
use crate::service::{Caller, Inner};

pub(super) struct Whoami;

#[async_trait]
impl Tool for Whoami {
    fn name(&self) -> &'static str {
        "whoami"
    }

    fn need(&self) -> Need {
        Need::Connect
    }

    fn is_for(&self, _inner: &Inner, _caller: &Caller) -> bool {
        true
    }

    fn define(&self, _seen: &Seen) -> Option<Map<String, Value>> {
        let text = json!({ "type": "string" });
        let texts = json!({ "type": "array", "items": text });
        let target = json!({
            "type": "object",
            "properties": {
                "name": text,
                "kind": text,
                "access": { "enum": ["open", "grant_needed", "granted"] },
                "granted_until": text,
            },
            "required": ["name", "kind", "access"],
        });
        let output = json!({
            "type": "object",
            "properties": {
                "principal": { "type": "object" },
                "delegation": { "type": "array", "items": { "type": "object" } },
                "agent": { "type": "object" },
                "scopes": texts,
                "expires_at": text,
                "targets": { "type": "array", "items": target },
            },
            "required": ["principal", "delegation", "agent", "scopes", "expires_at", "targets"],
        });
        let defined = json!({
            "title": "Who am I",
            "description": "Says who you are to this gateway, on whose behalf you act, until when, and which targets you may \
                connect to: `open` at any time, `granted` by a grant that stands, `grant_needed` once somebody agrees.",
            "inputSchema": { "type": "object", "properties": {}, "additionalProperties": false },
            "outputSchema": output,
            "annotations": { "readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false },
        });
        match defined {
            Value::Object(defined) => Some(defined),
            _ => None,
        }
    }

    async fn call(
        &self,
        inner: &Arc<Inner>,
        asked: &Asked,
        arguments: Map<String, Value>,
        _progress: &Progress,
    ) -> Result<ToolAnswer, RpcError> {
        if !arguments.is_empty() {
            return Err(RpcError::invalid_params("whoami takes no arguments; leave them out"));
        }
        let identity = asked.caller.identity();
        let structured = json!({
            "principal": identity.principal,
            "delegation": identity.delegation,
            "agent": identity.agent,
            "scopes": identity.scopes,
            "expires_at": identity.expires_at,
            "targets": targets(inner, &asked.caller),
        });
        Ok(ToolAnswer { structured, text: None, is_error: false, waits: Vec::new() })
    }
}

/// Those that the door would open to; of the others nothing is told, not even that they are there.
fn targets(inner: &Inner, caller: &Caller) -> Vec<Value> {
    let seen = inner.target_names().into_iter().filter_map(|name| {
        let entry = inner.target(&name)?;
        let kind = entry.kind();
        match door(inner, caller, &entry) {
            Door::Shut => None,
            Door::Open => Some(json!({ "name": name, "kind": kind, "access": "open" })),
            Door::ByGrant { until: None } => {
                Some(json!({ "name": name, "kind": kind, "access": "grant_needed" }))
            }
            Door::ByGrant { until: Some(until) } => Some(
                json!({ "name": name, "kind": kind, "access": "granted", "granted_until": until }),
            ),
        }
    });
    seen.collect()
}
