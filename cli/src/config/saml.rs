//! `[gateway.saml]`: sign-in by SAML 2.0, by exchange. Reference: docs/reference/saml.md.

use std::path::Path;
#[cfg(feature = "gateway")]
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use tallyport_access::saml::IdpConfig;
#[cfg(feature = "gateway")]
use tallyport_access::{
    SecretToken,
    saml::{SamlConfig, SamlExchange},
};
use tallyport_gateway::config::Credential;

#[cfg(feature = "gateway")]
use super::Config;
#[cfg(feature = "gateway")]
use crate::exit::Failure;

/// `[gateway.saml]`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSaml {
    /// The `iss` and the audience of the tokens: the https URL of this gateway, without a path.
    pub issuer: String,
    /// Signs the tokens: a private key in PKCS#8 (PEM), P-256 or Ed25519; the same on all gateways behind one name.
    pub token_key: Credential,
    /// How long a token lives, in seconds, 60 to 3600; never longer than what its assertion vouches for.
    #[serde(default = "default_token_seconds")]
    pub token_seconds: u64,
    /// The identity providers whose assertions are taken; at least one.
    pub idp: Vec<IdpConfig>,
}

impl RawSaml {
    pub fn relative_to(mut self, folder: &Path) -> Self {
        self.token_key = self.token_key.relative_to(folder);
        self.idp = self.idp.into_iter().map(|idp| idp.relative_to(folder)).collect();
        self
    }
}

#[cfg(feature = "gateway")]
impl Config {
    /// What exchanges assertions, where that is configured; reads the key and the certificates.
    pub fn saml(&self) -> Result<Option<Arc<SamlExchange>>, Failure> {
        let Some(raw) = self.gateway.as_ref().and_then(|gateway| gateway.saml.as_ref()) else {
            return Ok(None);
        };
        let named = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("{}: {error}", self.path.display()))
        };
        let key = raw.token_key.read_first();
        let key = key.map_err(|error| named(&format!("gateway.saml.token_key: {error}")))?;
        let config = SamlConfig {
            issuer: raw.issuer.clone(),
            token_key: SecretToken::new(key.expose()),
            token_seconds: raw.token_seconds,
            idps: raw.idp.clone(),
        };
        SamlExchange::new(&config).map(Arc::new).map(Some).map_err(|error| named(&error))
    }
}

const fn default_token_seconds() -> u64 {
    600
}
