//! Why positions could not be read.

/// The positions of a table could not be read.
#[derive(Debug, thiserror::Error)]
pub enum PositionsError {
    /// The object store said no, or nothing.
    #[error("the table's log cannot be read: {0}")]
    Store(#[from] object_store::Error),
    /// A commit that must be there is not: it expired, or the table was replaced.
    #[error("commit {version} is not in the table's log; read the positions anew")]
    Gone {
        /// Its version.
        version: u64,
    },
    /// A commit is not one.
    #[error("commit {version} of the table's log cannot be decoded: {source}")]
    Commit {
        /// Its version.
        version: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The checkpoint is of a form that only the Delta library reads: in several parts, or with sidecars.
    #[error(
        "the checkpoint of version {version} is not a single Parquet file; read it by the Delta library"
    )]
    Foreign {
        /// Its version.
        version: u64,
    },
    /// The checkpoint is no Parquet, or its transactions are not what Delta says they are.
    #[error("the checkpoint of version {version} cannot be decoded: {source}")]
    Checkpoint {
        /// Its version.
        version: u64,
        /// What is wrong with it.
        source: parquet::errors::ParquetError,
    },
}

impl PositionsError {
    /// Whether the store is the reason: then nothing else can read the table either.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        matches!(self, Self::Store(_))
    }
}
