//! What a target is shown so that it lets the gateway in: read when it is used, wiped after, never the agent's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::wire::WireError;
use crate::config::{Credential, Secret, Shown};
use crate::outgoing::{Secrets, Tokens};

/// What one target is shown.
#[derive(Debug)]
pub(super) struct Credentials {
    shown: Shown,
    tokens: Option<Tokens>,
}

impl Credentials {
    /// # Errors
    /// Why not, in words.
    pub(super) fn new(shown: Shown) -> Result<Self, String> {
        let tokens = shown.oauth2.clone().map(Tokens::new).transpose()?;
        Ok(Self { shown, tokens })
    }

    /// The fields that show them, and what must not be said again of it.
    ///
    /// # Errors
    /// Where one cannot be had; nothing of it is in the error.
    pub(super) async fn fields(
        &self,
    ) -> Result<(Vec<(HeaderName, HeaderValue)>, Secrets), WireError> {
        let (mut fields, mut secrets) = (Vec::new(), Secrets::default());
        let Shown { token, basic, headers, oauth2: _ } = &self.shown;
        if let Some(token) = token {
            let token = read(token).await?;
            fields.push((AUTHORIZATION, bearer(token.expose())?));
            secrets.add(&token);
        }
        if let Some((user, password)) = basic {
            let password = read(password).await?;
            let pair = Zeroizing::new(format!("{user}:{}", password.expose()));
            let encoded = Secret::new(STANDARD.encode(pair.as_bytes()));
            let field = Zeroizing::new(format!("Basic {}", encoded.expose()));
            fields.push((AUTHORIZATION, secret(&field)?));
            secrets.add(&encoded);
            secrets.add(&password);
        }
        if let Some(tokens) = &self.tokens {
            let token =
                tokens.token().await.map_err(|error| WireError::Credential(error.to_string()))?;
            fields.push((AUTHORIZATION, bearer(token.expose())?));
            secrets.add(&Secret::new(token.expose().to_owned()));
        }
        for (name, credential) in headers {
            let value = read(credential).await?;
            fields.push((name.clone(), secret(value.expose())?));
            secrets.add_field(&value);
        }
        Ok((fields, secrets))
    }

    /// They were refused: they may have been changed since they were kept.
    pub(super) async fn forget(&self) {
        let Shown { token, basic, headers, oauth2: _ } = &self.shown;
        let secrets = token.iter().chain(basic.iter().map(|(_, it)| it));
        let secrets = secrets.chain(headers.iter().map(|(_, it)| it));
        secrets.for_each(Credential::forget);
        if let Some(tokens) = &self.tokens {
            tokens.forget().await;
        }
    }
}

async fn read(credential: &Credential) -> Result<Secret, WireError> {
    credential.current().await.map_err(|error| WireError::Credential(error.to_string()))
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
