//! People sign in by a browser: the authorization code grant (RFC 6749 section 4.1) with PKCE (RFC 7636), and the check
//! of who answered (RFC 9207).

use serde::{Deserialize, Serialize};
use url::Url;

use super::pkce::{self, Verifier, random_text};
use super::provider::{ClientSettings, Granted, Provider};
use crate::SecretToken;
use crate::client::TokenError;

/// One client that people sign in with.
#[derive(Debug)]
pub struct CodeFlow {
    provider: Provider,
}

/// A sign-in that was begun: kept where only the browser that began it can bring it back from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Begun {
    /// Comes back with the code (RFC 6749 section 10.12).
    pub state: String,
    /// Proves that whoever began it ends it.
    verifier: Verifier,
}

/// The parameters with which the browser came back (RFC 6749 section 4.1.2, RFC 9207 section 2).
#[derive(Debug, Default, Deserialize)]
pub struct CodeAnswer {
    /// The code.
    pub code: Option<String>,
    /// What was sent along.
    pub state: Option<String>,
    /// Who answered.
    pub iss: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
}

/// A sign-in came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// It is not the answer to what this browser began.
    #[error("the answer does not belong to the sign-in that this browser began (state)")]
    State,
    /// Another issuer answered (RFC 9207 section 2.4).
    #[error("the answer is not from the issuer that was asked (iss)")]
    OtherIssuer,
    /// The issuer, or the person there, said no.
    #[error("the issuer did not sign anybody in: {code}")]
    Refused {
        /// The error code (RFC 6749 section 4.1.2.1).
        code: String,
    },
    /// The token endpoint.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl CodeFlow {
    /// # Errors
    /// [`TokenError::Settings`].
    pub fn new(settings: ClientSettings) -> Result<Self, TokenError> {
        Ok(Self { provider: Provider::new(settings)? })
    }

    /// Where to send the browser, and what to keep until it comes back to `redirect_uri`.
    ///
    /// # Errors
    /// [`TokenError`] when the issuer cannot be asked where that is.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn begin(&self, redirect_uri: &Url) -> Result<(Url, Begun), TokenError> {
        let endpoints = self.provider.endpoints().await?;
        let begun = Begun { state: random_text()?, verifier: Verifier::new()? };
        let mut url = endpoints.authorization_endpoint.clone().ok_or_else(|| {
            TokenError::Issuer("it names no authorization_endpoint: people cannot sign in".into())
        })?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.provider.settings.client_id)
            .append_pair("redirect_uri", redirect_uri.as_str())
            .append_pair("state", &begun.state)
            .append_pair("code_challenge", &begun.verifier.challenge())
            .append_pair("code_challenge_method", pkce::METHOD)
            .extend_pairs(self.provider.wanted());
        Ok((url, begun))
    }

    /// Changes the code that the browser brought into a token.
    ///
    /// # Errors
    /// [`SignInError`]: nobody is signed in.
    ///
    /// # Cancel safety
    /// A dropped call may have used up the code.
    pub async fn finish(
        &self,
        begun: &Begun,
        answer: CodeAnswer,
        redirect_uri: &Url,
    ) -> Result<Granted, SignInError> {
        let endpoints = self.provider.endpoints().await?;
        if answer.state.as_deref() != Some(begun.state.as_str()) {
            return Err(SignInError::State);
        }
        let (theirs, own) = (answer.iss.as_deref(), self.provider.settings.issuer.as_str());
        let must_say = endpoints.authorization_response_iss_parameter_supported;
        if theirs.map_or(must_say, |iss| iss != own) {
            return Err(SignInError::OtherIssuer);
        }
        if let Some(code) = answer.error {
            let plain = code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_graphic());
            let code = if plain { code } else { "error".to_owned() };
            return Err(SignInError::Refused { code });
        }
        let code = answer.code.ok_or(SignInError::State)?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", redirect_uri.as_str()),
            ("code_verifier", begun.verifier.expose()),
        ];
        form.extend(self.provider.resource());
        Ok(self.provider.token(&endpoints.token_endpoint, &form).await?)
    }

    /// The next token (RFC 6749 section 6).
    ///
    /// # Errors
    /// [`TokenError`]: the sign-in is over, or the issuer cannot be asked.
    ///
    /// # Cancel safety
    /// A dropped call may have used up the refresh token.
    pub async fn renew(&self, refresh_token: &SecretToken) -> Result<Granted, TokenError> {
        self.provider.renew(refresh_token).await
    }

    /// Tells the issuer that the sign-in is over, both its tokens (RFC 7009), where it takes that, and where the browser may end its
    /// sign-in there. The sign-in here is over whatever the issuer says.
    ///
    /// # Errors
    /// [`TokenError`] when the issuer cannot be told.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn end(
        &self,
        token: &SecretToken,
        access_token: &SecretToken,
    ) -> Result<Option<Url>, TokenError> {
        self.provider.revoke(token).await?;
        if token != access_token {
            self.provider.revoke(access_token).await?;
        }
        let endpoints = self.provider.endpoints().await?;
        Ok(endpoints.end_session_endpoint.clone().map(|mut url| {
            url.query_pairs_mut().append_pair("client_id", &self.provider.settings.client_id);
            url
        }))
    }

    /// The issuer's name.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.provider.settings.issuer
    }
}
