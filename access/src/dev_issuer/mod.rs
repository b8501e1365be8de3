//! A token issuer for development: `tallyport dev` and `tallyport demo` start one, and so do tests.
//!
//! It listens on loopback only, keeps its key in memory only, and gives tokens by the client-credentials grant to the
//! clients it was started with. Whoever sits at this machine may sign in as any of those that are people: it is no
//! identity provider, and asks for no password.

mod client;
mod given;
mod key;
mod live;
mod people;
mod routes;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tallyport_schemas::PrincipalKind;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use client::DevClient;
use given::Given;
use key::SigningKey;
use live::LiveTokens;

use crate::IssuerConfig;

/// The audience of its tokens.
pub const AUDIENCE: &str = "tallyport";
/// The public client by which people sign in, in a browser or by a device's code.
pub const PEOPLE_CLIENT: &str = "tallyport-people";
/// The life of a token whose request names none.
pub const DEFAULT_TTL: Duration = Duration::from_secs(3600);
/// The longest life a request may name.
pub const MAX_TTL: Duration = Duration::from_secs(24 * 3600);
/// How long a stop waits for answers that are under way.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// A running issuer. Dropping it stops it.
#[derive(Debug)]
pub struct DevIssuer {
    /// Its `iss`, where its discovery document is found.
    pub issuer_url: String,
    /// Its token endpoint.
    pub token_url: String,
    state: Arc<State>,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct State {
    issuer_url: String,
    token_url: String,
    clients: Vec<DevClient>,
    keys: ArcSwap<Keys>,
    live: LiveTokens,
    given: Given,
}

impl State {
    /// One of those that are people.
    fn person(&self, id: &str) -> Option<&DevClient> {
        let is_it = |client: &&DevClient| client.id == id && client.kind == PrincipalKind::Human;
        self.clients.iter().find(is_it)
    }
}

/// The signing key, and what is published: the key before it too, so that its tokens live on.
#[derive(Debug)]
struct Keys {
    current: Arc<SigningKey>,
    previous: Option<Arc<SigningKey>>,
}

/// The issuer did not start.
#[derive(Debug, thiserror::Error)]
pub enum DevIssuerError {
    /// Anybody who can reach it could get tokens with guessable rights.
    #[error("the development issuer listens on loopback only, not on {0}; use 127.0.0.1:0")]
    NotLoopback(SocketAddr),
    /// It cannot listen.
    #[error("the development issuer cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No key could be made.
    #[error("the development issuer could not make a key")]
    Key,
}

impl DevIssuer {
    /// Starts on `listen` (port 0 takes a free one) with a fresh key.
    ///
    /// # Errors
    /// [`DevIssuerError`].
    ///
    /// # Cancel safety
    /// Cancel safe: nothing runs unless it returns.
    pub async fn start(
        listen: SocketAddr,
        clients: Vec<DevClient>,
    ) -> Result<Self, DevIssuerError> {
        if !listen.ip().is_loopback() {
            return Err(DevIssuerError::NotLoopback(listen));
        }
        let failed = |source| DevIssuerError::Listen { address: listen, source };
        let key = SigningKey::generate().ok_or(DevIssuerError::Key)?;
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let issuer_url = format!("http://{}", listener.local_addr().map_err(failed)?);
        let token_url = format!("{issuer_url}/token");
        let keys = ArcSwap::from_pointee(Keys { current: Arc::new(key), previous: None });
        let state = Arc::new(State {
            issuer_url: issuer_url.clone(),
            token_url: token_url.clone(),
            clients,
            keys,
            live: LiveTokens::default(),
            given: Given::default(),
        });
        let stop = CancellationToken::new();
        let router = routes::router(Arc::clone(&state));
        let serve =
            axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = serve.await {
                tracing::error!(%error, "the development issuer stopped");
            }
        }));
        Ok(Self { issuer_url, token_url, state, stop, task })
    }

    /// The clients it knows.
    #[must_use]
    pub fn clients(&self) -> &[DevClient] {
        &self.state.clients
    }

    /// How a service trusts it. Both run on one machine, so no clock skew is allowed for.
    #[must_use]
    pub fn issuer_config(&self) -> IssuerConfig {
        IssuerConfig {
            algorithms: vec!["ES256".to_owned()],
            token_types: vec!["at+jwt".to_owned()],
            clock_skew_seconds: 0,
            ..IssuerConfig::new(self.issuer_url.clone(), vec![AUDIENCE.to_owned()])
        }
    }

    /// Where it says whether a token still counts (RFC 7662).
    #[must_use]
    pub fn introspection_url(&self) -> String {
        format!("{}/introspect", self.issuer_url)
    }

    /// Its token counts no more: introspection says so from now on.
    pub fn revoke(&self, token: &str) {
        self.state.live.remove(token);
    }

    /// Signs with a new key from now on. The key before it stays published, the one before that does not.
    ///
    /// # Errors
    /// [`DevIssuerError::Key`]; nothing changed then.
    pub fn rotate_key(&self) -> Result<(), DevIssuerError> {
        let fresh = Arc::new(SigningKey::generate().ok_or(DevIssuerError::Key)?);
        self.state.keys.rcu(|keys| Keys {
            current: Arc::clone(&fresh),
            previous: Some(Arc::clone(&keys.current)),
        });
        Ok(())
    }

    /// Stops listening and waits a little for answers that are under way.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call stops it at once.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ended = tokio::time::timeout(STOP_WAIT, self.task).await;
    }
}
