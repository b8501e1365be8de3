//! The pages for people, beside the gateway's API.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tallyport_access::client::{ChangingSecret, ClientAuthentication, ClientSettings};
use tallyport_access::{AuthFailure, SecretToken};
use tallyport_console::{
    AuditService, Console, ConsoleConfig, ConsoleError, SealKey, SignInConfig, Witness,
};
use tallyport_gateway::Gateway;
use tallyport_gateway::config::{Credential, Secret};
use tallyport_schemas::{Front, TraceId};
use tower::ServiceExt as _;
use url::Url;

use super::secrets::Changing;
use crate::config::{Config, RawConsole, RawSignIn};
use crate::exit::Failure;

/// What the pages are to be.
pub enum ConsolePlan {
    /// As a configuration file says.
    Known(ConsoleConfig),
    /// Of `dev`, whose port is known once it listens.
    Dev {
        /// The development issuer.
        issuer: String,
        /// Its public client.
        client_id: String,
        /// The audience of its tokens.
        audience: String,
        /// The query service, once it listens.
        query: Option<SocketAddr>,
    },
}

impl ConsolePlan {
    /// From a configuration file, where it has the section; its secrets that may change go to `changing`.
    pub fn from_config(
        config: &Config,
        changing: &mut Vec<Changing>,
    ) -> Result<Option<Self>, Failure> {
        let Some(raw) = &config.console else { return Ok(None) };
        let named = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("{}: {error}", config.path.display()))
        };
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| named(&format!("{}: {error}", path.display())))
        };
        let secret = |key: &str, credential: &Credential| match credential.read_first() {
            Ok(secret) => Ok(SecretToken::new(secret.expose())),
            Err(error) => Err(named(&format!("console.{key}: {error}"))),
        };
        let mut sign_in = |raw: &RawSignIn| {
            let at = format!("sign_in.{}", raw.id);
            let issuer =
                config.issuers.iter().find(|it| it.issuer == raw.issuer).ok_or_else(|| {
                    named(&format!(
                        "console.{at}.issuer: it is none of [[issuers]]; trust it there first"
                    ))
                })?;
            Ok::<_, Failure>(SignInConfig {
                id: raw.id.clone(),
                name: raw.name.clone(),
                client: ClientSettings {
                    issuer: raw.issuer.clone(),
                    client_id: raw.client_id.clone(),
                    authentication: match &raw.client_secret {
                        None => ClientAuthentication::Public,
                        Some(it) => {
                            let key = format!("{at}.client_secret");
                            let shared = ChangingSecret::new(secret(&key, it)?);
                            let own = shared.clone();
                            let take = move |secret: &Secret| {
                                Ok(own.set(SecretToken::new(secret.expose())))
                            };
                            changing.push(Changing::new(&format!("console.{key}"), it, take));
                            ClientAuthentication::Changing(shared)
                        }
                    },
                    audience: raw.audience.clone().or_else(|| issuer.audiences.first().cloned()),
                    scope: Some(raw.scope.clone()).filter(|scope| !scope.is_empty()),
                    roots_pem: issuer.ca_file.as_deref().map(read).transpose()?,
                },
            })
        };
        let providers = raw.sign_in.iter().map(&mut sign_in).collect::<Result<_, _>>()?;
        let key = match &raw.key {
            None => None,
            Some(credential) => {
                let secret = secret("key", credential)?;
                Some(seal_key(credential, &secret, changing).map_err(|error| named(&error))?)
            }
        };
        let plan = ConsoleConfig {
            public_url: raw.public_url.clone(),
            providers,
            key,
            audit: audit(config, raw)
                .map(|url| {
                    let roots_pem = raw.query_ca.as_deref().map(read).transpose()?;
                    Ok::<_, Failure>(AuditService { url, roots_pem })
                })
                .transpose()?,
        };
        plan.check().map_err(|error| named(&error))?;
        Ok(Some(Self::Known(plan)))
    }

    /// Where the query service of this process listens: `dev` takes any port for it.
    #[cfg(feature = "query")]
    pub fn query_listens(&mut self, at: SocketAddr) {
        if let Self::Dev { query, .. } = self {
            *query = Some(at);
        }
    }

    fn into_config(self, front: SocketAddr) -> Result<ConsoleConfig, Failure> {
        let (issuer, client_id, audience, query) = match self {
            Self::Known(config) => return Ok(config),
            Self::Dev { issuer, client_id, audience, query } => {
                (issuer, client_id, audience, query)
            }
        };
        let url = |text: String| Url::parse(&text).map_err(Failure::failed);
        Ok(ConsoleConfig {
            public_url: url(format!("https://localhost:{}", front.port()))?,
            providers: vec![SignInConfig {
                id: "dev".to_owned(),
                name: "Development issuer".to_owned(),
                client: ClientSettings {
                    issuer,
                    client_id,
                    authentication: ClientAuthentication::Public,
                    audience: Some(audience),
                    scope: None,
                    roots_pem: None,
                },
            }],
            key: None,
            audit: query
                .map(|query| {
                    Ok(AuditService { url: url(format!("http://{query}"))?, roots_pem: None })
                })
                .transpose()?,
        })
    }
}

/// The key of cookies, which may change.
fn seal_key(
    from: &Credential,
    secret: &SecretToken,
    changing: &mut Vec<Changing>,
) -> Result<SealKey, ConsoleError> {
    let key = SealKey::of_secret(secret.expose())?;
    let own = key.clone();
    let take = move |secret: &Secret| own.renew(secret.expose()).map_err(|error| error.to_string());
    changing.push(Changing::new("console.key", from, take));
    Ok(key)
}

/// The query service that runs in the same process, where nothing else is said.
fn audit(config: &Config, raw: &RawConsole) -> Option<Url> {
    let here =
        config.query.as_ref().filter(|query| query.tls.is_none()).and_then(|query| query.http);
    let here = here.filter(|address| address.port() != 0);
    raw.query_url.clone().or_else(|| Url::parse(&format!("http://{}", here?)).ok())
}

/// The pages: there from the start, served once the front's own address is known.
#[derive(Clone, Default)]
pub struct Pages(Arc<OnceLock<Router>>);

impl Pages {
    /// The gateway's API, and the pages for what is none of it.
    pub fn beside(&self, api: Router) -> Router {
        let pages = self.clone();
        api.fallback(move |request: Request| pages.answer(request))
    }

    /// Serves `plan` from now on.
    pub fn serve(
        &self,
        plan: ConsolePlan,
        front: SocketAddr,
        gateway: &Gateway,
        api: Router,
    ) -> Result<(), Failure> {
        let witness = Arc::new(OnRecord(gateway.clone()));
        let console =
            Console::new(plan.into_config(front)?, api, witness).map_err(Failure::usage)?;
        // It is served once: a second call would change nothing.
        let _first = self.0.set(console.router());
        Ok(())
    }

    async fn answer(self, request: Request) -> Response {
        match self.0.get() {
            Some(router) => {
                let answered = router.clone().oneshot(request).await;
                answered.unwrap_or_else(|never| match never {})
            }
            None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
}

/// Failed sign-ins are events.
struct OnRecord(Gateway);

#[async_trait]
impl Witness for OnRecord {
    async fn failed(
        &self,
        peer: SocketAddr,
        front: Front,
        trace_id: TraceId,
        failure: AuthFailure,
    ) {
        self.0.sign_in_failed(peer, front, trace_id, failure).await;
    }
}
