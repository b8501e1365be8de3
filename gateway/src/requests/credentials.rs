//! What a target is shown so that it lets the gateway in: read when it is used, wiped after, never the agent's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use tallyport_access::SecretToken;
use tallyport_access::client::{ClientAuthentication, ClientCredentials, TokenSource};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::wire::WireError;
use crate::config::{Credential, OAuth2, Shown};

/// What one target is shown.
#[derive(Debug)]
pub(super) struct Credentials {
    shown: Shown,
    /// Made at its first use, and anew once its secret may have changed.
    source: Mutex<Option<TokenSource>>,
}

impl Credentials {
    pub(super) fn new(shown: Shown) -> Self {
        Self { shown, source: Mutex::default() }
    }

    /// The fields that show them.
    ///
    /// # Errors
    /// Where one cannot be had; nothing of it is in the error.
    pub(super) async fn fields(&self) -> Result<Vec<(HeaderName, HeaderValue)>, WireError> {
        let mut fields = Vec::new();
        let Shown { token, basic, headers, oauth2 } = &self.shown;
        if let Some(token) = token {
            fields.push((AUTHORIZATION, bearer(read(token).await?.expose())?));
        }
        if let Some((user, password)) = basic {
            let pair = Zeroizing::new(format!("{user}:{}", read(password).await?.expose()));
            let encoded = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
            fields.push((AUTHORIZATION, secret(&encoded)?));
        }
        if let Some(oauth2) = oauth2 {
            let source = self.source(oauth2).await?;
            let token =
                source.token().await.map_err(|error| WireError::Credential(error.to_string()))?;
            fields.push((AUTHORIZATION, bearer(token.expose())?));
        }
        for (name, credential) in headers {
            fields.push((name.clone(), secret(read(credential).await?.expose())?));
        }
        Ok(fields)
    }

    /// They were refused: they may have been changed since they were kept.
    pub(super) async fn forget(&self) {
        let Shown { token, basic, headers, oauth2 } = &self.shown;
        let secrets = token.iter().chain(basic.iter().map(|(_, it)| it));
        let secrets = secrets.chain(headers.iter().map(|(_, it)| it));
        secrets.chain(oauth2.iter().map(|it| &it.client_secret)).for_each(Credential::forget);
        *self.source.lock().await = None;
    }

    async fn source(&self, oauth2: &OAuth2) -> Result<TokenSource, WireError> {
        let mut kept = self.source.lock().await;
        if let Some(source) = &*kept {
            return Ok(source.clone());
        }
        let client_secret =
            SecretToken::new(read(&oauth2.client_secret).await?.expose().to_owned());
        let made = TokenSource::client_credentials(ClientCredentials {
            issuer: oauth2.token_url.clone(),
            token_url: Some(oauth2.token_url.clone()),
            client_id: oauth2.client_id.clone(),
            authentication: ClientAuthentication::Secret(client_secret),
            audience: oauth2.audience.clone(),
            scope: oauth2.scope.clone(),
            extra: Vec::new(),
        });
        let made = made.map_err(|error| WireError::Credential(error.to_string()))?;
        *kept = Some(made.clone());
        Ok(made)
    }
}

async fn read(credential: &Credential) -> Result<crate::config::Secret, WireError> {
    let failed = |error: crate::config::CredentialError| WireError::Credential(error.to_string());
    let _ran = credential.refresh().await.map_err(failed)?;
    credential.read().map_err(failed)
}

fn bearer(token: &str) -> Result<HeaderValue, WireError> {
    secret(&Zeroizing::new(format!("Bearer {token}")))
}

fn secret(text: &str) -> Result<HeaderValue, WireError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| WireError::Credential("it is no text for a field of HTTP".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
