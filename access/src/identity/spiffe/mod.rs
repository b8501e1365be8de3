//! Workloads that prove who they are by an SVID of a SPIFFE trust domain: a client certificate (X.509-SVID) or a token
//! (JWT-SVID). What counts is a trust domain's own bundle, read from a file that whoever runs the domain keeps current.
//!
//! * [`id`] is a name as the standard lets it be.
//! * [`TrustDomainConfig`] is what a configuration says of a domain.
//! * [`Domains`] verifies; without IO but for a look at the bundle's file, once a second at most.
//!
//! Follows SPIFFE-ID, X509-SVID, JWT-SVID and SPIFFE Trust Domain and Bundle, version 1.0
//! (<https://github.com/spiffe/spiffe/tree/main/standards>).

mod bundle;
mod config;
mod domains;
mod id;
mod x509;

pub use config::{TrustDomainConfig, TrustDomainError, Workload};
pub(super) use domains::Domains;
#[cfg(feature = "fuzz")]
pub(super) use id::SpiffeId;
