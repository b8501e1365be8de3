//! Tokens and certificates to identities.
//!
//! The way of a token: [`token`] splits and decodes it, [`verifier`] checks it against one issuer's settings and keys
//! and maps its claims, all without IO and with the time as an argument; [`key_cache`] gets and keeps the issuer's
//! keys; [`spiffe`] does the same for workloads of a trust domain; [`authenticator`] ties them together.

mod algorithm;
mod authenticator;
mod certificate;
mod claims;
mod config;
mod failure;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod introspection;
mod issuer;
mod key_cache;
mod key_set;
mod key_source;
mod mapping;
mod own_keys;
mod profile;
mod proof;
mod shared;
mod spiffe;
mod strict_json;
mod token;
mod verifier;
mod written;

use std::collections::BTreeSet;

use jiff::Timestamp;
use tallyport_schemas::{Actor, AgentAttributes, AuthMethod, Principal, TokenBinding};

pub use authenticator::{Authenticator, Presented};
pub use certificate::ClientCertificate;
pub use config::{IssuerConfig, KeyCacheConfig};
pub use failure::AuthFailure;
pub(crate) use failure::ProvenFacts;
pub use introspection::IntrospectionConfig;
pub use issuer::ConfigError;
pub(crate) use issuer::is_loopback;
pub use issuer::is_safe_url;
pub(crate) use key_source::discovery_urls;
pub use mapping::{ClaimMapping, ClaimSource, GroupSource, KindMapping};
pub use profile::Profile;
#[cfg(feature = "dev-issuer")]
pub(crate) use proof::key_to_bind;
pub use proof::{Asked, NoRandomness, ProofVerifier};
pub use spiffe::{TrustDomainConfig, TrustDomainError, Workload};
pub use strict_json::{any as strict_json, object as strict_object};

/// Who a verified token, or certificate, names, on whose behalf, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// How that was proved.
    pub method: AuthMethod,
    /// The token's subject.
    pub principal: Principal,
    /// Its address, where the token has one: the owner of an agent is often named by it. In no event.
    pub email: Option<String>,
    /// RFC 8693 `act`, outermost (current) actor first. Only that first one counts in policy.
    pub delegation: Vec<Actor>,
    /// Model, agent and task, as the token gives them.
    pub agent: AgentAttributes,
    /// What the token was issued for: `scope` (RFC 9068 section 2.2.3), or `scp` where an issuer writes that. A certificate has none.
    pub scopes: BTreeSet<String>,
    /// From here on the token would be refused: `exp` and the clock skew allowed for its issuer.
    pub expires_at: Timestamp,
    /// `jti`, where the token has one.
    pub token_id: Option<String>,
    /// `kid` of the key that signed it; of a certificate, its SHA-256 in base64url.
    pub key_id: Option<String>,
    /// How it is bound to who sent it, and that was proved.
    pub binding: Option<TokenBinding>,
}
