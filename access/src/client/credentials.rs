//! The client-credentials grant (RFC 6749 section 4.4), with the token kept until shortly before it ends.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Mutex;
use url::Url;

use super::proof::ProofKey;
use super::provider::{ClientAuthentication, ClientSettings, Granted, Provider};
use crate::SecretToken;
use crate::client::TokenError;
use crate::identity::is_safe_url;

/// How a client gets tokens for itself.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// The issuer, whose token endpoint is discovered.
    pub issuer: String,
    /// The token endpoint, when it is known beforehand.
    pub token_url: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// How the client proves that it is itself.
    pub authentication: ClientAuthentication,
    /// The audience asked for, sent as `resource` (RFC 8707) and as `audience`.
    pub audience: Option<String>,
    /// The scope asked for.
    pub scope: Option<String>,
    /// Further form parameters, as some issuers want them.
    pub extra: Vec<(String, String)>,
    /// Who may vouch for the issuer in TLS (PEM); besides the system's roots.
    pub roots_pem: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(super) struct CredentialsFlow {
    provider: Provider,
    token_url: Option<String>,
    extra: Vec<(String, String)>,
    /// Held across the request, so that many users of one source make one request.
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    token: SecretToken,
    bound: bool,
    renew_at: Instant,
}

impl CredentialsFlow {
    /// With a key, tokens are bound to it where the issuer can do that.
    pub(super) fn new(
        settings: ClientCredentials,
        key: Option<Arc<ProofKey>>,
    ) -> Result<Self, TokenError> {
        let ClientCredentials {
            issuer,
            token_url,
            client_id,
            authentication,
            audience,
            scope,
            extra,
            roots_pem,
        } = settings;
        let settings =
            ClientSettings { issuer, client_id, authentication, audience, scope, roots_pem };
        let provider = Provider::new(settings)?;
        let provider = match key {
            Some(key) => provider.bound_to(key),
            None => provider,
        };
        Ok(Self { provider, token_url, extra, kept: Mutex::new(None) })
    }

    /// The token, and whether it is bound to the key.
    pub(super) async fn token(&self) -> Result<(SecretToken, bool), TokenError> {
        let mut kept = self.kept.lock().await;
        if let Some(fresh) = kept.as_ref().filter(|kept| Instant::now() < kept.renew_at) {
            return Ok((fresh.token.clone(), fresh.bound));
        }
        let asked_at = Instant::now();
        let granted = self.ask().await?;
        let renew_at = asked_at + granted.renew_after();
        let Granted { access_token: token, bound, .. } = granted;
        *kept = Some(Kept { token: token.clone(), bound, renew_at });
        Ok((token, bound))
    }

    pub(super) async fn forget(&self) {
        *self.kept.lock().await = None;
    }

    async fn ask(&self) -> Result<Granted, TokenError> {
        let endpoint = match &self.token_url {
            None => self.provider.endpoints().await?.token_endpoint.clone(),
            Some(url) => Url::parse(url).ok().filter(is_safe_url).ok_or_else(|| {
                TokenError::Issuer(
                    "its token endpoint is not https (http only on loopback)".to_owned(),
                )
            })?,
        };
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(self.provider.wanted());
        form.extend(self.extra.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        self.provider.token(&endpoint, &form).await
    }
}
