//! One HTTP connection, with TLS or on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::serve::Serve;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the headers of a request may take.
const HEADERS: Duration = Duration::from_secs(10);
/// The most bytes of headers.
const MAX_HEADER_BYTES: u32 = 64 * 1024;
/// The most requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 16;

/// Serves the API.
#[derive(Clone)]
pub(crate) struct Server {
    router: Router,
    tls: Option<TlsAcceptor>,
}

impl Server {
    pub(crate) fn new(router: Router, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        Self { router, tls: tls.map(TlsAcceptor::from) }
    }

    async fn on(
        self,
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        peer: SocketAddr,
        stop: CancellationToken,
    ) {
        let router = self.router.layer(Extension(ConnectInfo(peer)));
        let service = TowerToHyperService::new(router);
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
        let connection = builder.serve_connection(TokioIo::new(io), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "an HTTP connection ended early");
        }
    }
}

impl Serve for Server {
    async fn serve(self, stream: TcpStream, peer: SocketAddr, stop: CancellationToken) {
        let _nodelay = stream.set_nodelay(true);
        match self.tls.clone() {
            None => self.on(stream, peer, stop).await,
            Some(tls) => match timeout(HANDSHAKE, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.on(stream, peer, stop).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
            },
        }
    }
}
