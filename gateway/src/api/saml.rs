//! `POST /saml/token`: a SAML assertion for a token (RFC 7522 at the token endpoint of RFC 6749), and what its tokens are
//! checked with. docs/reference/saml.md.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router, middleware};
use jiff::Timestamp;
use serde_json::{Value, json};
use tallyport_access::saml::{Exchanged, SamlExchange};
use tallyport_schemas::{Front, TraceId};
use zeroize::Zeroizing;

use super::error::ApiError;
use super::extract::{Most, Sent};
use super::not_kept;
use crate::front::{Authenticated, NotAuthenticated};
use crate::service::{Inner, NotExchanged};
use crate::tunnel::BearerToken;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:saml2-bearer";
const FORM: &str = "application/x-www-form-urlencoded";
/// A document of the largest size in base64, percent-encoded where a client does that, and the other fields.
const MAX_FORM_BYTES: usize = 512 * 1024;

/// The routes; none where no identity provider is configured.
pub(super) fn routes(configured: bool) -> Router<Arc<Inner>> {
    if !configured {
        return Router::new();
    }
    let kept = Router::new()
        .route("/saml/jwks.json", get(jwks))
        .route("/.well-known/openid-configuration", get(metadata))
        .route("/.well-known/oauth-authorization-server", get(metadata));
    Router::new()
        .route("/saml/token", post(token))
        .layer(Extension(Most(MAX_FORM_BYTES)))
        .layer(middleware::map_response(not_kept))
        .merge(kept)
        .method_not_allowed_fallback(|| async { ApiError::no_method() })
}

async fn jwks(State(inner): State<Arc<Inner>>) -> Response {
    published(&inner, |exchange| exchange.jwks(Timestamp::now()))
}

async fn metadata(State(inner): State<Arc<Inner>>) -> Response {
    published(&inner, SamlExchange::metadata)
}

fn published(inner: &Inner, of: fn(&SamlExchange) -> Value) -> Response {
    match &inner.saml {
        None => ApiError::no_route().into_response(),
        Some(exchange) => {
            let mut response = Json(of(exchange)).into_response();
            let kept = HeaderValue::from_static("public, max-age=60");
            response.headers_mut().insert(CACHE_CONTROL, kept);
            response
        }
    }
}

async fn token(
    State(inner): State<Arc<Inner>>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    front: Option<Extension<Front>>,
    trace_id: Option<Extension<TraceId>>,
    headers: HeaderMap,
    Sent(body, _room): Sent,
) -> Response {
    // The fronts put all three there: without them it is not known who asks.
    let (Some(exchange), Some(peer), Some(front), Some(trace_id)) =
        (&inner.saml, peer, front, trace_id)
    else {
        return ApiError::internal().into_response();
    };
    let assertion = match read(&headers, &body) {
        Ok(assertion) => assertion,
        Err(Bad { error, message }) => return refused(StatusCode::BAD_REQUEST, error, &message),
    };
    let came = (peer.0.0, front.0, trace_id.0);
    match inner.exchange(exchange, &assertion, came).await {
        Ok(exchanged) => given(&exchanged),
        Err(NotExchanged::NotNow(refusal)) => {
            refused(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", &refusal.message)
        }
        Err(NotExchanged::Refused(failure)) if failure.is_transient() => refused(
            StatusCode::SERVICE_UNAVAILABLE,
            "temporarily_unavailable",
            &format!("{}: {failure}", failure.code()),
        ),
        Err(NotExchanged::Refused(failure)) => {
            let message = format!("{}: {failure}", failure.code());
            let mut response = refused(StatusCode::BAD_REQUEST, "invalid_grant", &message);
            response.extensions_mut().insert(NotAuthenticated);
            response
        }
    }
}

/// Why a form is none: a code of RFC 6749 section 5.2, and what to send.
struct Bad {
    error: &'static str,
    message: String,
}

/// The assertion of a form that asks for this grant. No other field counts, and none may stand twice (RFC 6749 section
/// 3.2).
fn read(headers: &HeaderMap, body: &[u8]) -> Result<BearerToken, Bad> {
    let bad = |error, message: &str| Bad { error, message: message.to_owned() };
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case(FORM) {
        return Err(bad("invalid_request", &format!("send a form ({FORM})")));
    }
    let (mut grant, mut assertion) = (None, None);
    for (name, value) in url::form_urlencoded::parse(body) {
        let place = match &*name {
            "grant_type" => &mut grant,
            "assertion" => &mut assertion,
            _ => continue,
        };
        if place.replace(Zeroizing::new(value.into_owned())).is_some() {
            return Err(bad("invalid_request", &format!("`{name}` stands twice")));
        }
    }
    match grant.as_deref().map(String::as_str) {
        None => return Err(bad("invalid_request", &format!("`grant_type` is missing: {GRANT}"))),
        Some(GRANT) => {}
        Some(_) => return Err(bad("unsupported_grant_type", &format!("send {GRANT}"))),
    }
    match assertion {
        Some(assertion) if !assertion.is_empty() => Ok(BearerToken::new(assertion.to_string())),
        _ => Err(bad("invalid_request", "`assertion` is missing: base64url of the assertion")),
    }
}

/// RFC 6749 section 5.1.
fn given(exchanged: &Exchanged) -> Response {
    let left = exchanged.expires_at.duration_since(Timestamp::now()).as_secs().max(0);
    let mut response = Json(json!({
        "access_token": exchanged.token.expose(),
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": left,
    }))
    .into_response();
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response.extensions_mut().insert(Authenticated);
    response
}

/// RFC 6749 section 5.2.
fn refused(status: StatusCode, error: &str, message: &str) -> Response {
    // Of its text only what that section lets stand there.
    let plain = |c: char| if matches!(c, ' '..='~') && c != '"' && c != '\\' { c } else { '\'' };
    let message: String = message.chars().map(plain).collect();
    let mut response =
        (status, Json(json!({ "error": error, "error_description": message }))).into_response();
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
