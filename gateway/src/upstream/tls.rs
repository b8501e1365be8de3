//! TLS towards a target: `require` encrypts to whoever answers, `verify-full` only to whom the certificate names.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::DialError;
use super::stream::RawStream;
use crate::config::{Address, SslMode, Target};

/// What TLS towards one target needs. Cheap to clone.
#[derive(Clone)]
pub struct TargetTls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl std::fmt::Debug for TargetTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TargetTls({:?})", self.name)
    }
}

impl TargetTls {
    /// Loads roots and client certificate; `None` where the target is dialled without TLS.
    pub(super) fn load(target: &Target) -> Result<Option<Self>, DialError> {
        if target.ssl_mode == SslMode::Disable {
            return Ok(None);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = match target.ssl_mode {
            SslMode::VerifyFull => {
                let roots = Arc::new(roots(target.ca.as_deref())?);
                WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                    .build()
                    .map_err(|error| DialError::Protocol(error.to_string()))?
            }
            SslMode::Require | SslMode::Disable => Arc::new(Whoever(Arc::clone(&provider))),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| DialError::Protocol(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let config = match &target.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let bad = |problem: String| DialError::File { file: client.key.clone(), problem };
                let key = PrivateKeyDer::from_pem_file(&client.key)
                    .map_err(|error| bad(format!("no private key can be read: {error}")))?;
                builder
                    .with_client_auth_cert(certificates(&client.cert)?, key)
                    .map_err(|error| bad(format!("key and certificate cannot be used: {error}")))?
            }
        };
        let host = match &target.address {
            Address::Tcp { host, .. } => host.clone(),
            Address::Unix(_) => "localhost".to_owned(),
        };
        let name = ServerName::try_from(host.clone()).map_err(|_| DialError::BadHost(host))?;
        Ok(Some(Self { connector: TlsConnector::from(Arc::new(config)), name }))
    }

    pub(super) async fn connect(&self, raw: RawStream) -> Result<TlsStream<RawStream>, DialError> {
        self.connector.connect(self.name.clone(), raw).await.map_err(DialError::Tls)
    }
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, DialError> {
    let mut roots = RootCertStore::empty();
    let Some(ca) = ca else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(|error| DialError::File {
            file: ca.to_path_buf(),
            problem: format!("is no CA certificate: {error}"),
        })?;
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, DialError> {
    let bad = |problem: String| DialError::File { file: file.to_path_buf(), problem };
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file)
        .map_err(|error| bad(format!("cannot be read: {error}")))?
        .collect();
    let certificates = read.map_err(|error| bad(format!("is no PEM file: {error}")))?;
    if certificates.is_empty() {
        return Err(bad("has no certificate".to_owned()));
    }
    Ok(certificates)
}

/// `tls-server-end-point` (RFC 5929 section 4.1): the hash of the certificate by the hash of its own signature, MD5
/// and SHA-1 replaced by SHA-256. `None` where the signature has no single hash: then there is no binding.
pub(super) fn server_end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let algorithm = parsed.signature_algorithm.algorithm.to_id_string();
    Some(match algorithm.as_str() {
        // md5, sha1 and sha256 with RSA; sha1 and sha256 with ECDSA
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => Sha256::digest(certificate).to_vec(),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Sha384::digest(certificate).to_vec(),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Sha512::digest(certificate).to_vec(),
        _ => return None,
    })
}

/// Takes any certificate, but checks that the peer has its key: `sslmode = "require"` as libpq means it.
#[derive(Debug)]
struct Whoever(Arc<CryptoProvider>);

impl ServerCertVerifier for Whoever {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
