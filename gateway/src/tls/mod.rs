//! Certificates and keys: the gateway's own, those of its clients, and the TLS settings of both sides.

mod client_certificate;
mod dev_ca;
mod error;
mod leaf;
mod pair;
mod server;

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

pub use client_certificate::CertificateFiles;
pub use dev_ca::DevCa;
pub use error::{TlsError, in_words};
pub(crate) use pair::{Written, check_pair, modified};
pub use server::ServerIdentity;

/// ALPN of HTTP/3 (RFC 9114 section 3.1).
pub const ALPN_H3: &[u8] = b"h3";
/// ALPN of HTTP/2 (RFC 9113 section 3.2).
pub const ALPN_H2: &[u8] = b"h2";
/// ALPN of HTTP/1.1 (RFC 7301 section 6).
pub const ALPN_H1: &[u8] = b"http/1.1";

/// The settings of a client of the gateway that trusts the certificates of `ca`, or the public ones without it, and shows a
/// certificate of its own where it has one and is asked.
///
/// # Errors
/// [`TlsError`] when the file cannot be used.
pub fn client_config(
    ca: Option<&Path>,
    own: Option<&CertificateFiles>,
    alpn: &[u8],
) -> Result<rustls::ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|source| TlsError::BadCertificate { path: path.to_owned(), source })?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Config)?
        .with_root_certificates(roots);
    let mut config = match own {
        Some(files) => builder.with_client_cert_resolver(Arc::new(files.clone())),
        None => builder.with_no_client_auth(),
    };
    if own.is_some() {
        // A session that is resumed shows the certificate of the handshake that it began with.
        config.resumption = Resumption::disabled();
    }
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| TlsError::pem(path, "certificate", source))?;
    if chain.is_empty() {
        return Err(TlsError::Missing { path: path.to_owned(), what: "certificate" });
    }
    Ok(chain)
}

#[cfg(test)]
mod tests;
