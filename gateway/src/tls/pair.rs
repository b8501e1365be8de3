//! A certificate chain and its key, in files that somebody else may write anew.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::InconsistentKeys;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::CertifiedKey;

use super::{TlsError, certificates};

/// The two files (PEM).
#[derive(Clone, Debug)]
pub(super) struct PairFiles {
    /// Chain, leaf first.
    pub(super) certificate: PathBuf,
    /// Its key.
    pub(super) key: PathBuf,
}

/// When both files were written: what they had then a connection shows for as long as it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written([SystemTime; 2]);

/// What the files had.
pub(super) struct Pair {
    pub(super) certified: CertifiedKey,
    /// The key as it was in its file; never shown.
    pub(super) secret: PrivateKeyDer<'static>,
}

impl PairFiles {
    pub(super) fn written(&self) -> Written {
        Written([modified(&self.certificate), modified(&self.key)])
    }

    /// Reads both; the key is that of the certificate.
    pub(super) fn read(&self) -> Result<Pair, TlsError> {
        let chain = certificates(&self.certificate)?;
        let secret = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|source| TlsError::pem(&self.key, "private key", source))?;
        let key = rustls::crypto::aws_lc_rs::default_provider()
            .key_provider
            .load_private_key(secret.clone_key())
            .map_err(|source| TlsError::BadKey { path: self.key.clone(), source })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // `Unknown` is a key that cannot tell its public half; the handshake then finds out.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Pair { certified, secret })
            }
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(TlsError::KeyMismatch { cert: self.certificate.clone(), key: self.key.clone() })
            }
            Err(source) => Err(TlsError::BadCertificate { path: self.certificate.clone(), source }),
        }
    }
}

/// Whether the key is that of the certificate.
pub(crate) fn check_pair(certificate: &Path, key: &Path) -> Result<(), TlsError> {
    let files = PairFiles { certificate: certificate.to_owned(), key: key.to_owned() };
    files.read().map(|_good| ())
}

/// When a file was written; what cannot be read was never.
pub(crate) fn modified(file: &Path) -> SystemTime {
    let modified = std::fs::metadata(file).and_then(|meta| meta.modified());
    modified.unwrap_or(SystemTime::UNIX_EPOCH)
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}
