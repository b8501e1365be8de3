//! What the service is told at its start.

use std::collections::HashMap;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::error::StartError;

/// Everything the service needs beside the log, the identities and the policy.
#[derive(Clone, Debug)]
pub struct QueryConfig {
    /// The lake.
    pub lake: LakeConfig,
    /// The HTTP API; none when another server mounts [`crate::RunningQuery::router`].
    pub http: Option<ListenConfig>,
    /// The PostgreSQL wire.
    pub pgwire: Option<ListenConfig>,
    /// Bounds.
    pub limits: Limits,
}

/// Where the lake is and how its object store is reached.
#[derive(Clone)]
pub struct LakeConfig {
    /// The lake's URL: `file://`, `s3://`. The tables are below it.
    pub url: Url,
    /// Options of the object store, such as `AWS_REGION`. They may hold credentials and are never shown.
    pub storage_options: HashMap<String, String>,
}

/// One listening socket.
#[derive(Clone)]
pub struct ListenConfig {
    /// Address; port 0 takes a free one.
    pub address: SocketAddr,
    /// TLS. Without it only loopback addresses are accepted, because readers send their tokens here.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// What listens at the address already, where somebody else keeps it, such as a service manager: whoever connects while no
    /// service runs waits there.
    pub listener: Option<Arc<TcpListener>>,
}

impl ListenConfig {
    /// Whether readers may send their tokens here.
    ///
    /// # Errors
    /// [`StartError::CleartextTokens`].
    pub fn check(&self, face: &'static str) -> Result<(), StartError> {
        let address = self.address;
        if self.tls.is_none() && !address.ip().is_loopback() {
            return Err(StartError::CleartextTokens { face, address });
        }
        Ok(())
    }
}

/// Bounds of the service. Every one is enforced and says so by name in its error.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Memory that all running queries share, in bytes. Nothing spills to disk: what an auditor sees stays in memory.
    pub max_memory_bytes: usize,
    /// Rows that one query may give.
    pub max_rows: u64,
    /// Bytes (in Arrow) that one query may give.
    pub max_answer_bytes: u64,
    /// How long one query may take, its delivery included.
    pub max_duration: Duration,
    /// Queries that run at once; more wait for [`Self::max_queue_wait`], then they are refused. One principal has at
    /// most a quarter of them, and at least one.
    pub max_concurrent: usize,
    /// How long a query may wait for its turn.
    pub max_queue_wait: Duration,
    /// Length of a query's text, in bytes.
    pub max_sql_bytes: usize,
    /// Connections per listener; of one principal on the PostgreSQL wire a quarter of them, and at least one.
    pub max_connections: usize,
    /// Connections of one address (IPv6: one /64) per listener.
    pub max_connections_per_ip: usize,
    /// Events of the log's tail that are kept in memory, in bytes, decoded or not. What does not fit is read from the log by
    /// each query that needs it: slower, never wrong.
    pub max_tail_bytes: usize,
}

impl LakeConfig {
    /// A lake at `url` without options.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self { url, storage_options: HashMap::new() }
    }

    /// The URL of a table below the lake's.
    pub(crate) fn table(&self, name: &str) -> Url {
        let mut url = self.url.clone();
        let path = format!("{}/{name}/", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }
}

impl fmt::Debug for LakeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<_> = self.storage_options.keys().collect();
        f.debug_struct("LakeConfig")
            .field("url", &self.url.as_str())
            .field("storage_options", &options)
            .finish()
    }
}

impl ListenConfig {
    /// A listener without TLS: for loopback addresses.
    #[must_use]
    pub const fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None, listener: None }
    }
}

impl fmt::Debug for ListenConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenConfig")
            .field("address", &self.address)
            .field("tls", &self.tls.is_some())
            .field("is_kept", &self.listener.is_some())
            .finish()
    }
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            max_memory_bytes: 1024 * MIB,
            max_rows: 1_000_000,
            max_answer_bytes: 512 * MIB as u64,
            max_duration: Duration::from_secs(60),
            max_concurrent: 8,
            max_queue_wait: Duration::from_secs(5),
            max_sql_bytes: 64 * 1024,
            max_connections: 256,
            max_connections_per_ip: 128,
            max_tail_bytes: 256 * MIB,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_below_the_lake_with_or_without_a_slash() {
        for lake in ["s3://bucket/audit", "s3://bucket/audit/"] {
            let config = LakeConfig::new(Url::parse(lake).unwrap());
            assert_eq!(config.table("events").as_str(), "s3://bucket/audit/events/");
        }
    }

    #[test]
    fn options_are_never_shown() {
        let mut config = LakeConfig::new(Url::parse("s3://bucket").unwrap());
        config.storage_options.insert("AWS_SECRET_ACCESS_KEY".into(), "hunter2".into());
        let shown = format!("{config:?}");
        assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("hunter2"), "{shown}");
    }
}
