//! Accepts connections, a bounded number of them, until told to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pause after an accept that failed, such as for lack of file descriptors.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Serves one connection at a time, many at once.
pub(crate) trait Serve: Clone + Send + 'static {
    /// Serves `stream` until it ends; in order, and soon, once `stop` is cancelled.
    fn serve(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send;
}

/// A listener and its bounds.
pub(crate) struct Accepting {
    pub(crate) listener: TcpListener,
    pub(crate) max_connections: usize,
    pub(crate) connections: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Accepting {
    /// Accepts until it is told to stop. A connection beyond the bound waits in the system's queue.
    pub(crate) async fn run(self, server: impl Serve) {
        let places = Arc::new(Semaphore::new(self.max_connections));
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await.ok();
                (place, self.listener.accept().await)
            };
            let Some((place, accepted)) = self.stop.run_until_cancelled(next).await else { return };
            match accepted {
                Ok((stream, peer)) => {
                    let (server, stop) = (server.clone(), self.stop.clone());
                    self.connections.spawn(async move {
                        server.serve(stream, peer, stop).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }
}
