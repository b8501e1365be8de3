//! The gateway's certificate and key, checked at load, and the TLS settings of the two fronts.
//!
//! QUIC takes TLS 1.3 only, with 0-RTT off: early data can be replayed, and a replayed statement is a second statement.
//! TCP takes TLS 1.2 and 1.3.

mod client_certificate;
mod dev_ca;
mod error;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::hmac;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{InconsistentKeys, RootCertStore};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use client_certificate::AnyCertificate;
pub use client_certificate::CertificateFiles;
pub(crate) use client_certificate::Written;
pub use dev_ca::DevCa;
pub use error::{TlsError, in_words};

use crate::mcp::Seal;

/// ALPN of HTTP/3 (RFC 9114 section 3.1).
pub const ALPN_H3: &[u8] = b"h3";
/// ALPN of HTTP/2 (RFC 9113 section 3.2).
pub const ALPN_H2: &[u8] = b"h2";
/// ALPN of HTTP/1.1 (RFC 7301 section 6).
pub const ALPN_H1: &[u8] = b"http/1.1";

/// A certificate chain with its key, checked: the key belongs to the certificate, and the certificate is in force.
#[derive(Clone, Debug)]
pub struct ServerIdentity {
    resolver: Arc<SingleCertAndKey>,
    provider: Arc<CryptoProvider>,
    /// Keyed with the private key; never shown.
    secret: hmac::Key,
    names: Vec<String>,
    asks_clients: bool,
}

impl ServerIdentity {
    /// Reads a chain (leaf first) and its key from PEM files.
    ///
    /// # Errors
    /// [`TlsError`], which names the file and what is wrong with it.
    pub fn load(cert_pem: &Path, key_pem: &Path) -> Result<Self, TlsError> {
        let chain = certificates(cert_pem)?;
        let key = PrivateKeyDer::from_pem_file(key_pem)
            .map_err(|source| TlsError::pem(key_pem, "private key", source))?;
        let mut names = Vec::new();
        if let Some(leaf) = chain.first() {
            check_validity(cert_pem, leaf, SystemTime::now())?;
            names = names_of(leaf);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let secret = hmac::Key::new(hmac::HMAC_SHA256, key.secret_der());
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|source| TlsError::BadKey { path: key_pem.to_owned(), source })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // `Unknown` is a key that cannot tell its public half; the handshake then finds out.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(TlsError::KeyMismatch {
                    cert: cert_pem.to_owned(),
                    key: key_pem.to_owned(),
                });
            }
            Err(source) => {
                return Err(TlsError::BadCertificate { path: cert_pem.to_owned(), source });
            }
        }
        let resolver = Arc::new(certified.into());
        Ok(Self { resolver, provider, secret, names, asks_clients: false })
    }

    /// The same, which asks clients for a certificate of theirs, on both fronts.
    #[must_use]
    pub fn asking_clients(self) -> Self {
        Self { asks_clients: true, ..self }
    }

    /// The hosts that the certificate is for: DNS names, also with `*.`, and addresses.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The settings of the QUIC front: TLS 1.3, ALPN `h3`, no early data.
    ///
    /// # Errors
    /// [`TlsError::Config`] when the cryptography does not offer TLS 1.3.
    pub fn quic_config(&self) -> Result<rustls::ServerConfig, TlsError> {
        let mut config = self.config(&[&rustls::version::TLS13])?;
        config.alpn_protocols = vec![ALPN_H3.to_vec()];
        config.max_early_data_size = 0;
        Ok(config)
    }

    /// The key of this node's stateless resets (RFC 9000 section 10.3), the same after every start.
    pub(crate) fn reset_key(&self, node: &str) -> hmac::Key {
        let purpose = format!("tallyport quic stateless reset {node}");
        let key = hmac::sign(&self.secret, purpose.as_bytes());
        hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())
    }

    /// Marks what clients carry for others; gateways with this key have the same.
    #[must_use]
    pub fn seal(&self) -> Seal {
        let key = hmac::sign(&self.secret, b"tallyport seal of what clients carry");
        Seal::new(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()))
    }

    fn config(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Result<rustls::ServerConfig, TlsError> {
        let builder = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(versions)
            .map_err(TlsError::Config)?;
        let builder = if self.asks_clients {
            builder.with_client_cert_verifier(Arc::new(AnyCertificate(self.provider.clone())))
        } else {
            builder.with_no_client_auth()
        };
        Ok(builder.with_cert_resolver(self.resolver.clone()))
    }

    /// The settings of the TCP front: TLS 1.2 and 1.3, ALPN `h2` before `http/1.1`, no early data.
    ///
    /// # Errors
    /// [`TlsError::Config`] when the cryptography does not offer these versions.
    pub fn tcp_config(&self) -> Result<rustls::ServerConfig, TlsError> {
        let mut config = self.config(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
        config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_H1.to_vec()];
        config.max_early_data_size = 0;
        Ok(config)
    }
}

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

/// RFC 5280 section 4.2.1.6.
fn names_of(leaf: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(leaf) else { return Vec::new() };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes {
            [a, b, c, d] => Some(Ipv4Addr::new(*a, *b, *c, *d).to_string()),
            bytes => Some(Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
        },
        _ => None,
    };
    names.value.general_names.iter().filter_map(name).collect()
}

/// The time is an argument, so that a test can stand anywhere in a certificate's life.
fn check_validity(path: &Path, leaf: &CertificateDer<'_>, now: SystemTime) -> Result<(), TlsError> {
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|source| TlsError::NotX509 {
        path: path.to_owned(),
        reason: source.to_string(),
    })?;
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    let validity = parsed.validity();
    if now > validity.not_after.timestamp() {
        return Err(TlsError::Expired {
            path: path.to_owned(),
            not_after: validity.not_after.to_string(),
        });
    }
    if now < validity.not_before.timestamp() {
        return Err(TlsError::NotYetValid {
            path: path.to_owned(),
            not_before: validity.not_before.to_string(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
