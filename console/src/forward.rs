//! From the page to the services: the cookie becomes the bearer token that any other client would send.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE};
use axum::http::{Extensions, HeaderValue, Method, Response, StatusCode, Uri};
use futures::stream;
use tallyport_access::is_safe_url;
use tallyport_schemas::{Front, TraceId};
use tower::ServiceExt as _;
use url::Url;

use crate::config::{AuditService, ConsoleError};
use crate::error::PageError;
use crate::state::{Console, SignedIn};

/// A question to the audit is as long as its text may be, with its JSON around it.
const MAX_QUESTION_BYTES: usize = 256 * 1024;
/// Longer than the query service lets a question run.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(75);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The query service.
pub(crate) struct Audit {
    base: String,
    http: reqwest::Client,
}

impl Audit {
    pub(crate) fn new(service: AuditService) -> Result<Self, ConsoleError> {
        let failed = |error: &dyn std::fmt::Display| ConsoleError::Audit(error.to_string());
        let url = &service.url;
        if !is_safe_url(url) {
            return Err(failed(&"write it with https (http only on loopback): tokens go there"));
        }
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(AUDIT_TIMEOUT);
        if let Some(pem) = &service.roots_pem {
            let roots =
                reqwest::Certificate::from_pem_bundle(pem).map_err(|error| failed(&error))?;
            builder = builder.tls_certs_merge(roots);
        } else if url.scheme() == "http" {
            builder = builder.tls_certs_only(Vec::new());
        }
        let http = builder.build().map_err(|error| failed(&error))?;
        Ok(Self { base: url.as_str().trim_end_matches('/').to_owned(), http })
    }

    /// Asks in somebody's name.
    ///
    /// # Cancel safety
    /// A dropped call ends the question, which is on record.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        who: &SignedIn,
        body: Vec<u8>,
    ) -> Result<reqwest::Response, PageError> {
        let asked = self
            .http
            .request(method, format!("{}/v1/{path}", self.base))
            .bearer_auth(who.access_token.expose())
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .send();
        asked.await.map_err(|error| {
            tracing::warn!(error = %error.without_url(), "the query service cannot be asked");
            PageError::unavailable("the query service cannot be reached now; try again later")
        })
    }
}

/// `/console/api/...`: the gateway's `/v1/...`.
pub(crate) async fn api(
    State(console): State<Arc<Console>>,
    Path(path): Path<String>,
    mut request: Request,
) -> Result<Response<Body>, PageError> {
    let who = console.signed_in(request.headers()).ok_or_else(PageError::signed_out)?;
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    // Encoded again: what was decoded must not become another path.
    let mut url = Url::parse("http://gateway/v1").map_err(|_| PageError::no_route())?;
    url.path_segments_mut().map_err(|()| PageError::no_route())?.extend(path.split('/'));
    let uri = format!("{}{query}", url.path());
    *request.uri_mut() = uri.parse::<Uri>().map_err(|_| PageError::no_route())?;
    let value = HeaderValue::try_from(format!("Bearer {}", who.access_token.expose()));
    let mut value = value.map_err(|_| PageError::signed_out())?;
    value.set_sensitive(true);
    // What is known of the path that was asked for is not true of the one that is.
    *request.extensions_mut() = of_the_front(request.extensions());
    let headers = request.headers_mut();
    headers.remove(COOKIE);
    headers.insert(AUTHORIZATION, value);
    let answered = console.api.clone().oneshot(request).await;
    let mut response = answered.unwrap_or_else(|never| match never {});
    if response.status() == StatusCode::UNAUTHORIZED {
        // A browser would ask for a password of its own.
        response.headers_mut().remove(axum::http::header::WWW_AUTHENTICATE);
    }
    Ok(response)
}

/// What the fronts say of a request, and nothing of how it was routed.
pub(crate) fn of_the_front(all: &Extensions) -> Extensions {
    let mut kept = Extensions::new();
    if let Some(peer) = all.get::<ConnectInfo<SocketAddr>>() {
        kept.insert(*peer);
    }
    if let Some(front) = all.get::<Front>() {
        kept.insert(*front);
    }
    if let Some(trace_id) = all.get::<TraceId>() {
        kept.insert(*trace_id);
    }
    kept
}

/// `/console/audit/...`: what the query service offers under `/v1/sql` and `/v1/ask`.
pub(crate) async fn audit(
    State(console): State<Arc<Console>>,
    Path(path): Path<String>,
    request: Request,
) -> Result<Response<Body>, PageError> {
    let who = console.signed_in(request.headers()).ok_or_else(PageError::signed_out)?;
    let audit = console.audit.as_ref().ok_or_else(PageError::no_audit)?;
    let known = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let offered = path == "sql" || path == "ask" || path.strip_prefix("ask/").is_some_and(known);
    if !offered || !matches!(*request.method(), Method::GET | Method::POST) {
        return Err(PageError::no_route());
    }
    let method = request.method().clone();
    let body = axum::body::to_bytes(request.into_body(), MAX_QUESTION_BYTES).await;
    let body =
        body.map_err(|_| PageError::bad_request("the question is too long, or did not arrive"))?;
    let answer = audit.ask(method, &path, &who, body.to_vec()).await?;
    let status = answer.status();
    let kind = answer.headers().get(CONTENT_TYPE).cloned();
    let pieces = stream::try_unfold(answer, |mut answer| async move {
        let piece = answer.chunk().await.map_err(reqwest::Error::without_url)?;
        Ok::<_, reqwest::Error>(piece.map(|piece| (piece, answer)))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    *response.status_mut() = status;
    if let Some(kind) = kind {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    Ok(response)
}
