//! Accepts connections, a bounded number of them, until told to stop. Whoever finds no place is told so.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tallyport_access::strangers::{Full, Places, Strangers};
use tallyport_schemas::Front;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::QueryError;

/// Pause after an accept that failed, such as for lack of file descriptors.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How long it may take to tell somebody that there is no place.
const REFUSAL: Duration = Duration::from_secs(5);
/// How many are told at once; beyond that connections are just closed.
const REFUSALS: usize = 64;

/// Serves one connection at a time, many at once.
pub(crate) trait Serve: Clone + Send + 'static {
    /// Which of the two it is.
    const FRONT: Front;

    /// Serves `stream` until it ends; in order, and soon, once `stop` is cancelled.
    fn serve(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send;

    /// Tells whoever is at the other end why there is no place for them.
    fn refuse(self, stream: TcpStream, why: QueryError) -> impl Future<Output = ()> + Send;
}

/// A listener and its bounds.
pub(crate) struct Accepting {
    pub(crate) listener: TcpListener,
    pub(crate) places: Arc<Places>,
    pub(crate) strangers: Arc<Strangers>,
    pub(crate) connections: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Accepting {
    /// Accepts until it is told to stop.
    pub(crate) async fn run<S: Serve>(self, server: S) {
        let refusals = Arc::new(Semaphore::new(REFUSALS));
        while let Some(accepted) = self.stop.run_until_cancelled(self.listener.accept()).await {
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(RETRY_PAUSE).await;
                    continue;
                }
            };
            match self.places.take(peer.ip()) {
                Ok(place) => {
                    let (server, stop) = (server.clone(), self.stop.clone());
                    self.connections.spawn(async move {
                        server.serve(stream, peer, stop).await;
                        drop(place);
                    });
                }
                Err(full) => {
                    self.strangers.turned_away(S::FRONT, "too_many_connections", Some(peer));
                    let Ok(turn) = Arc::clone(&refusals).try_acquire_owned() else { continue };
                    let refusal = server.clone().refuse(stream, why(full));
                    let stop = self.stop.clone();
                    self.connections.spawn(async move {
                        let _told = stop.run_until_cancelled(timeout(REFUSAL, refusal)).await;
                        drop(turn);
                    });
                }
            }
        }
    }
}

const fn why(full: Full) -> QueryError {
    QueryError::TooManyConnections {
        of: match full {
            Full::All => "this service",
            Full::Address => "your address",
        },
    }
}
