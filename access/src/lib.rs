//! Who is it and what may they do: OIDC tokens (and SAML assertions, by exchange) to principals, Cedar policy to decisions.
//!
//! * [`Authenticator`] verifies a bearer token and gives an [`Identity`], or an [`AuthFailure`] that says why not.
//! * [`policy`] loads, checks and asks Cedar policies.
//! * [`saml`] exchanges signed assertions for tokens of our own.
//! * [`strangers`] counts who was turned away before there was an identity, and bounds what they take.
//! * [`client`] gets tokens for our own clients.
//! * `dev_issuer` (feature `dev-issuer`) is the built-in token issuer for development, on loopback only.
//!
//! This crate never follows a URL or a key that a token names, never puts a token or a part of one into an error or
//! an event, and denies whatever it cannot evaluate.

pub mod client;
#[cfg(feature = "dev-issuer")]
pub mod dev_issuer;
pub mod policy;
pub mod saml;
pub mod strangers;

mod cache;
mod credential;
mod event;
mod followed;
mod http;
mod identity;
mod secret;

pub use credential::{Credential, CredentialError, Secret, SecretCommand, SecretCommandError};
pub use event::authentication_event;
pub use http::with_causes;
#[cfg(feature = "fuzz")]
pub use identity::fuzz;
pub use identity::{
    Asked, AuthFailure, Authenticator, ClaimMapping, ClaimSource, ClientCertificate, ConfigError,
    GroupSource, Identity, IntrospectionConfig, IssuerConfig, KeyCacheConfig, KindMapping,
    NoRandomness, Presented, Profile, ProofVerifier, TrustDomainConfig, TrustDomainError, Workload,
    is_safe_url, strict_json, strict_object,
};
pub use secret::SecretToken;
