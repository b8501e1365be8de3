//! A local port for an ordinary client: every connection becomes a tunnel.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::error::ConnectError;
use super::{Connector, http_refusal, pg_refusal, pipe};

/// Local connections at a time; more wait in the listener's queue.
const MAX_LOCAL_CONNECTIONS: usize = 4096;
/// After a failed accept (no file descriptor left), the next one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Accept errors in a row that are taken for a passing lack of resources.
const MAX_ACCEPT_FAILURES: u32 = 100;

impl Connector {
    /// Serves `listener`: each local connection is carried to `target` as a tunnel of its own. When a tunnel is
    /// refused, a client of PostgreSQL or of HTTP is told why in its own protocol; any other client is disconnected.
    ///
    /// Whoever can reach the listener acts with this connector's token: bind it to loopback.
    ///
    /// # Errors
    /// [`ConnectError::Local`] when the listener breaks.
    ///
    /// # Cancel safety
    /// Cancel by the token: it ends all connections. A dropped call aborts them.
    pub async fn forward(
        self: Arc<Self>,
        listener: TcpListener,
        target: &str,
        cancel: CancellationToken,
    ) -> Result<(), ConnectError> {
        let mut connections = JoinSet::new();
        let mut failures = 0;
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                Some(_ended) = connections.join_next() => {}
                accepted = listener.accept(), if connections.len() < MAX_LOCAL_CONNECTIONS => {
                    match accepted {
                        Ok((local, _)) => {
                            failures = 0;
                            connections.spawn(self.clone().carry(local, target.to_owned()));
                        }
                        Err(error) if failures >= MAX_ACCEPT_FAILURES => {
                            return Err(ConnectError::Local(error));
                        }
                        Err(_) => {
                            failures += 1;
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            }
        }
    }

    async fn carry(self: Arc<Self>, local: TcpStream, target: String) {
        if let Err(error) = local.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set on a local connection");
        }
        match self.open(&target).await {
            Ok(tunnel) => {
                if let Err(error) = pipe::run(local, tunnel).await {
                    tracing::debug!(%error, "a tunnel broke");
                }
            }
            Err(refused) => {
                tracing::warn!(%target, error = %refused, "no tunnel");
                if http_refusal::is_asked(&local).await {
                    http_refusal::answer(local, &refused).await;
                } else {
                    pg_refusal::answer(local, &refused).await;
                }
            }
        }
    }
}
