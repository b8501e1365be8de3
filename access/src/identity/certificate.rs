//! A client's certificate, as the handshake brought it: whoever sent it has its key, and nothing else is known of it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

/// The chain that a client sent, its own first. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    chain: Arc<[CertificateDer<'static>]>,
    thumbprint: Arc<str>,
}

impl ClientCertificate {
    /// `None` where the client sent none.
    #[must_use]
    pub fn of(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let first = chain.first()?;
        let thumbprint = Arc::from(thumbprint(first));
        let chain = chain.iter().map(|it| it.clone().into_owned()).collect();
        Some(Self { chain, thumbprint })
    }

    /// SHA-256 of the client's own, in base64url: what a token that is bound to it names (RFC 8705 section 3.1).
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    pub(super) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }
}

pub(super) fn thumbprint(certificate: &CertificateDer<'_>) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(certificate))
}
