//! Tokens of an issuer for what is behind the gateway, by the client-credentials grant (RFC 6749 section 4.4).

use std::path::PathBuf;
use std::sync::Arc;

use tallyport_access::SecretToken;
use tallyport_access::client::{
    ClientAuthentication, ClientCredentials, ClientKey, TokenError, TokenSource,
};
use tokio::sync::Mutex;

use crate::config::{CredentialError, OAuth2, OAuth2Issuer, OAuth2Proof};

/// Gets them, and keeps each until shortly before it ends.
#[derive(Debug)]
pub(crate) struct Tokens {
    oauth2: OAuth2,
    /// Who may vouch for the issuer.
    roots_pem: Option<Vec<u8>>,
    /// Made at its first use, and anew once its credential may have changed.
    source: Mutex<Option<TokenSource>>,
}

/// No token can be had. For our own log; it has no secret in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoToken {
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    Issuer(#[from] TokenError),
}

impl Tokens {
    /// # Errors
    /// Why not, in words: where the issuer's roots cannot be read.
    pub(crate) fn new(oauth2: OAuth2) -> Result<Self, String> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|error| format!("oauth2.ca {}: {error}", path.display()))
        };
        let roots_pem = oauth2.ca.as_ref().map(read).transpose()?;
        Ok(Self { oauth2, roots_pem, source: Mutex::default() })
    }

    /// One that is taken now, as far as its issuer says.
    ///
    /// # Errors
    /// [`NoToken`].
    ///
    /// # Cancel safety
    /// Cancel safe; a token that was being fetched is lost.
    pub(crate) async fn token(&self) -> Result<SecretToken, NoToken> {
        let source = self.source().await?;
        Ok(source.token().await?)
    }

    /// It was refused: neither it nor the credential is kept.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn forget(&self) {
        self.oauth2.credential().forget();
        *self.source.lock().await = None;
    }

    async fn source(&self) -> Result<TokenSource, NoToken> {
        let mut kept = self.source.lock().await;
        if let Some(source) = &*kept {
            return Ok(source.clone());
        }
        let OAuth2 { issuer, ca: _, client_id, proof, scope, audience } = &self.oauth2;
        let (issuer, token_url) = match issuer {
            OAuth2Issuer::Named(issuer) => (issuer, None),
            OAuth2Issuer::At(url) => (url, Some(url.clone())),
        };
        let authentication = match proof {
            OAuth2Proof::Secret(secret) => {
                let secret = secret.current().await?.expose().to_owned();
                ClientAuthentication::Secret(SecretToken::new(secret))
            }
            OAuth2Proof::Key { pem, id, audience } => {
                let key = ClientKey::from_pem(pem.current().await?.expose().as_bytes())?;
                let key = key.named(id.clone()).for_audience(audience.clone());
                ClientAuthentication::Key(Arc::new(key))
            }
        };
        let made = TokenSource::client_credentials(ClientCredentials {
            issuer: issuer.clone(),
            token_url,
            client_id: client_id.clone(),
            authentication,
            audience: audience.clone(),
            scope: scope.clone(),
            extra: Vec::new(),
            roots_pem: self.roots_pem.clone(),
        })?;
        *kept = Some(made.clone());
        Ok(made)
    }
}
