//! Host names to addresses, anew for every dial: a target may move, and nothing is remembered of where it was.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use tokio::sync::Semaphore;

/// Lookups of one target under way. Each holds a thread of the runtime's pool for as long as the system's resolver
/// takes, also when nobody waits for it any more; a resolver that hangs must not take them all.
const MAX_LOOKUPS: usize = 16;
/// Addresses of one answer that are tried.
const MAX_ADDRESSES: usize = 16;

/// Blocks until it knows.
type Lookup = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Looks names up. Cheap to clone; clones share their bound.
#[derive(Clone)]
pub(super) struct Resolver {
    places: Arc<Semaphore>,
    lookup: Arc<Lookup>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Resolver {
    /// As the system's configuration says.
    pub(super) fn system() -> Self {
        Self::with(|host, port| Ok((host, port).to_socket_addrs()?.collect()))
    }

    fn with(
        lookup: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_LOOKUPS)), lookup: Arc::new(lookup) }
    }

    /// The addresses that `host` has now; at least one.
    ///
    /// # Errors
    /// When it has none, or the resolver fails. The caller bounds the wait.
    ///
    /// # Cancel safety
    /// Cancel safe: a lookup that was begun ends by itself, and keeps its place until then.
    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
        let (lookup, host) = (Arc::clone(&self.lookup), host.to_owned());
        let work = tokio::task::spawn_blocking(move || {
            let found = lookup(&host, port);
            drop(place);
            found
        });
        let mut found = work.await.map_err(io::Error::other)??;
        found.truncate(MAX_ADDRESSES);
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the host name has no address"));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
