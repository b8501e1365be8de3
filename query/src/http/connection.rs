//! One HTTP connection, with TLS or on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Extension, Router};
use http_body_util::BodyExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tallyport_access::strangers::{Rules, Strangers, Watch};
use tallyport_schemas::Front;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::error::QueryError;
use crate::serve::Serve;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the headers of a request may take.
const HEADERS: Duration = Duration::from_secs(10);
/// The most bytes of headers.
const MAX_HEADER_BYTES: u32 = 64 * 1024;
/// The most requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 16;
/// When a connection is over.
const RULES: Rules = Rules {
    first_request: Duration::from_secs(10),
    authentication: Duration::from_secs(30),
    open: Duration::from_secs(30),
    unused: Duration::from_secs(120),
    max_failures: 8,
};
/// How long a connection that was let in before the end may take to ask something, and be answered.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
/// How long what is under way may take once a connection is over by the rules.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// Serves the API.
#[derive(Clone)]
pub(crate) struct Server {
    router: Router,
    tls: Option<TlsAcceptor>,
    strangers: Arc<Strangers>,
}

impl Server {
    pub(crate) fn new(
        router: Router,
        tls: Option<Arc<rustls::ServerConfig>>,
        strangers: Arc<Strangers>,
    ) -> Self {
        Self { router, tls: tls.map(TlsAcceptor::from), strangers }
    }

    async fn on(
        self,
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        peer: SocketAddr,
        stop: CancellationToken,
    ) {
        let watch = Arc::new(Watch::new(RULES));
        let counted = middleware::from_fn_with_state(Arc::clone(&watch), counted);
        let router = self.router.layer(Extension(ConnectInfo(peer))).layer(counted);
        let builder = builder();
        let connection =
            builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(router));
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                // Who was let in just before has asked nothing yet, and would be let down.
                tokio::select! {
                    ended = connection.as_mut() => return told(peer, ended),
                    _came_or_not = timeout(FIRST_REQUEST, watch.first_request()) => {}
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            over = watch.over() => {
                tracing::debug!(%peer, reason = over.reason(), "an HTTP connection is over");
                if let Some(code) = over.code() {
                    self.strangers.turned_away(Front::QueryHttp, code, Some(peer));
                }
                connection.as_mut().graceful_shutdown();
                timeout(LAST_ANSWERS, connection).await.unwrap_or(Ok(()))
            }
        };
        told(peer, ended);
    }

    /// One answer, whatever is asked.
    async fn answer_once(
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        error: QueryError,
    ) {
        let told = Arc::new(Notify::new());
        let tells = Arc::clone(&told);
        let router = Router::new().fallback(async move || {
            tells.notify_one();
            Failure(error)
        });
        let builder = builder();
        let connection =
            builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(router));
        tokio::pin!(connection);
        let _ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = told.notified() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
    }
}

fn told(peer: SocketAddr, ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "an HTTP connection ended early");
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(MAX_HEADER_BYTES as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES);
    builder
}

/// Tells the connection's watch of each request, until its answer is over.
async fn counted(State(watch): State<Arc<Watch>>, mut request: Request, next: Next) -> Response {
    let open = watch.request();
    watch.asked();
    request.extensions_mut().insert(Arc::clone(&watch));
    let response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED {
        watch.failed_authentication();
    }
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _still = &open;
            frame
        }))
    })
}

impl Serve for Server {
    const FRONT: Front = Front::QueryHttp;

    async fn serve(self, stream: TcpStream, peer: SocketAddr, stop: CancellationToken) {
        let _nodelay = stream.set_nodelay(true);
        let Some(tls) = self.tls.clone() else { return self.on(stream, peer, stop).await };
        let turned_away = match timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => return self.on(stream, peer, stop).await,
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "a TLS handshake failed");
                "handshake_failed"
            }
            Err(_) => "handshake_timeout",
        };
        self.strangers.turned_away(Self::FRONT, turned_away, Some(peer));
    }

    async fn refuse(self, stream: TcpStream, why: QueryError) {
        match self.tls {
            None => Self::answer_once(stream, why).await,
            Some(tls) => {
                if let Ok(stream) = tls.accept(stream).await {
                    Self::answer_once(stream, why).await;
                }
            }
        }
    }
}
