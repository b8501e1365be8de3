//! One message, checked in one order: who it is of, then its form, then what it says. docs/reference/mcp.md has the order.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::EXPECT;
use axum::http::{Method, StatusCode, request};
use axum::response::{IntoResponse as _, Response};
use gateway_core::mcp::{Era, HeaderView, Id, Incoming, Malformed, RequestMeta, RpcError, parse};
use serde_json::Value;
use tallyport_schemas::{Context, Decision, Effect, SharedContext, TargetKind, TargetRef};
use tokio::time::timeout;

use super::challenge::{Need, Operation};
use super::dispatch::{self, Message};
use super::form::{NotServed, Refused};
use super::guard::Came;
use super::limits::Owner;
use super::upstream::{self, CameWith, Spoken};
use super::{McpState, challenge, form};
use crate::api::{ApiError, NotKnown, checked, recorded, who};
use crate::config::SEPARATOR;
use crate::front::Authenticated;
use crate::service::Inner;

/// Whoever sends a message for longer is put on record before it is there.
const SOON: Duration = Duration::from_millis(50);

/// The rule that keeps a message from being served which the protocol does not permit, or which is one too many.
const REQUEST_RULE: &str = "tallyport:request";

/// A message that may be served.
struct Read {
    era: Era,
    meta: RequestMeta,
    incoming: Incoming,
}

pub(super) async fn serve(
    inner: &Arc<Inner>,
    mcp: &McpState,
    came: &Came,
    server: Option<&str>,
    parts: request::Parts,
    body: Body,
) -> Response {
    // Before anything else of it is looked at: a stranger costs no reading.
    let known = match checked(&parts, inner).await {
        Ok(known) => known,
        Err(why) => return challenge::unknown(mcp, came, &why),
    };
    let unrecorded = known.caller.unrecorded().cloned();
    let context = known.caller.context().clone();
    let settle = async || match &unrecorded {
        Some(unrecorded) => unrecorded.settle(&inner.appender).await,
        None => Ok(()),
    };
    let mut reading = pin!(read(mcp, &parts, body, server.is_some()));
    // Nothing tells that the token is good before that is on record: not that its message is waited for, nor an invitation to send it
    // (RFC 9110 section 10.1.1).
    let read = if parts.headers.contains_key(EXPECT) {
        None
    } else {
        timeout(SOON, &mut reading).await.ok()
    };
    let read = match read {
        Some(read) => read,
        None => {
            if let Err(error) = settle().await {
                return challenge::unknown(mcp, came, &NotKnown::off_record(&error));
            }
            reading.await
        }
    };
    // A call of a server's tool is on record in one with the check; everything else comes after it.
    if !read.as_ref().is_ok_and(|read| calls_a_server(read, server))
        && let Err(error) = settle().await
    {
        return challenge::unknown(mcp, came, &NotKnown::off_record(&error));
    }
    let mut response = match (read, server) {
        (Err(refused), _) => *refused,
        (Ok(read), Some(server)) => {
            let with = CameWith::of(&parts.headers);
            upstream::serve(inner, mcp, came, (server, with), (known, spoken(read))).await
        }
        (Ok(Read { era, meta, incoming }), None) => match incoming {
            Incoming::Answer { .. } => {
                let error = RpcError::invalid_request("nothing was asked of this client");
                failed(&error, era, None)
            }
            Incoming::Notification { method, params } => {
                let owner = Owner::new(known.caller.identity(), known.peer.ip());
                dispatch::notified(mcp, era, &owner, &method, &params);
                StatusCode::ACCEPTED.into_response()
            }
            Incoming::Request { id, method, params } => {
                let message = Message { era, meta, id, method, params };
                dispatch::asked(inner, mcp, came, known, message).await
            }
        },
    };
    // Whatever became of the call, nothing is told before the check is on record.
    if let Err(error) = settle().await {
        return challenge::unknown(mcp, came, &NotKnown::off_record(&error));
    }
    if let Err(error) = not_served(inner, &context, server, &mut response).await {
        response = error.into_response();
    }
    // Whoever is known is known, whatever they sent.
    response.extensions_mut().insert(Authenticated);
    response
}

/// Puts on record that a message was not served, before that is told.
async fn not_served(
    inner: &Inner,
    context: &SharedContext,
    server: Option<&str>,
    response: &mut Response,
) -> Result<(), ApiError> {
    let Some(NotServed(why)) = response.extensions_mut().remove() else { return Ok(()) };
    let known = server.filter(|name| inner.mcp.as_ref().is_some_and(|mcp| mcp.has_server(name)));
    let target = known.map(|name| TargetRef {
        name: name.to_owned(),
        kind: TargetKind::Mcp,
        database: None,
    });
    let context = Context { target, ..Context::clone(context) };
    let decision = Decision {
        effect: Effect::Deny,
        actions: Vec::new(),
        resources: Vec::new(),
        policy_ids: vec![REQUEST_RULE.to_owned()],
        policy_version: inner.policy.current().version().to_owned(),
        obligations: Vec::new(),
        reasons: vec![why],
        command_id: None,
    };
    recorded(inner, &context.into(), decision).await
}

/// Whether it calls a tool of a server behind the gateway.
fn calls_a_server(read: &Read, server: Option<&str>) -> bool {
    let Incoming::Request { method, params, .. } = &read.incoming else { return false };
    let name = || params.get("name").and_then(Value::as_str).unwrap_or_default();
    method == "tools/call" && (server.is_some() || name().contains(SEPARATOR))
}

/// What comes to a server without a message: somebody listens, or ends a session.
pub(super) async fn without_message(
    inner: &Arc<Inner>,
    mcp: &McpState,
    came: &Came,
    server: &str,
    parts: request::Parts,
) -> Response {
    let known = match who(&parts, inner).await {
        Ok(known) => known,
        Err(why) => return challenge::unknown(mcp, came, &why),
    };
    let context = known.caller.context().clone();
    let operation = Operation { action: "mcp:connect", resource: server, need: Need::Connect };
    let suffices = mcp.check_scopes(inner, came, &known.caller, operation).await;
    let with = CameWith::of(&parts.headers);
    let mut response = match suffices {
        Err(refused) => *refused,
        Ok(()) if parts.method == Method::DELETE => {
            upstream::delete(inner, mcp, (server, with), known).await
        }
        Ok(()) => match form::check_events(&parts.headers) {
            Ok(()) => upstream::listen(inner, mcp, (server, with), known).await,
            Err(refused) => *refused,
        },
    };
    if let Err(error) = not_served(inner, &context, Some(server), &mut response).await {
        response = error.into_response();
    }
    response.extensions_mut().insert(Authenticated);
    response
}

fn spoken(Read { era, meta, incoming }: Read) -> Spoken {
    match incoming {
        Incoming::Request { id, method, params } => {
            Spoken::Request(Box::new(Message { era, meta, id, method, params }))
        }
        Incoming::Notification { method, params } => Spoken::Notification(era, method, params),
        Incoming::Answer { id, outcome } => Spoken::Answer(era, id, outcome),
    }
}

/// An error in answer to a message.
pub(super) fn failed(error: &RpcError, era: Era, id: Option<&Id>) -> Response {
    let status = StatusCode::from_u16(error.status(era));
    form::failure(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error, &error.body(id))
}

async fn read(
    mcp: &McpState,
    parts: &request::Parts,
    body: Body,
    has_sessions: bool,
) -> Result<Read, Refused> {
    form::check(&parts.headers)?;
    let body = form::whole(body, &parts.headers, mcp.config.max_body_bytes).await?;
    let incoming = parse(&body).map_err(|Malformed { id, error }| {
        // No revision is known yet; all of them answer it so.
        Refused::from(failed(&error, Era::Legacy, id.as_ref()))
    })?;
    let headers = form::view(&parts.headers);
    match understood(&headers, &incoming) {
        Ok((era, _))
            if era == Era::Legacy
                && !has_sessions
                && parts.headers.contains_key("mcp-session-id") =>
        {
            // The specification's word for a session that is over: the client begins anew.
            let error = RpcError::invalid_request("there are no sessions here; send initialize");
            Err(form::failure(StatusCode::NOT_FOUND, &error, &error.body(incoming.id())).into())
        }
        Ok((era, meta)) => Ok(Read { era, meta, incoming }),
        Err(error) => Err(failed(&error, Era::Legacy, incoming.id()).into()),
    }
}

fn understood(
    headers: &HeaderView<'_>,
    incoming: &Incoming,
) -> Result<(Era, RequestMeta), RpcError> {
    let era = Era::of(incoming, headers)?;
    let meta = match incoming {
        Incoming::Request { params, .. } => RequestMeta::read(era, params)?,
        Incoming::Notification { .. } | Incoming::Answer { .. } => RequestMeta::default(),
    };
    if era == Era::Modern {
        headers.check(incoming)?;
    }
    Ok((era, meta))
}
