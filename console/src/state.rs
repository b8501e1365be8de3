//! What all requests share, and the routes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tallyport_access::SecretToken;
use tallyport_access::client::CodeFlow;
use tokio::sync::Semaphore;
use url::Url;

use crate::assets;
use crate::config::{ConsoleConfig, ConsoleError};
use crate::cookie;
use crate::error::PageError;
use crate::forward::{self, Audit};
use crate::guard;
use crate::replay;
use crate::seal::{Purpose, SealKey};
use crate::sign_in::{self, Witness};

/// Sign-ins that are with an issuer's token endpoint at once; more wait.
const MAX_FINISHING: usize = 16;
/// Sessions that are replayed at once: each takes some hundred MiB at most.
const MAX_REPLAYING: usize = 2;
/// How long a sign-in lasts, however often its token is renewed.
pub(crate) const MAX_SIGNED_IN: Duration = Duration::from_secs(12 * 3600);

/// The pages, ready to be served.
pub struct Console {
    pub(crate) public_url: Url,
    pub(crate) providers: Vec<Provider>,
    pub(crate) seal: SealKey,
    pub(crate) audit: Option<Audit>,
    /// The gateway's own API.
    pub(crate) api: Router,
    pub(crate) witness: Arc<dyn Witness>,
    pub(crate) finishing: Semaphore,
    pub(crate) replaying: Semaphore,
}

/// Where people sign in.
pub(crate) struct Provider {
    /// Where browsers come back from this one alone, so that none can pass for another (RFC 9700 section 4.4.2).
    pub(crate) redirect_uri: Url,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) flow: CodeFlow,
}

/// Who is signed in: the sealed cookie's content.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SignedIn {
    pub(crate) provider: String,
    #[serde(serialize_with = "SecretToken::exposed")]
    pub(crate) access_token: SecretToken,
    #[serde(serialize_with = "SecretToken::exposed_or_none")]
    pub(crate) refresh_token: Option<SecretToken>,
    pub(crate) expires_at: Timestamp,
    pub(crate) since: Timestamp,
}

impl Console {
    /// `api`: the gateway's router with `/v1`, which is asked as any client asks it.
    ///
    /// # Errors
    /// [`ConsoleError`].
    pub fn new(
        config: ConsoleConfig,
        api: Router,
        witness: Arc<dyn Witness>,
    ) -> Result<Self, ConsoleError> {
        config.check()?;
        let mut providers = Vec::new();
        for provider in config.providers {
            let flow = CodeFlow::new(provider.client)
                .map_err(|source| ConsoleError::Client { id: provider.id.clone(), source })?;
            let back = format!("/console/callback/{}", provider.id);
            let redirect_uri =
                config.public_url.join(&back).map_err(|_| ConsoleError::PublicUrl)?;
            providers.push(Provider { redirect_uri, id: provider.id, name: provider.name, flow });
        }
        Ok(Self {
            public_url: config.public_url,
            providers,
            seal: config.key.map_or_else(SealKey::random, Ok)?,
            audit: config.audit.map(Audit::new).transpose()?,
            api,
            witness,
            finishing: Semaphore::new(MAX_FINISHING),
            replaying: Semaphore::new(MAX_REPLAYING),
        })
    }

    /// Everything below `/console`; who asks for no path at all is sent there.
    pub fn router(self) -> Router {
        let console = Arc::new(self);
        // What only the page itself may ask.
        let page = Router::new()
            .route("/console/session", get(sign_in::session))
            .route("/console/renew", post(sign_in::renew))
            .route("/console/sign-out", post(sign_in::sign_out))
            .route("/console/api/{*path}", any(forward::api))
            .route("/console/audit/{*path}", any(forward::audit))
            .route("/console/sessions/{id}/replay", get(replay::replay))
            .route_layer(middleware::from_fn_with_state(Arc::clone(&console), page_only));
        Router::new()
            .route("/", get(|| async { Redirect::temporary("/console/") }))
            .route("/console", get(|| async { Redirect::permanent("/console/") }))
            .route("/console/", get(assets::index))
            .route("/console/assets/{name}", get(assets::asset))
            .route("/console/sign-in", get(sign_in::begin))
            .route("/console/callback/{provider}", get(sign_in::callback))
            .route("/console/{*path}", any(|| async { PageError::no_route() }))
            .merge(page)
            .route_layer(middleware::from_fn_with_state(Arc::clone(&console), everywhere))
            .with_state(console)
    }

    /// Who is signed in, as the cookie says; whether the token still counts is the gateway's to say.
    pub(crate) fn signed_in(&self, headers: &axum::http::HeaderMap) -> Option<SignedIn> {
        let sealed = cookie::read_session(headers)?;
        let signed_in: SignedIn = self.seal.open(Purpose::Session, &sealed)?;
        let oldest = Timestamp::now() - MAX_SIGNED_IN;
        (signed_in.since > oldest).then_some(signed_in)
    }

    pub(crate) fn provider(&self, id: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.id == id)
    }
}

async fn page_only(
    State(console): State<Arc<Console>>,
    request: Request,
    next: Next,
) -> Result<Response, PageError> {
    guard::from_the_page(request.headers(), &console.public_url)?;
    Ok(next.run(request).await)
}

/// What holds for every answer, and for every name that the gateway is reached by.
async fn everywhere(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let mut response = if guard::is_own_host(request.headers(), request.uri(), &console.public_url)
    {
        next.run(request).await
    } else if request.uri().path() == "/console/" {
        // Whoever typed an address instead of the name.
        Redirect::temporary(&format!("{}console/", console.public_url)).into_response()
    } else {
        PageError::not_from_the_page("use the gateway's public name").into_response()
    };
    assets::protect(response.headers_mut());
    response
}

#[cfg(test)]
mod tests;
