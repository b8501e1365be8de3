//! People sign in where there is no browser: the device authorization grant (RFC 8628).

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout_at};

use super::pkce::{self, Verifier};
use super::provider::{ClientSettings, Granted, Provider, error_code};
use crate::SecretToken;
use crate::client::TokenError;

/// How long to wait between two questions, when the issuer does not say (RFC 8628 section 3.2).
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
/// How much longer after `slow_down` (section 3.5).
const SLOWER_BY: Duration = Duration::from_secs(5);
/// The longest that is waited for a person, whatever the issuer allows.
const MAX_WAIT: Duration = Duration::from_secs(30 * 60);

/// One client that people sign in with.
#[derive(Debug)]
pub struct DeviceFlow {
    provider: Provider,
}

/// What the person is to be told.
#[derive(Debug, Deserialize)]
pub struct DevicePrompt {
    device_code: SecretToken,
    /// What they type.
    pub user_code: String,
    /// Where they type it.
    pub verification_uri: String,
    /// The same, with the code in it.
    pub verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
    /// Where the issuer knows of it: some ask it of every client, whatever way a sign-in takes.
    #[serde(skip)]
    verifier: Option<Verifier>,
}

impl DeviceFlow {
    /// # Errors
    /// [`TokenError::Settings`].
    pub fn new(settings: ClientSettings) -> Result<Self, TokenError> {
        Ok(Self { provider: Provider::new(settings)? })
    }

    /// Begins a sign-in.
    ///
    /// # Errors
    /// [`TokenError`]: the issuer cannot be asked, or does not offer it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn begin(&self) -> Result<DevicePrompt, TokenError> {
        let endpoints = self.provider.endpoints().await?;
        let endpoint = endpoints.device_authorization_endpoint.as_ref().ok_or_else(|| {
            TokenError::Issuer(
                "it offers no sign-in by device code (RFC 8628); use --token-file".to_owned(),
            )
        })?;
        let methods = &endpoints.code_challenge_methods_supported;
        let knows_it = methods.iter().any(|method| method == pkce::METHOD);
        let verifier = knows_it.then(Verifier::new).transpose()?;
        let challenge = verifier.as_ref().map(Verifier::challenge);
        let mut form = self.provider.wanted();
        if let Some(challenge) = &challenge {
            form.push(("code_challenge", challenge));
            form.push(("code_challenge_method", pkce::METHOD));
        }
        let answer = self.provider.post(endpoint, &form).await?;
        if answer.status != 200 {
            return Err(TokenError::Refused { code: error_code(&answer) });
        }
        let prompt: DevicePrompt = serde_json::from_slice(&answer.body).map_err(|_| {
            TokenError::Issuer("its answer is not a device code (RFC 8628 section 3.2)".to_owned())
        })?;
        Ok(DevicePrompt { verifier, ..prompt })
    }

    /// Waits until the person has answered.
    ///
    /// # Errors
    /// [`TokenError::Refused`] when they said no or took too long.
    ///
    /// # Cancel safety
    /// A dropped call ends the wait; a token that was being given is lost.
    pub async fn finish(&self, prompt: &DevicePrompt) -> Result<Granted, TokenError> {
        let endpoints = self.provider.endpoints().await?;
        let until = Instant::now() + Duration::from_secs(prompt.expires_in).min(MAX_WAIT);
        let mut interval =
            prompt.interval.map_or(DEFAULT_INTERVAL, Duration::from_secs).min(MAX_WAIT);
        let mut form = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", prompt.device_code.expose()),
        ];
        form.extend(self.provider.resource());
        form.extend(prompt.verifier.as_ref().map(|it| ("code_verifier", it.expose())));
        let expired = || TokenError::Refused { code: "expired_token".to_owned() };
        loop {
            timeout_at(until, sleep(interval)).await.map_err(|_| expired())?;
            let asked = self.provider.token(&endpoints.token_endpoint, &form);
            match timeout_at(until, asked).await.map_err(|_| expired())? {
                Err(TokenError::Refused { code }) if code == "authorization_pending" => {}
                Err(TokenError::Refused { code }) if code == "slow_down" => interval += SLOWER_BY,
                // Section 3.5: what cannot be reached now is asked again, more slowly.
                Err(TokenError::Issuer(_)) => interval += SLOWER_BY,
                other => return other,
            }
        }
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

    /// Tells the issuer that the sign-in is over (RFC 7009), where it takes that.
    ///
    /// # Errors
    /// [`TokenError`] when it cannot be told.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn end(&self, token: &SecretToken) -> Result<(), TokenError> {
        self.provider.revoke(token).await
    }
}
