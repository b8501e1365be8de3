//! What can be wrong with certificates and keys.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem;

/// What rustls says of a certificate, with what to do where its own words do not tell.
#[must_use]
pub fn in_words(reason: &str) -> String {
    if reason.contains("CaUsedAsEndEntity") {
        return "it is a CA's own certificate, which no server may show: issue one with \
                basicConstraints CA:FALSE"
            .to_owned();
    }
    if reason.contains("UnknownIssuer") {
        return "its certificate is of no CA that is trusted here; name the file of its CA (--ca FILE, PEM) if it is the right one"
            .to_owned();
    }
    if reason.contains("InvalidContentType") {
        return "what listens there does not speak TLS; is its address one of http://?".to_owned();
    }
    if reason.contains("invalid HTTP version parsed") {
        return "what listens there does not speak HTTP in the clear; is its address one of https://?".to_owned();
    }
    if reason.contains("NoApplicationProtocol") {
        return "what listens there speaks TLS and no HTTP; is it the port of the PostgreSQL wire?"
            .to_owned();
    }
    reason.to_owned()
}

/// A certificate or key cannot be used. The messages name files, never key material.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}; check the path, and that who runs this may read it")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file has none of what was looked for.
    #[error("{path} holds no {what}; expected a PEM file with a {what} in it")]
    Missing {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// The file is not PEM.
    #[error("{path} is not a PEM file with a {what}: {source}")]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// Why.
        source: pem::Error,
    },
    /// The certificate does not parse.
    #[error("the first certificate of {path} is not X.509: {reason}")]
    NotX509 {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// The certificate is refused.
    #[error("the certificate in {path} cannot be used: {source}")]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The key is of a kind that is not supported.
    #[error(
        "the private key in {path} cannot be used: {source}; use an ECDSA P-256, Ed25519 or RSA key"
    )]
    BadKey {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The key is not the certificate's.
    #[error(
        "the private key in {key} does not belong to the certificate in {cert}; give the pair that was issued together"
    )]
    KeyMismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The certificate is over.
    #[error("the certificate in {path} expired on {not_after}; renew it")]
    Expired {
        /// The file.
        path: PathBuf,
        /// Its last moment.
        not_after: String,
    },
    /// The certificate is not yet in force.
    #[error(
        "the certificate in {path} is not valid before {not_before}; check this machine's clock"
    )]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// Its first moment.
        not_before: String,
    },
    /// The cryptography does not offer what TLS needs.
    #[error("TLS cannot be set up: {0}")]
    Config(rustls::Error),
    /// The development CA could not be made.
    #[error("the development CA could not be made: {0}")]
    Issue(#[from] rcgen::Error),
    /// A file of the development CA could not be written.
    #[error("cannot write {path}: {source}; check the directory's permissions and free space")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl TlsError {
    pub(super) fn pem(path: &Path, what: &'static str, source: pem::Error) -> Self {
        let path = path.to_owned();
        match source {
            pem::Error::Io(source) => Self::Unreadable { path, source },
            pem::Error::NoItemsFound => Self::Missing { path, what },
            source => Self::NotPem { path, what, source },
        }
    }
}
