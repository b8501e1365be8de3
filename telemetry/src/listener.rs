//! Serves the routes over plain HTTP/1.1, within bounds: one request a connection, each of them in time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::meters::Meters;
use crate::readiness::Readiness;
use crate::routes;
use crate::service::TelemetryError;

/// Connections at once; the next one waits in the system's queue.
const MAX_CONNECTIONS: usize = 32;
/// The longest a request's header takes.
const HEADERS: Duration = Duration::from_secs(5);
/// The longest a connection lasts, its answer included.
const CONNECTION: Duration = Duration::from_secs(15);
/// The longest the last answers take.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
const MAX_HEADER_BYTES: usize = 16 * 1024;
const MAX_FIELDS: usize = 64;
/// Pause after an accept that failed, such as for lack of file descriptors.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A socket that takes connections and does not answer yet.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    socket: TcpListener,
}

/// What the routes answer from.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) meters: Meters,
    pub(crate) readiness: Readiness,
}

impl Listener {
    pub(crate) async fn bind(address: SocketAddr) -> Result<Self, TelemetryError> {
        let failed = |source| TelemetryError::Listen { address, source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        Ok(Self { address: socket.local_addr().map_err(failed)?, socket })
    }

    /// Answers until `stop`.
    pub(crate) async fn run(self, sources: Sources, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let connections = TaskTracker::new();
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await.ok();
                (place, self.socket.accept().await)
            };
            let Some((place, accepted)) = stop.run_until_cancelled(next).await else { break };
            match accepted {
                Ok((stream, _peer)) => {
                    let sources = sources.clone();
                    connections.spawn(async move {
                        serve(stream, sources).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a telemetry connection could not be accepted");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
        connections.close();
        let _answered = timeout(LAST_ANSWERS, connections.wait()).await;
    }
}

async fn serve(stream: TcpStream, sources: Sources) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = routes::answer(
            request.method(),
            request.uri().path(),
            request.uri().query(),
            &sources.meters,
            &sources.readiness,
        );
        async move { Ok::<Response<Full<Bytes>>, Infallible>(answer.map(Full::new)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_FIELDS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(CONNECTION, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a telemetry connection ended early"),
        Err(_) => tracing::debug!("a telemetry connection took too long"),
    }
}
