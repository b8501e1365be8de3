//! The tools of all servers at `/mcp`: `SERVER__TOOL`, for clients of either revision, whichever their server speaks.

use std::sync::Arc;

use axum::response::Response;
use gateway_core::mcp::{Era, Id, RpcError, fields_of};
use serde_json::{Value, json};
use tracing::Span;

use super::called::{Called, Prepared, Way, serve};
use super::exchange::Amend;
use super::question::{Admitted, NotAdmitted};
use super::wire::Manner;
use super::{Upstreams, listed, request};
use crate::api::Known;
use crate::config::SEPARATOR;
use crate::mcp::McpState;
use crate::mcp::answer;
use crate::mcp::dispatch::Message;
use crate::mcp::limits::Owner;
use crate::mcp::post::failed;
use crate::mcp::waiting::Client;
use crate::service::{Caller, Inner};

/// What clients take as the name of a tool.
const MAX_NAME_CHARS: usize = 128;

/// Whether a tool of this name is some server's.
pub(in crate::mcp) fn is_federated(upstreams: &Upstreams, name: &str) -> bool {
    name.split_once(SEPARATOR).is_some_and(|(server, _)| upstreams.get(server).is_some())
}

/// The tools of all servers that somebody may call. One that gave no answer yet has none: it keeps no other waiting.
pub(in crate::mcp) async fn list(
    inner: &Arc<Inner>,
    upstreams: &Upstreams,
    caller: &Arc<Caller>,
) -> Vec<Value> {
    let mut all = Vec::new();
    for upstream in upstreams.all() {
        let Some(look) = upstream.definitions.now() else { continue };
        // To see no tools of a server that one may not use is no attempt at anything.
        let Some(admitted) = Admitted::quietly(inner, upstream, caller) else { continue };
        for mut defined in listed::tools(&admitted, &look) {
            let name = defined.get("name").and_then(Value::as_str).unwrap_or_default();
            let name = format!("{}{SEPARATOR}{name}", upstream.name());
            if name.len() > MAX_NAME_CHARS {
                continue;
            }
            if let Value::Object(defined) = &mut defined {
                defined.insert("name".to_owned(), json!(name));
                all.push(Value::Object(std::mem::take(defined)));
            }
        }
    }
    all
}

/// Calls one.
pub(in crate::mcp) async fn call(
    inner: &Arc<Inner>,
    mcp: &McpState,
    known: Known,
    mut message: Message,
) -> Response {
    let client = Client::of(&mut message, None);
    let (era, id) = (message.era, message.id.clone());
    let owner = Owner::new(known.caller.identity(), known.peer.ip());
    let Some(under_way) = mcp.calls.begin(owner, id.clone()) else {
        return answer::too_many(era, &id);
    };
    match prepare(inner, mcp, Arc::new(known.caller), &message).await {
        Ok(prepared) => serve(under_way, prepared, (client, &message)).await,
        Err(error) => failed(&error, era, Some(&id)),
    }
}

async fn prepare(
    inner: &Arc<Inner>,
    mcp: &McpState,
    caller: Arc<Caller>,
    message: &Message,
) -> Result<Prepared, RpcError> {
    let name = message.params.get("name").and_then(Value::as_str).unwrap_or_default();
    let unknown = || RpcError::unknown_tool(name);
    let (server, tool) = name.split_once(SEPARATOR).ok_or_else(unknown)?;
    let admitted = Admitted::of(inner, mcp.upstreams.get(server), server, &caller).await;
    let admitted = admitted.map_err(|why| match why {
        NotAdmitted::Unknown => unknown(),
        why => why.error(server),
    })?;
    Span::current().record("target", admitted.upstream.name());
    if admitted.upstream.definitions.now().is_none() {
        admitted.settle().await?;
    }
    let look = admitted.upstream.definitions.get(inner, &admitted.upstream).await;
    let look = look.ok_or_else(|| {
        RpcError::ended(format!("the server {server} cannot be used now; try again later"))
    })?;
    let mut sent = message.params.clone();
    sent.insert("name".to_owned(), json!(tool));
    let called = Called::of(&admitted, &look, &sent).map_err(|error| match error.message() {
        told if told.starts_with("Unknown tool") => unknown(),
        _ => error,
    })?;
    let is_modern = look.modern.is_some();
    let speaks = if is_modern { Era::Modern } else { Era::Legacy };
    let client = message.meta.client().map(|client| client.name.as_str());
    let mut params =
        request::params((speaks, "tools/call"), &called.with_meta(&message.params), client);
    let alias = admitted.upstream.wire.alias(&message.id, &mut params);
    let wire = request::message(Some(alias.at_server()), "tools/call", params);
    let amend = (speaks != message.era).then(|| translation(message.era));
    let way = if is_modern {
        Way::Modern(Manner::modern(fields_of(&wire), called.fields()))
    } else {
        Way::Alone
    };
    Ok(Prepared { admitted: Arc::new(admitted), called, alias, wire, way, amend })
}

/// Puts an answer into the words of the client's revision.
fn translation(client: Era) -> Amend {
    Arc::new(move |message: &mut Value| {
        if client == Era::Legacy && wants_input(message) {
            let id = message.get("id").and_then(Id::read);
            let why = "the server wants input first, which a client of this revision cannot give; use 2026-07-28";
            *message = RpcError::ended(why).body(id.as_ref());
            return;
        }
        let Some(Value::Object(result)) = message.get_mut("result") else { return };
        if client == Era::Legacy {
            result.remove("resultType");
        } else {
            result.entry("resultType").or_insert_with(|| json!("complete"));
        }
    })
}

fn wants_input(message: &Value) -> bool {
    let kind = message.get("result").and_then(|it| it.get("resultType"));
    kind.and_then(Value::as_str).is_some_and(|kind| kind != "complete")
}
