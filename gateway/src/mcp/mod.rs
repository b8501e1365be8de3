//! `/mcp`: the gateway for clients of the Model Context Protocol. docs/reference/mcp.md.
//!
//! What a message says is gateway-core's to tell ([`gateway_core::mcp`]); here it comes in by HTTP, is checked in one order
//! ([`post`]), and is answered ([`answer`]). There are no sessions but those with a server behind the gateway
//! ([`upstream`]): each request brings its token, and that it did is on record before anything is made of its body.

mod answer;
mod challenge;
mod dispatch;
mod form;
mod guard;
mod limits;
mod metadata;
mod post;
mod seal;
mod sql;
mod tasks;
mod tools;
mod upstream;
mod waiting;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::header::ALLOW;
use axum::http::{HeaderValue, Method, StatusCode, request};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use axum::{Router, middleware};
use tallyport_access::Authenticator;
use tallyport_access::saml::SamlExchange;
use tallyport_schemas::Front;
use tracing::{Instrument as _, Span};

use crate::api::{ApiError, not_kept};
use crate::config::McpConfig;
use crate::front::call_span;
use crate::gate::Whole;
use crate::service::Inner;
use crate::turned_away::TurnedAway;
use guard::Names;
use limits::Calls;
pub use seal::Seal;
use tasks::Tasks;
pub use upstream::UpstreamError;
use upstream::Upstreams;
#[cfg(feature = "fuzz")]
pub use upstream::fuzz;
pub(crate) use upstream::{Defined, ServerView, ToolView};

const ENDPOINT: &str = "/mcp";
/// One server behind the gateway.
const SERVER: &str = "/mcp/{server}";
/// RFC 9728 section 3: of the host, and of the endpoint.
const METADATA: [&str; 2] =
    ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"];
/// The same resource, for clients that look for it by the address of a server.
const METADATA_OF_SERVER: &str = "/.well-known/oauth-protected-resource/mcp/{server}";

/// What `/mcp` is served with.
#[derive(Debug)]
pub(crate) struct McpState {
    config: McpConfig,
    names: Names,
    /// Where clients get tokens: the gateway's own issuer last, which takes nothing but assertions.
    authorization_servers: Vec<String>,
    calls: Arc<Calls>,
    upstreams: Upstreams,
    tasks: Tasks,
}

impl McpState {
    pub(crate) const fn patience(&self) -> Duration {
        self.config.limits.patience
    }

    pub(crate) fn new(
        config: McpConfig,
        (names, seal, whole): (&[String], &Seal, &Arc<Whole>),
        authenticator: &Authenticator,
        saml: Option<&SamlExchange>,
    ) -> Result<Self, UpstreamError> {
        let own = saml.map(SamlExchange::issuer);
        let mut authorization_servers: Vec<String> =
            authenticator.authorization_servers().map(str::to_owned).collect();
        authorization_servers.sort_by_key(|issuer| own == Some(issuer.as_str()));
        let upstreams = Upstreams::new(config.servers.clone(), seal, whole)?;
        Ok(Self {
            upstreams,
            tasks: Tasks::default(),
            names: Names::new(names, &config),
            calls: Arc::new(Calls::new(config.limits)),
            authorization_servers,
            config,
        })
    }

    /// Begins to look at the servers behind the gateway.
    pub(crate) fn keep_upstreams(&self, inner: &Arc<Inner>) {
        self.upstreams.keep(inner, self.config.look_every);
    }

    /// Waits until no call is under way; who only listens is not waited for.
    pub(crate) async fn calls_ended(&self) {
        self.calls.ended().await;
    }

    /// All servers behind the gateway, by name, without their tools.
    pub(crate) fn servers(&self, inner: &Inner) -> Vec<ServerView> {
        self.upstreams.all().map(|it| it.view(inner, false)).collect()
    }

    fn has_server(&self, name: &str) -> bool {
        self.upstreams.get(name).is_some()
    }

    /// One of them, with its tools.
    pub(crate) fn server(&self, inner: &Inner, name: &str) -> Option<ServerView> {
        self.upstreams.get(name).map(|it| it.view(inner, true))
    }

    /// A tool of one.
    pub(crate) fn tool(&self, inner: &Inner, server: &str, tool: &str) -> Option<ToolView> {
        self.upstreams.get(server)?.tool_view(inner, tool)
    }

    /// A tool that one has now, as it might be accepted.
    pub(crate) fn defined(&self, inner: &Inner, server: &str, tool: &str) -> Option<Defined> {
        self.upstreams.get(server)?.defined(inner, tool)
    }
}

/// The routes; none where it is not configured.
pub(crate) fn routes(configured: bool) -> Router<Arc<Inner>> {
    if !configured {
        return Router::new();
    }
    let endpoint = Router::new()
        .route(ENDPOINT, any(endpoint))
        .route(SERVER, any(server))
        .layer(middleware::map_response(not_kept));
    let documents = METADATA
        .into_iter()
        .chain([METADATA_OF_SERVER])
        .fold(Router::new(), |router, path| router.route(path, get(metadata::document)))
        .method_not_allowed_fallback(|| async { ApiError::no_method() });
    endpoint.merge(documents)
}

async fn endpoint(State(inner): State<Arc<Inner>>, request: Request) -> Response {
    serve(&inner, None, request).await
}

async fn server(
    State(inner): State<Arc<Inner>>,
    Path(server): Path<String>,
    request: Request,
) -> Response {
    serve(&inner, Some(&server), request).await
}

/// Counts a request that was not for this gateway, or not of whom it should be.
fn turned_away(inner: &Inner, parts: &request::Parts, mut refused: Response) -> Response {
    let front = parts.extensions.get::<Front>().copied();
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
    if let (Some(cause), Some(front)) = (refused.extensions_mut().remove(), front) {
        inner.count_stranger(TurnedAway { front, cause, peer });
    }
    refused
}

/// What is told of a request where traces are collected; a name that is no server's is not.
fn span_of(mcp: &McpState, parts: &request::Parts, server: Option<&str>) -> Span {
    let extensions = &parts.extensions;
    let (Some(trace_id), Some(front)) = (extensions.get(), extensions.get::<Front>()) else {
        return Span::none();
    };
    let target = server.filter(|name| mcp.has_server(name));
    call_span(&parts.headers, *trace_id, target, *front)
}

async fn serve(inner: &Arc<Inner>, server: Option<&str>, request: Request) -> Response {
    let Some(mcp) = &inner.mcp else { return ApiError::no_route().into_response() };
    let (parts, body) = request.into_parts();
    let came = match mcp.names.check(&parts) {
        Ok(came) => came,
        Err(refused) => return turned_away(inner, &parts, *refused),
    };
    let span = span_of(mcp, &parts, server);
    let mut response = match (&parts.method, server) {
        (&Method::POST, _) => {
            post::serve(inner, mcp, &came, server, parts, body).instrument(span).await
        }
        (&Method::GET | &Method::DELETE, Some(server)) => {
            post::without_message(inner, mcp, &came, server, parts).instrument(span).await
        }
        (&Method::OPTIONS, _) => StatusCode::NO_CONTENT.into_response(),
        // At the endpoint of all there is no stream of the server's own and no session to end: it has neither.
        (_, server) => {
            let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
            let allowed = if server.is_some() { "POST, GET, DELETE" } else { "POST" };
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            response
        }
    };
    came.allow_page(response.headers_mut());
    response
}
