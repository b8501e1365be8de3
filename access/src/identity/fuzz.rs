//! A door for the fuzz targets: one issuer, its keys as they are published, and a time that is an argument. The same
//! steps as [`super::Authenticator::verify`] takes, without the clock and without a file. Likewise for proofs of possession,
//! whose nonces are the same every time, and for the workloads of one trust domain.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use url::Url;

use super::failure::Reason;
use super::issuer::Issuer;
use super::key_set::KeySet;
use super::spiffe::{Domains, SpiffeId};
use super::token::UnverifiedToken;
use super::verifier::Candidate;
use super::{Asked, AuthFailure, Identity, IssuerConfig, ProofVerifier, TrustDomainConfig};

/// Where the keys of `issuer` are, by a document that came from `url`; `None` where it is not taken.
#[must_use]
pub fn keys_of(document: &[u8], url: &Url, issuer: &str) -> Option<Url> {
    super::key_source::keys_of(document, url, issuer).ok()
}

/// Whether an issuer's answer says that a token is active.
#[must_use]
pub fn is_active(answer: &[u8]) -> Option<bool> {
    super::introspection::is_active(answer)
}

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

/// Checks proofs of possession.
#[derive(Debug)]
pub struct Proofs(ProofVerifier);

impl Proofs {
    /// For a service of these names, whose nonces are made with this key.
    #[must_use]
    pub fn new(names: &[String], key: &[u8; 32]) -> Self {
        Self(ProofVerifier::with_key(names, key))
    }

    /// A nonce.
    #[must_use]
    pub fn nonce(&self) -> String {
        self.0.nonce()
    }

    /// Checks a proof for a token that is bound to the key of this thumbprint.
    ///
    /// # Errors
    /// [`AuthFailure`].
    pub fn check(
        &self,
        proof: &str,
        (thumbprint, token): (&str, &str),
        asked: Asked<'_>,
        now: Timestamp,
    ) -> Result<(), AuthFailure> {
        let checked = self.0.check(proof, thumbprint, token, asked, now);
        checked.map_err(|reason| AuthFailure::new(reason, None))
    }
}

/// One trust domain and its bundle.
#[derive(Debug)]
pub struct TrustDomain(Domains);

impl TrustDomain {
    /// `None` where the settings or the bundle are not taken.
    #[must_use]
    pub fn new(config: TrustDomainConfig, bundle: &[u8]) -> Option<Self> {
        Domains::of_bundle(config, bundle).ok().map(Self)
    }

    /// Says whom a chain of certificates names, its own first.
    ///
    /// # Errors
    /// [`AuthFailure`].
    pub fn verify_chain(&self, chain: &[&[u8]], now: Timestamp) -> Result<Identity, AuthFailure> {
        let chain: Vec<CertificateDer<'_>> = chain.iter().map(|it| (*it).into()).collect();
        let verified = self.0.verify_chain(&chain, now);
        verified.map_err(|reason| AuthFailure::new(reason, None))
    }

    /// Says whom a token names.
    ///
    /// # Errors
    /// [`AuthFailure`].
    pub fn verify_token(&self, token: &str, now: Timestamp) -> Result<Identity, AuthFailure> {
        let parsed = UnverifiedToken::parse(token, self.0.max_token_bytes());
        let verified = parsed.and_then(|parsed| {
            let id = self.0.subject_of(&parsed).ok_or(Reason::UnknownIssuer)?;
            self.0.verify_token(&parsed, (&id, token.len()), now)
        });
        verified.map_err(|reason| AuthFailure::new(reason, None))
    }
}

/// The trust domain and the path of a workload's id.
#[must_use]
pub fn workload_id(text: &str) -> Option<(String, String)> {
    let id = SpiffeId::parse(text)?;
    Some((id.trust_domain().to_owned(), id.path().to_owned()))
}
