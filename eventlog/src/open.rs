//! Chooses a backend by URL.

use std::sync::Arc;

use crate::backends::embedded::{EmbeddedError, EmbeddedLog};
use crate::{Log, LogUrl};

/// The log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The embedded log.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// The Kafka log.
    #[cfg(feature = "kafka")]
    #[error(transparent)]
    Kafka(#[from] crate::backends::kafka::KafkaError),
    /// This build has no such backend.
    #[error("this build has no backend {backend}; build it with the cargo feature `{backend}`")]
    NotBuilt {
        /// The backend, named as its feature.
        backend: &'static str,
    },
}

/// Opens the log.
///
/// # Errors
/// See [`OpenError`].
///
/// # Cancel safety
/// A dropped call may leave a made directory or topic behind, and nothing else.
pub async fn open(url: &LogUrl) -> Result<Arc<dyn Log>, OpenError> {
    match url {
        LogUrl::Embedded(options) => Ok(Arc::new(EmbeddedLog::open(options.clone()).await?)),
        #[cfg(feature = "kafka")]
        LogUrl::Kafka(options) => {
            Ok(Arc::new(crate::backends::kafka::KafkaLog::open(options.clone()).await?))
        }
        #[cfg(not(feature = "kafka"))]
        LogUrl::Kafka(_) => Err(OpenError::NotBuilt { backend: "kafka" }),
        #[cfg(feature = "memory")]
        LogUrl::Memory => Ok(Arc::new(crate::backends::memory::MemoryLog::new())),
    }
}
