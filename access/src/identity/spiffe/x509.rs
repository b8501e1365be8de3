//! X509-SVID section 5: the leaf's id, and its path to one of the domain's authorities.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, Error};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::id::SpiffeId;
use crate::identity::failure::Reason;

/// What a leaf says of itself. Nothing of it is verified yet.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) id: SpiffeId,
    /// From then on it is not taken.
    pub(super) ends_at: Timestamp,
}

impl Leaf {
    /// Sections 2 and 4: exactly one URI, which is the id; no authority; a key for signatures.
    pub(super) fn parse(certificate: &CertificateDer<'_>) -> Result<Self, Reason> {
        let wrong = |what| Err(Reason::Svid(what));
        let Ok((rest, leaf)) = X509Certificate::from_der(certificate) else {
            return wrong("it is no X.509 certificate");
        };
        if !rest.is_empty() {
            return wrong("more follows the certificate");
        }
        let Ok(Some(names)) = leaf.subject_alternative_name() else {
            return wrong("it has no subject alternative name");
        };
        // One that cannot be read may be a second URI.
        if names.value.general_names.iter().any(|it| matches!(it, GeneralName::Invalid(..))) {
            return wrong("one of its names cannot be read");
        }
        let uri = |name: &GeneralName<'_>| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        };
        let uris: Vec<String> = names.value.general_names.iter().filter_map(uri).collect();
        let [only] = uris.as_slice() else { return wrong("it has not exactly one URI") };
        if !is_read_alike(certificate, only) {
            return wrong("its URI is not written as one (DER)");
        }
        let Some(id) = SpiffeId::parse(only) else {
            return wrong("its URI is no SPIFFE ID of a workload");
        };
        let is_authority = match leaf.basic_constraints() {
            Ok(constraints) => constraints.is_some_and(|it| it.value.ca),
            Err(_) => true,
        };
        if is_authority {
            return wrong("it is an authority's, no workload's");
        }
        let may_sign = matches!(leaf.key_usage(), Ok(Some(usage)) if usage.value.digital_signature()
            && !usage.value.key_cert_sign() && !usage.value.crl_sign());
        if !may_sign {
            return wrong(
                "its key usage is not that of a workload: digitalSignature, not keyCertSign and cRLSign",
            );
        }
        let ends_at = Timestamp::from_second(leaf.validity().not_after.timestamp());
        // RFC 5280 section 4.1.2.5: it counts through that second.
        let ends_at = ends_at.and_then(|at| at.checked_add(jiff::SignedDuration::from_secs(1)));
        let Ok(ends_at) = ends_at else { return wrong("its end is out of range") };
        Ok(Self { id, ends_at })
    }
}

/// Whether the reader that checks paths finds this URI, too, and no other: ours takes a name of constructed form for one.
fn is_read_alike(certificate: &CertificateDer<'_>, uri: &str) -> bool {
    webpki::EndEntityCert::try_from(certificate).is_ok_and(|it| it.valid_uri_names().eq([uri]))
}

/// RFC 5280 section 6, for a client; at `now`.
pub(super) fn verify_path(
    chain: &[CertificateDer<'_>],
    authorities: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    now: Timestamp,
) -> Result<(), Reason> {
    let (leaf, intermediates) =
        chain.split_first().ok_or(Reason::Svid("there is no certificate"))?;
    let roots = Arc::clone(authorities);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
    let verifier = verifier.map_err(|_| Reason::Svid("the bundle has no certificate"))?;
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    match verifier.verify_client_cert(leaf, intermediates, now) {
        Ok(_verified) => Ok(()),
        Err(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => Err(Reason::Expired),
        Err(Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => Err(Reason::NotYetValid),
        Err(Error::InvalidCertificate(
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
        )) => Err(Reason::Svid("it is not for clients (extended key usage)")),
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            Err(Reason::Svid("it leads to no authority of its trust domain"))
        }
        Err(_) => Err(Reason::Svid("its path to an authority of its trust domain does not hold")),
    }
}
