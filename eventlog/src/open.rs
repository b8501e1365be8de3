//! Chooses a backend by URL.

use std::path::PathBuf;
use std::sync::Arc;

use crate::Log;

/// Where the log is: `embedded:DIR`, `kafka://HOST:PORT[,HOST:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogUrl {
    /// One machine, one directory.
    Embedded(PathBuf),
    /// Kafka brokers.
    Kafka(Vec<String>),
}

/// The log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is of no known form.
    #[error("`{0}` is no log URL; use embedded:DIR or kafka://HOST:PORT")]
    BadUrl(String),
}

/// Opens the log.
///
/// # Errors
/// See [`OpenError`].
pub async fn open(url: &LogUrl) -> Result<Arc<dyn Log>, OpenError> {
    Err(OpenError::BadUrl(format!("{url:?}")))
}
