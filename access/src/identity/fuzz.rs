//! A door for the fuzz targets: one issuer, its keys as they are published, and a time that is an argument. The same
//! steps as [`super::Authenticator::verify`] takes, without the clock and without a file.

use jiff::Timestamp;

use super::issuer::Issuer;
use super::key_set::KeySet;
use super::token::UnverifiedToken;
use super::verifier::Candidate;
use super::{AuthFailure, Identity, IssuerConfig};

/// One trusted issuer and its keys.
#[derive(Debug)]
pub struct Trust {
    issuer: Issuer,
    keys: KeySet,
}

impl Trust {
    /// `None` where the settings or the published keys are not taken.
    #[must_use]
    pub fn new(config: &IssuerConfig, published: &[u8]) -> Option<Self> {
        Some(Self { issuer: Issuer::check(config).ok()?, keys: KeySet::parse(published).ok()? })
    }

    /// Verifies a token as of `now`.
    ///
    /// # Errors
    /// [`AuthFailure`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Identity, AuthFailure> {
        let parsed = UnverifiedToken::parse(token, self.issuer.max_token_bytes)
            .map_err(|reason| AuthFailure::new(reason, None))?;
        Candidate::new(&parsed, token.len(), &self.issuer)
            .and_then(|candidate| candidate.verify(&self.keys, now))
            .map_err(|reason| AuthFailure::new(reason, parsed.issuer_for_events()))
    }
}
