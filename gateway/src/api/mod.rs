//! The HTTP routes beside `CONNECT`: health, for whoever runs the gateway, and what people and agents
//! ask of the gateway beside sessions: approvals, grants, revocations, definitions of tools.
//!
//! Errors are JSON as everywhere on the fronts: `{"code":...,"message":...}`, where the message says what to do.

mod answers;
pub(crate) mod approvals;
mod body;
mod error;
mod extract;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
pub(crate) mod grants;
mod mcp_servers;
mod revocations;
mod saml;
mod view;
mod who;

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router, middleware};
use gateway_core::passage::Note;
use serde_json::json;
use tallyport_schemas::{Body, Decision, Draft, Effect, SharedContext};

use crate::front::Authenticated;
use crate::mcp;
use crate::service::{Caller, Gateway, Inner};
pub(crate) use error::ApiError;
pub(crate) use grants::{Door, door};
pub(crate) use view::ApprovalView;
pub(crate) use who::{Known, NotKnown, checked, who};

/// `GET /healthz`: 200 while events can be put on record, 503 while they cannot: then nothing passes.
/// `/v1`: see docs/reference/approvals.md, grants.md, revocation.md and mcp-servers.md; every request of it needs a token, but that of a webhook,
/// which is signed (docs/reference/webhooks.md).
/// `/saml/token` and what its tokens are checked with, where that is configured: docs/reference/saml.md.
/// `/mcp` and how its clients get tokens, likewise: docs/reference/mcp.md.
pub fn router(gateway: &Gateway) -> Router {
    let inner = gateway.inner();
    let v1 = Router::new()
        .route("/whoami", get(whoami))
        .route("/approvals", get(approvals::list))
        .route("/approvals/{id}", get(approvals::show))
        .route("/approvals/{id}/approve", post(approvals::approve))
        .route("/approvals/{id}/deny", post(approvals::deny))
        .route("/approvals/{id}/withdraw", post(approvals::withdraw))
        .route("/grants", post(grants::request))
        .route("/mcp/servers", get(mcp_servers::list))
        .route("/mcp/servers/{server}", get(mcp_servers::show))
        .route("/mcp/servers/{server}/tools/{tool}/accept", post(mcp_servers::accept))
        .route("/revocations", get(revocations::list).post(revocations::revoke))
        .route("/revocations/{id}/lift", post(revocations::lift))
        .merge(answers::routes())
        .fallback(|| async { ApiError::no_route() })
        .method_not_allowed_fallback(|| async { ApiError::no_method() })
        .layer(middleware::map_response(not_kept));
    // A nest does not match its own name with a slash.
    let none = any(|| async { not_kept(ApiError::no_route().into_response()).await });
    Router::new()
        .route("/healthz", get(healthz))
        .route("/v1/", none)
        .nest("/v1", v1)
        .merge(saml::routes(inner.saml.is_some()))
        .merge(mcp::routes(inner.mcp.is_some()))
        .with_state(inner)
}

async fn healthz(State(inner): State<Arc<Inner>>) -> Response {
    // What is wrong is for the gateway's own log: this route asks for no token.
    let healthy = inner.appender.health().ok;
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if healthy { "ok" } else { "log_unavailable" };
    (status, Json(json!({ "status": word }))).into_response()
}

/// `GET /v1/whoami`: whose the token is, as the gateway and policy know them.
async fn whoami(caller: Caller) -> Response {
    let identity = caller.identity();
    answered(json!({
        "principal": identity.principal,
        "delegation": identity.delegation,
        "agent": identity.agent,
        "expires_at": identity.expires_at,
    }))
}

/// What is answered is for one reader at one moment.
pub(crate) async fn not_kept(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Puts a decision on record, before anything follows from it.
pub(crate) async fn recorded(
    inner: &Inner,
    context: &SharedContext,
    decision: Decision,
) -> Result<(), ApiError> {
    let draft = Draft::new(context.clone(), None, Body::Decision(decision));
    let recorded = inner.appender.commit(Note::new(vec![draft])).await;
    recorded.map(|_on_record| ()).map_err(|error| ApiError::not_on_record(&error))
}

/// Puts on record that what was asked for is refused, as `error` says; gives what the caller is told then.
pub(crate) async fn denied(
    inner: &Inner,
    caller: &Caller,
    asked: Decision,
    error: ApiError,
) -> ApiError {
    let Some(why) = error.refuses() else { return error };
    let reasons = vec![why.to_owned()];
    let denied = Decision { effect: Effect::Deny, policy_ids: Vec::new(), reasons, ..asked };
    recorded(inner, caller.context(), denied).await.err().unwrap_or(error)
}

/// An answer to a caller whose token is good: the connection counts as authenticated.
fn answered(body: impl serde::Serialize) -> Response {
    let mut response = Json(body).into_response();
    response.extensions_mut().insert(Authenticated);
    response
}
