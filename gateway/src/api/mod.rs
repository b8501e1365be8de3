//! The HTTP routes beside `CONNECT`: health, for whoever runs the gateway, and what people and agents
//! ask of the gateway beside sessions: approvals, grants, revocations.
//!
//! Errors are JSON as everywhere on the fronts: `{"code":...,"message":...}`, where the message says what to do.

mod answers;
pub(crate) mod approvals;
mod body;
mod error;
mod extract;
pub(crate) mod grants;
mod revocations;
mod saml;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, OriginalUri, State};
use axum::http::header::{CACHE_CONTROL, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, StatusCode, request};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router, middleware};
use gateway_core::passage::Note;
use serde_json::json;
use tallyport_access::{Asked, ClientCertificate};
use tallyport_schemas::{Body, Decision, Draft, Front, SharedContext, TraceId};

use crate::front::{Authenticated, Twice, presented};
use crate::service::{Caller, Came, Gateway, Inner};
pub(crate) use error::ApiError;
pub(crate) use view::ApprovalView;

/// `GET /healthz`: 200 while events can be put on record, 503 while they cannot: then nothing passes.
/// `/v1`: see docs/reference/approvals.md, grants.md and revocation.md; every request of it needs a token, but that of a webhook,
/// which is signed (docs/reference/webhooks.md).
/// `/saml/token` and what its tokens are checked with, where that is configured: docs/reference/saml.md.
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
        .route("/revocations", get(revocations::list).post(revocations::revoke))
        .route("/revocations/{id}/lift", post(revocations::lift))
        .route("/webhooks/{name}/answers", post(answers::answer))
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
async fn not_kept(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The caller's token is checked, and that is on record, before a handler runs.
impl FromRequestParts<Arc<Inner>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(
        parts: &mut request::Parts,
        inner: &Arc<Inner>,
    ) -> Result<Self, ApiError> {
        let extensions = &parts.extensions;
        let (peer, front, trace_id) = (
            extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0),
            extensions.get::<Front>().copied(),
            extensions.get::<TraceId>().copied(),
        );
        // The fronts put all three there: without them it is not known who asks.
        let (Some(peer), Some(front), Some(trace_id)) = (peer, front, trace_id) else {
            return Err(ApiError::internal());
        };
        let presented = presented(&parts.headers, false);
        let presented = presented.map_err(|Twice(message)| ApiError::bad_request(message))?;
        let sent = presented.token.is_some();
        // As it was asked for, not as it was routed.
        let whole = extensions.get::<OriginalUri>().map_or(&parts.uri, |uri| &uri.0);
        let came = Came {
            token: presented.token.as_ref(),
            proof: presented.proof.as_deref(),
            certificate: extensions
                .get::<ClientCertificate>()
                .filter(|_| presented.token.is_some() || !is_a_browsers(&parts.headers)),
            asked: Asked { method: parts.method.as_str(), path: whole.path() },
            front,
            peer,
        };
        let caller = inner.caller(came, trace_id).await;
        caller.map_err(|refusal| ApiError::refusal(&refusal, sent))
    }
}

/// Whether a page caused the request. A browser sends its certificate whoever's page that is: alone it would let another site
/// act for the workload (as with cookies, which this API does not take either).
fn is_a_browsers(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site")
}

/// Puts a decision on record, before anything follows from it.
async fn recorded(
    inner: &Inner,
    context: &SharedContext,
    decision: Decision,
) -> Result<(), ApiError> {
    let draft = Draft::new(context.clone(), None, Body::Decision(decision));
    let recorded = inner.appender.commit(Note::new(vec![draft])).await;
    recorded.map(|_on_record| ()).map_err(|error| ApiError::not_on_record(&error))
}

/// An answer to a caller whose token is good: the connection counts as authenticated.
fn answered(body: impl serde::Serialize) -> Response {
    let mut response = Json(body).into_response();
    response.extensions_mut().insert(Authenticated);
    response
}
