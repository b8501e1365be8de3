//! An issuer as its OAuth clients see it: endpoints by discovery, and requests to its token endpoint.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::OnceCell;
use url::Url;

use super::key::ClientKey;
use super::proof::{self, ProofKey};
use crate::SecretToken;
use crate::client::TokenError;
use crate::http::{ClientAuth, Http, HttpAnswer, roots_of, with_causes};
use crate::identity::{discovery_urls, is_loopback, is_safe_url};

const TIMEOUT: Duration = Duration::from_secs(10);
/// What a token's life is taken for when the issuer does not say.
const UNKNOWN_LIFE: Duration = Duration::from_secs(60);
/// A token is renewed when this much of its life is left, or a fifth of it where that is less.
const RENEW_BEFORE: Duration = Duration::from_secs(30);
/// The longest life that is believed: some say "never" by a number that no clock holds.
const MAX_LIFE: Duration = Duration::from_secs(24 * 3600);
/// The longest error code of an issuer that is repeated.
const MAX_CODE_BYTES: usize = 64;

/// How a client proves to its issuer that it is itself (RFC 6749 section 2.3).
#[derive(Clone, Debug)]
pub enum ClientAuthentication {
    /// Not at all: a public client (RFC 6749 section 2.1).
    Public,
    /// By a secret that both have.
    Secret(SecretToken),
    /// By one that may be another each time.
    Changing(ChangingSecret),
    /// By what it signs with a key of its own (`private_key_jwt`).
    Key(Arc<ClientKey>),
}

/// A secret that is changed while it is in use. Clones are the same one.
#[derive(Clone, Debug)]
pub struct ChangingSecret(Arc<ArcSwap<SecretToken>>);

impl ChangingSecret {
    /// As it is now.
    #[must_use]
    pub fn new(secret: SecretToken) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(secret)))
    }

    /// As it is from now on. Whether it is another.
    pub fn set(&self, secret: SecretToken) -> bool {
        let changed = self.0.load().expose() != secret.expose();
        if changed {
            self.0.store(Arc::new(secret));
        }
        changed
    }
}

/// A client at one issuer.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The issuer, whose endpoints are discovered.
    pub issuer: String,
    /// The client's id.
    pub client_id: String,
    /// How the client proves that it is itself.
    pub authentication: ClientAuthentication,
    /// The audience asked for, sent as `resource` (RFC 8707) and as `audience`.
    pub audience: Option<String>,
    /// The scope asked for.
    pub scope: Option<String>,
    /// Certificates to trust, beside the system's, when the issuer is asked: PEM.
    pub roots_pem: Option<Vec<u8>>,
}

/// What an issuer grants: an access token, and what renews it.
#[derive(Debug)]
pub struct Granted {
    /// The access token.
    pub access_token: SecretToken,
    /// Whether it is bound to the client's key: an issuer may give a bearer token all the same (RFC 9449 section 5).
    pub bound: bool,
    /// Gets the next one, where the issuer gives such.
    pub refresh_token: Option<SecretToken>,
    /// How long the access token is taken, as far as the issuer says.
    pub life: Duration,
}

impl Granted {
    /// When the next one is to be had, from when this one was asked for.
    pub(super) fn renew_after(&self) -> Duration {
        self.life.saturating_sub(RENEW_BEFORE.min(self.life / 5))
    }
}

/// Endpoints out of the discovery document (OpenID Connect Discovery section 3, RFC 8414 section 2).
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Endpoints {
    issuer: String,
    pub(super) token_endpoint: Url,
    pub(super) authorization_endpoint: Option<Url>,
    /// RFC 8628 section 4.
    pub(super) device_authorization_endpoint: Option<Url>,
    /// OpenID Connect RP-Initiated Logout section 2.1.
    pub(super) end_session_endpoint: Option<Url>,
    /// RFC 7009.
    pub(super) revocation_endpoint: Option<Url>,
    /// RFC 9449 section 5.1.
    #[serde(default)]
    dpop_signing_alg_values_supported: Vec<String>,
    /// RFC 8414 section 2.
    #[serde(default)]
    token_endpoint_auth_signing_alg_values_supported: Vec<String>,
    /// RFC 8414 section 2.
    #[serde(default)]
    pub(super) code_challenge_methods_supported: Vec<String>,
    /// RFC 9207 section 3.
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

#[derive(Deserialize)]
struct GrantedBody {
    access_token: SecretToken,
    token_type: String,
    expires_in: Option<u64>,
    refresh_token: Option<SecretToken>,
}

#[derive(Deserialize)]
struct RefusedBody {
    error: String,
}

/// Asks one issuer.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) settings: ClientSettings,
    http: Http,
    endpoints: OnceCell<Endpoints>,
    /// What tokens are bound to, where the issuer can.
    key: Option<Arc<ProofKey>>,
    /// The issuer's last nonce.
    nonce: Mutex<Option<String>>,
}

impl Provider {
    pub(super) fn new(settings: ClientSettings) -> Result<Self, TokenError> {
        let wrong = |text: &str| TokenError::Settings(text.to_owned());
        let issuer = Url::parse(&settings.issuer)
            .ok()
            .filter(is_safe_url)
            .ok_or_else(|| wrong("issuer: write its URL with https (http only on loopback)"))?;
        if settings.client_id.is_empty() {
            return Err(wrong("client_id: it is empty"));
        }
        let roots = match &settings.roots_pem {
            None => Vec::new(),
            Some(pem) => {
                roots_of(pem).map_err(|error| wrong(&format!("the issuer's CA: {error}")))?
            }
        };
        let http = Http::new(TIMEOUT, is_loopback(&issuer), roots)
            .map_err(|error| TokenError::Settings(with_causes(&error)))?;
        let (endpoints, nonce) = (OnceCell::new(), Mutex::default());
        Ok(Self { settings, http, endpoints, key: None, nonce })
    }

    /// Tokens are to be bound to this key, where the issuer can do that.
    pub(super) fn bound_to(self, key: Arc<ProofKey>) -> Self {
        Self { key: Some(key), ..self }
    }

    /// The key, where the issuer says that it binds tokens to such.
    async fn proof_key(&self) -> Result<Option<&ProofKey>, TokenError> {
        let Some(key) = &self.key else { return Ok(None) };
        let offered = &self.endpoints().await?.dpop_signing_alg_values_supported;
        Ok(offered.iter().any(|name| name == proof::ALGORITHM).then_some(&**key))
    }

    /// What the issuer publishes; kept once it is known.
    pub(super) async fn endpoints(&self) -> Result<&Endpoints, TokenError> {
        self.endpoints.get_or_try_init(|| self.discover()).await
    }

    async fn discover(&self) -> Result<Endpoints, TokenError> {
        let [openid, oauth] = discovery_urls(&self.settings.issuer).ok_or_else(|| {
            TokenError::Settings(format!("issuer: `{}` is no URL", self.settings.issuer))
        })?;
        let (mut url, mut answer) = (&openid, self.http.get(&openid).await.map_err(unreachable)?);
        if answer.status == 404 {
            (url, answer) = (&oauth, self.http.get(&oauth).await.map_err(unreachable)?);
        }
        let HttpAnswer { status, body, .. } = answer;
        let found: Endpoints = serde_json::from_slice(&body).map_err(|_| {
            TokenError::Issuer(format!("{url} is not a discovery document (status {status})"))
        })?;
        if found.issuer != self.settings.issuer {
            return Err(TokenError::Issuer(format!(
                "the document at {url} is another issuer's; write the issuer exactly as it names itself"
            )));
        }
        let all = [
            Some(&found.token_endpoint),
            found.authorization_endpoint.as_ref(),
            found.device_authorization_endpoint.as_ref(),
            found.end_session_endpoint.as_ref(),
            found.revocation_endpoint.as_ref(),
        ];
        if let Some(url) = all.into_iter().flatten().find(|url| !is_safe_url(url)) {
            let told = format!("its endpoint {url} is not https (http only on loopback)");
            return Err(TokenError::Issuer(told));
        }
        Ok(found)
    }

    /// The parameters by which a token for one audience is asked for.
    pub(super) fn wanted(&self) -> Vec<(&str, &str)> {
        let mut form = Vec::new();
        if let Some(audience) = &self.settings.audience {
            form.push(("resource", audience.as_str()));
            form.push(("audience", audience.as_str()));
        }
        if let Some(scope) = &self.settings.scope {
            form.push(("scope", scope.as_str()));
        }
        form
    }

    /// The audience, where only a token's own parameters are sent (RFC 8707 section 2.2).
    pub(super) fn resource(&self) -> impl Iterator<Item = (&str, &str)> {
        self.settings.audience.as_deref().map(|it| ("resource", it)).into_iter()
    }

    /// The next token (RFC 6749 section 6).
    pub(super) async fn renew(&self, refresh_token: &SecretToken) -> Result<Granted, TokenError> {
        let endpoints = self.endpoints().await?;
        let mut form =
            vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose())];
        form.extend(self.resource());
        self.token(&endpoints.token_endpoint, &form).await
    }

    /// Tells the issuer that a token is not needed any more (RFC 7009), where it takes that.
    pub(super) async fn revoke(&self, token: &SecretToken) -> Result<(), TokenError> {
        if let Some(endpoint) = &self.endpoints().await?.revocation_endpoint {
            let answer = self.post(endpoint, &[("token", token.expose())]).await?;
            if answer.status != 200 {
                return Err(TokenError::Refused { code: error_code(&answer) });
            }
        }
        Ok(())
    }

    /// Sends a form as this client.
    pub(super) async fn post(
        &self,
        endpoint: &Url,
        form: &[(&str, &str)],
    ) -> Result<HttpAnswer, TokenError> {
        let client = self.client()?;
        self.http.post_form(endpoint, client.as_auth(), form, None).await.map_err(unreachable)
    }

    /// Asks the token endpoint (RFC 6749 section 5).
    pub(super) async fn token(
        &self,
        endpoint: &Url,
        form: &[(&str, &str)],
    ) -> Result<Granted, TokenError> {
        let Some(key) = self.proof_key().await? else {
            return read_grant(&self.post(endpoint, form).await?);
        };
        // Once more where the first one only taught us the nonce (RFC 9449 section 8).
        for first in [true, false] {
            let nonce = self.nonce.lock().clone();
            let proof = key.prove("POST", endpoint.as_str(), None, nonce.as_deref())?;
            // An assertion is for one use.
            let client = self.client()?;
            let asked = self.http.post_form(endpoint, client.as_auth(), form, Some(&proof));
            let answer = asked.await.map_err(unreachable)?;
            if let Some(nonce) = &answer.nonce {
                *self.nonce.lock() = Some(nonce.clone());
            }
            if !(first && answer.status == 400 && error_code(&answer) == "use_dpop_nonce") {
                return read_grant(&answer);
            }
        }
        Err(TokenError::Issuer("it asks for a nonce again and again".to_owned()))
    }

    fn client(&self) -> Result<Client<'_>, TokenError> {
        let id = self.settings.client_id.as_str();
        Ok(match &self.settings.authentication {
            ClientAuthentication::Public => Client::Known(ClientAuth::Public(id)),
            ClientAuthentication::Secret(secret) => {
                Client::Known(ClientAuth::Basic(id, secret.expose()))
            }
            ClientAuthentication::Changing(secret) => Client::Current(id, secret.0.load_full()),
            ClientAuthentication::Key(key) => {
                // Where a token endpoint is known beforehand, nothing is.
                let known = self.endpoints.get();
                let taken = known.map(|it| &*it.token_endpoint_auth_signing_alg_values_supported);
                Client::Asserted(id, key.assert(id, &self.settings.issuer, taken.unwrap_or(&[]))?)
            }
        })
    }
}

/// As whom one form is sent.
enum Client<'a> {
    Known(ClientAuth<'a>),
    Current(&'a str, Arc<SecretToken>),
    Asserted(&'a str, String),
}

impl Client<'_> {
    fn as_auth(&self) -> ClientAuth<'_> {
        match self {
            Self::Known(known) => *known,
            Self::Current(id, secret) => ClientAuth::Basic(id, secret.expose()),
            Self::Asserted(id, assertion) => ClientAuth::Assertion(id, assertion),
        }
    }
}

fn unreachable(error: crate::http::HttpError) -> TokenError {
    TokenError::Issuer(error.to_string())
}

/// The OAuth error code of an answer, in so far as it is one.
pub(super) fn error_code(answer: &HttpAnswer) -> String {
    serde_json::from_slice::<RefusedBody>(&answer.body)
        .map(|body| body.error)
        .ok()
        .filter(|code| code.len() <= MAX_CODE_BYTES && code.bytes().all(|b| b.is_ascii_graphic()))
        .unwrap_or_else(|| format!("status {}", answer.status))
}

fn read_grant(answer: &HttpAnswer) -> Result<Granted, TokenError> {
    if answer.status != 200 {
        return Err(TokenError::Refused { code: error_code(answer) });
    }
    let granted: GrantedBody = serde_json::from_slice(&answer.body).map_err(|_| {
        TokenError::Issuer("its answer is not a token (RFC 6749 section 5.1)".to_owned())
    })?;
    let is = |name: &str| granted.token_type.eq_ignore_ascii_case(name);
    if !is("bearer") && !is("dpop") {
        return Err(TokenError::Issuer("it gave a token of an unknown type".to_owned()));
    }
    Ok(Granted {
        bound: is("dpop"),
        access_token: granted.access_token,
        refresh_token: granted.refresh_token,
        life: granted.expires_in.map_or(UNKNOWN_LIFE, Duration::from_secs).min(MAX_LIFE),
    })
}
