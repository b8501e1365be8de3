//! Client certificates, at both ends of a connection.
//!
//! The gateway asks for one where it is told to, and takes any: the handshake shows that the client has its key, and nothing
//! more is said of it there. Whether it counts is asked later, by what a token is bound to (RFC 8705 section 3), or by a trust
//! domain's bundle (X.509-SVID). So there is no list of authorities here that could let somebody in.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::TlsError;
use super::pair::{PairFiles, Written};

/// What a client may send.
const MAX_CERTIFICATES: usize = 8;
const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;

/// Asks for a certificate, and takes any whose key the client has.
#[derive(Debug)]
pub(super) struct AnyCertificate(pub(super) Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let fits = |certificate: &CertificateDer<'_>| certificate.len() <= MAX_CERTIFICATE_BYTES;
        if others.len() >= MAX_CERTIFICATES || !fits(first) || !others.iter().all(fits) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The certificate that a client of the gateway shows: files that somebody else keeps fresh, read at a handshake when they
/// changed.
#[derive(Clone)]
pub struct CertificateFiles {
    /// Chain, the client's own first (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
    kept: Arc<Mutex<Option<Kept>>>,
}

struct Kept {
    written: Written,
    pair: Arc<CertifiedKey>,
}

impl CertificateFiles {
    /// Reads both once.
    ///
    /// # Errors
    /// [`TlsError`], which names the file and what is wrong with it.
    pub fn new(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let files = Self { certificate, key, kept: Arc::default() };
        files.read()?;
        Ok(files)
    }

    /// What a connection that is made now would show.
    pub(crate) fn written(&self) -> Written {
        self.files().written()
    }

    fn files(&self) -> PairFiles {
        PairFiles { certificate: self.certificate.clone(), key: self.key.clone() }
    }

    fn read(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        let written = self.written();
        let mut kept = self.kept.lock();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.written == written) {
            return Ok(Arc::clone(&kept.pair));
        }
        let pair = Arc::new(self.files().read()?.certified);
        *kept = Some(Kept { written, pair: Arc::clone(&pair) });
        Ok(pair)
    }
}

impl ResolvesClientCert for CertificateFiles {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        // Between the writing of the two files they may not fit: what fitted before is shown once more.
        let read = self.read().or_else(|error| {
            tracing::warn!(%error, "the client certificate cannot be read anew");
            self.kept.lock().as_ref().map(|kept| Arc::clone(&kept.pair)).ok_or(error)
        });
        read.ok()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for CertificateFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateFiles")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}
