//! The certificate of a server of ours and its key, checked at load and followed, and the TLS settings of the two fronts.
//!
//! QUIC takes TLS 1.3 only, with 0-RTT off: early data can be replayed, and a replayed statement is a second statement.
//! TCP takes TLS 1.2 and 1.3.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use metrics::gauge;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::task::AbortOnDropHandle;

use super::client_certificate::AnyCertificate;
use super::leaf::Leaf;
use super::pair::{Pair, PairFiles, Written};
use super::{ALPN_H1, ALPN_H2, ALPN_H3, TlsError};
use crate::mcp::Seal;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A certificate chain with its key, checked: the key belongs to the certificate, and the certificate is in force.
#[derive(Clone, Debug)]
pub struct ServerIdentity {
    files: PairFiles,
    /// What handshakes show.
    shown: Arc<Shown>,
    provider: Arc<CryptoProvider>,
    /// Keyed with the private key of the start; never shown.
    secret: hmac::Key,
    seal: Seal,
    leaf: Leaf,
    written: Written,
    asks_clients: bool,
}

/// A pair that was found good.
struct Good {
    certified: Arc<CertifiedKey>,
    leaf: Leaf,
    secret: hmac::Key,
}

struct Shown(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl ServerIdentity {
    /// Reads a chain (leaf first) and its key from PEM files.
    ///
    /// # Errors
    /// [`TlsError`], which names the file and what is wrong with it.
    pub fn load(cert_pem: &Path, key_pem: &Path) -> Result<Self, TlsError> {
        let files = PairFiles { certificate: cert_pem.to_owned(), key: key_pem.to_owned() };
        let written = files.written();
        let Good { certified, leaf, secret } = read(&files)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let seal = Seal::new(key_of_seals(&secret));
        let shown = Arc::new(Shown(ArcSwap::new(certified)));
        Ok(Self { files, shown, provider, secret, seal, leaf, written, asks_clients: false })
    }

    /// The same, which asks clients for a certificate of theirs, on both fronts.
    #[must_use]
    pub fn asking_clients(self) -> Self {
        Self { asks_clients: true, ..self }
    }

    /// The hosts that the certificate is for, as it was loaded: DNS names, also with `*.`, and addresses.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.leaf.names
    }

    /// Shows what the files have, whenever they are written anew, until the handle is dropped. What is no good is passed over,
    /// and what was shown before is shown on. Metrics tell under the name of `face` how long it is good.
    pub fn follow(&self, face: &'static str) -> AbortOnDropHandle<()> {
        let (mut following, mut leaf) = (self.clone(), self.leaf.clone());
        let mut refused = None;
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                measure(face, &leaf);
                tokio::time::sleep(LOOK_EVERY).await;
                match following.look() {
                    None => refused = None,
                    Some(Ok(good)) => {
                        tracing::info!(face, certificate = %following.files.certificate.display(), not_after = %good.end(), "the certificate was read anew");
                        (leaf, refused) = (good, None);
                    }
                    Some(Err(error)) => {
                        let said = Some(error.to_string());
                        if refused != said {
                            tracing::error!(face, %error, "the certificate cannot be read anew; the one before it serves on");
                        }
                        refused = said;
                    }
                }
            }
        }))
    }

    /// Reads the files where they were written since the last time that they were good.
    pub(super) fn look(&mut self) -> Option<Result<Leaf, TlsError>> {
        let written = self.files.written();
        if written == self.written {
            return None;
        }
        Some(read(&self.files).map(|Good { certified, leaf, secret }| {
            self.written = written;
            self.seal.renew(key_of_seals(&secret));
            self.shown.0.store(certified);
            leaf
        }))
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

    /// The key of this node's stateless resets (RFC 9000 section 10.3), the same after every start with the same key.
    pub(crate) fn reset_key(&self, node: &str) -> hmac::Key {
        let purpose = format!("tallyport quic stateless reset {node}");
        let key = hmac::sign(&self.secret, purpose.as_bytes());
        hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())
    }

    /// Marks what clients carry for others; gateways with this key have the same. It goes with the key that is followed.
    #[must_use]
    pub fn seal(&self) -> Seal {
        self.seal.clone()
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
        Ok(builder.with_cert_resolver(self.shown.clone()))
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

fn read(files: &PairFiles) -> Result<Good, TlsError> {
    let Pair { certified, secret } = files.read()?;
    let first = certified.cert.first().ok_or_else(|| TlsError::Missing {
        path: files.certificate.clone(),
        what: "certificate",
    })?;
    let leaf = Leaf::read(&files.certificate, first)?;
    leaf.check(&files.certificate, SystemTime::now())?;
    let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.secret_der());
    Ok(Good { certified: Arc::new(certified), leaf, secret })
}

fn key_of_seals(secret: &hmac::Key) -> hmac::Key {
    let key = hmac::sign(secret, b"tallyport seal of what clients carry");
    hmac::Key::new(hmac::HMAC_SHA256, key.as_ref())
}

fn measure(face: &'static str, leaf: &Leaf) {
    let seconds = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    };
    gauge!("tallyport_certificate_not_before_seconds", "face" => face)
        .set(seconds(leaf.not_before));
    gauge!("tallyport_certificate_not_after_seconds", "face" => face).set(seconds(leaf.not_after));
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").finish_non_exhaustive()
    }
}
