//! The client-credentials grant (RFC 6749 section 4.4), with the token kept until shortly before it ends.

use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use crate::SecretToken;
use crate::client::TokenError;
use crate::http::{Http, HttpAnswer};
use crate::identity::{is_loopback, is_safe_url};

const TIMEOUT: Duration = Duration::from_secs(10);
/// A token is renewed when this much of its life is left, or a fifth of it where that is less.
const RENEW_BEFORE: Duration = Duration::from_secs(30);
/// What a token's life is taken for when the issuer does not say.
const UNKNOWN_LIFE: Duration = Duration::from_secs(60);

/// How a client gets tokens for itself.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// The issuer, whose token endpoint is discovered.
    pub issuer: String,
    /// The token endpoint, when it is known beforehand.
    pub token_url: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: SecretToken,
    /// The audience asked for, sent as `resource` (RFC 8707) and as `audience`.
    pub audience: Option<String>,
    /// The scope asked for.
    pub scope: Option<String>,
    /// Further form parameters, as some issuers want them.
    pub extra: Vec<(String, String)>,
}

#[derive(Debug)]
pub(super) struct CredentialsFlow {
    settings: ClientCredentials,
    issuer: Url,
    http: Http,
    /// Held across the request, so that many users of one source make one request.
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    token: SecretToken,
    renew_at: Instant,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    token_endpoint: String,
}

#[derive(Deserialize)]
struct Granted {
    access_token: SecretToken,
    token_type: String,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct RefusedBody {
    error: String,
}

impl CredentialsFlow {
    pub(super) fn new(settings: ClientCredentials) -> Result<Self, TokenError> {
        let wrong = |text: &str| TokenError::Settings(text.to_owned());
        let issuer = Url::parse(&settings.issuer)
            .ok()
            .filter(is_safe_url)
            .ok_or_else(|| wrong("issuer: write its URL with https (http only on loopback)"))?;
        if settings.client_id.is_empty() {
            return Err(wrong("client_id: it is empty"));
        }
        let http = Http::new(TIMEOUT, is_loopback(&issuer), Vec::new())
            .map_err(|error| TokenError::Settings(error.to_string()))?;
        Ok(Self { settings, issuer, http, kept: Mutex::new(None) })
    }

    pub(super) async fn token(&self) -> Result<SecretToken, TokenError> {
        let mut kept = self.kept.lock().await;
        if let Some(fresh) = kept.as_ref().filter(|kept| Instant::now() < kept.renew_at) {
            return Ok(fresh.token.clone());
        }
        let asked_at = Instant::now();
        let granted = self.ask().await?;
        let life = granted.expires_in.map_or(UNKNOWN_LIFE, Duration::from_secs);
        let left = RENEW_BEFORE.min(life / 5);
        let renew_at = asked_at + life.saturating_sub(left);
        *kept = Some(Kept { token: granted.access_token.clone(), renew_at });
        Ok(granted.access_token)
    }

    pub(super) async fn forget(&self) {
        *self.kept.lock().await = None;
    }

    async fn ask(&self) -> Result<Granted, TokenError> {
        let endpoint = self.endpoint().await?;
        let mut form = vec![("grant_type", "client_credentials")];
        if let Some(audience) = &self.settings.audience {
            form.push(("resource", audience));
            form.push(("audience", audience));
        }
        if let Some(scope) = &self.settings.scope {
            form.push(("scope", scope));
        }
        form.extend(self.settings.extra.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let client = (self.settings.client_id.as_str(), &self.settings.client_secret);
        let answer = self
            .http
            .post_form(&endpoint, client, &form)
            .await
            .map_err(|error| TokenError::Issuer(error.to_string()))?;
        read_grant(&answer)
    }

    async fn endpoint(&self) -> Result<Url, TokenError> {
        let unusable = || {
            TokenError::Issuer("its token endpoint is not https (http only on loopback)".to_owned())
        };
        let safe = |text: &str| Url::parse(text).ok().filter(is_safe_url).ok_or_else(unusable);
        if let Some(url) = &self.settings.token_url {
            return safe(url);
        }
        let well_known = format!(
            "{}/.well-known/openid-configuration",
            self.issuer.as_str().trim_end_matches('/')
        );
        let url = safe(&well_known)?;
        let answer =
            self.http.get(&url).await.map_err(|error| TokenError::Issuer(error.to_string()))?;
        let found: Discovery = serde_json::from_slice(&answer.body).map_err(|_| {
            TokenError::Issuer(format!(
                "{url} is not a discovery document (status {})",
                answer.status
            ))
        })?;
        if found.issuer != self.settings.issuer {
            return Err(TokenError::Issuer(format!(
                "the document at {url} is another issuer's; write the issuer exactly as it names itself"
            )));
        }
        safe(&found.token_endpoint)
    }
}

fn read_grant(answer: &HttpAnswer) -> Result<Granted, TokenError> {
    if answer.status != 200 {
        let code = serde_json::from_slice::<RefusedBody>(&answer.body)
            .map(|body| body.error)
            .ok()
            .filter(|code| code.len() <= 64 && code.bytes().all(|b| b.is_ascii_graphic()))
            .unwrap_or_else(|| format!("status {}", answer.status));
        return Err(TokenError::Refused { code });
    }
    let granted: Granted = serde_json::from_slice(&answer.body).map_err(|_| {
        TokenError::Issuer("its answer is not a token (RFC 6749 section 5.1)".to_owned())
    })?;
    if granted.token_type.eq_ignore_ascii_case("bearer") {
        Ok(granted)
    } else {
        Err(TokenError::Issuer("it gave a token that is not a bearer token".to_owned()))
    }
}
