//! The TCP front: TLS, then HTTP/2 or HTTP/1.1, for networks that block UDP.

mod cut;
mod request;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tallyport_access::ClientCertificate;
use tallyport_access::strangers::{Full, Watch};
use tallyport_schemas::Front;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::admission::Admitted;
use super::config::Limits;
use super::gate::{Gate, Peer};
use super::route;
use super::strangers::ConnectionsRoom;
use super::{FrontError, LAST_REQUESTS};
use crate::tls::{ALPN_H2, ServerIdentity};
use crate::turned_away::Cause;

/// Fields of one HTTP/1.1 request.
const MAX_HTTP1_FIELDS: usize = 64;
/// Streams that a client may have reset before we looked at them (HTTP/2 rapid reset, CVE-2023-44487).
const MAX_PENDING_ACCEPT_RESETS: usize = 20;
/// Streams that we reset for a client's errors before the connection is closed.
const MAX_LOCAL_ERROR_RESETS: usize = 64;
/// Bytes that one HTTP/2 stream may have waiting to be sent.
const MAX_HTTP2_SEND_BUFFER_BYTES: usize = 256 * 1024;
/// Connections over the limit that are told so at a time; more are closed without a word.
const REFUSALS_AT_ONCE: usize = 16;
/// How long telling so may take.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(5);
/// How long the last answers may take after a connection was told to end.
const LINGER: Duration = Duration::from_secs(2);
/// After a failed accept (no file descriptor left), the next one.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

static REFUSALS: Semaphore = Semaphore::const_new(REFUSALS_AT_ONCE);

/// One connection, as its requests see it. A tunnel of HTTP/1.1 outlives its HTTP connection and keeps it counted.
pub(super) struct Link {
    gate: Arc<Gate>,
    peer: Peer,
    _admitted: Admitted,
}

/// TLS for the front.
pub(super) fn acceptor(identity: &ServerIdentity) -> Result<TlsAcceptor, FrontError> {
    Ok(TlsAcceptor::from(Arc::new(identity.tcp_config()?)))
}

/// Takes connections until `stop`.
pub(super) async fn accept(
    gate: Arc<Gate>,
    listener: TcpListener,
    tls: TlsAcceptor,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, addr) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a TCP connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match gate.admission.admit(addr.ip(), Front::Tcp) {
            Ok(admitted) => {
                let (gate_, tls) = (gate.clone(), tls.clone());
                let span = tracing::debug_span!("connection", front = "tcp");
                let serving = serve(gate_, tls, stream, addr, admitted).instrument(span);
                gate.tasks.spawn(serving);
            }
            Err(full) => refuse(&gate, &tls, stream, full),
        }
    }
}

async fn serve(
    gate: Arc<Gate>,
    tls: TlsAcceptor,
    stream: TcpStream,
    addr: SocketAddr,
    admitted: Admitted,
) {
    set_options(&stream, &gate.limits);
    let handshake = timeout(gate.limits.handshake_deadline, tls.accept(stream)).await;
    let turned_away = |cause| gate.turned_away(Front::Tcp, cause, Some(addr));
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        Ok(Err(_)) => return turned_away(Cause::HandshakeFailed),
        Err(_) => return turned_away(Cause::HandshakeTimeout),
    };
    let watch = Arc::new(Watch::new(gate.limits.rules()));
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let certificate = ClientCertificate::of(chain);
    let room = ConnectionsRoom::new(gate.limits.streams_before_authentication);
    let peer = Peer { addr, front: Front::Tcp, watch: watch.clone(), certificate, room };
    let builder = builder(&stream, &gate.limits);
    let link = Arc::new(Link { gate: gate.clone(), peer, _admitted: admitted });
    let service = service_fn(move |request| request::serve(link.clone(), request));
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // A client that has just connected may be about to ask, and would find the connection closed.
    let leaves = async {
        gate.stop.cancelled().await;
        tokio::time::sleep(LAST_REQUESTS).await;
    };
    tokio::select! {
        biased;
        () = gate.cut.cancelled() => return,
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a TCP connection ended");
                if let Some(cause) = cause_of(error.as_ref()) {
                    turned_away(cause);
                }
            }
            return;
        }
        over = watch.over() => {
            tracing::debug!(reason = over.reason(), "a TCP connection is over");
            if let Some(cause) = Cause::of(over) {
                turned_away(cause);
            }
            connection.as_mut().graceful_shutdown();
            // Nothing authentic is open: what does not end by itself is dropped.
            let _ended = timeout(LINGER, connection).await;
            return;
        }
        () = leaves => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        () = gate.cut.cancelled() => {}
        _ended = connection => {}
    }
}

/// As it is counted; `None` where the client merely left.
fn cause_of(error: &(dyn std::error::Error + 'static)) -> Option<Cause> {
    let error = error.downcast_ref::<hyper::Error>()?;
    let http2 = std::error::Error::source(error).and_then(|source| source.downcast_ref());
    if let Some(http2) = http2 {
        let http2: &h2::Error = http2;
        return match http2.reason() {
            Some(h2::Reason::ENHANCE_YOUR_CALM) => Some(Cause::StreamFlood),
            Some(h2::Reason::NO_ERROR) | None => None,
            Some(_) => Some(Cause::ProtocolError),
        };
    }
    if error.is_timeout() {
        Some(Cause::HeadersTimeout)
    } else if error.is_parse_too_large() {
        Some(Cause::HeadersTooLarge)
    } else {
        error.is_parse().then_some(Cause::ProtocolError)
    }
}

/// Small writes leave at once; a peer that vanished without a word is found out.
fn set_options(stream: &TcpStream, limits: &Limits) {
    let keepalive =
        socket2::TcpKeepalive::new().with_time(limits.keep_alive).with_interval(limits.keep_alive);
    let socket = socket2::SockRef::from(stream);
    let set = stream
        .set_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&keepalive))
        .and_then(|()| socket.set_tcp_user_timeout(Some(limits.idle_timeout)));
    if let Err(error) = set {
        tracing::debug!(%error, "a TCP option could not be set");
    }
}

fn builder(stream: &TlsStream<TcpStream>, limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let buffer = usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.headers_deadline)
        .max_headers(MAX_HTTP1_FIELDS)
        .max_buf_size(buffer);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits.max_header_bytes)
        .max_concurrent_streams(limits.streams)
        .max_pending_accept_reset_streams(MAX_PENDING_ACCEPT_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_ERROR_RESETS)
        .initial_connection_window_size(limits.receive_window)
        .initial_stream_window_size(limits.stream_receive_window)
        .max_send_buf_size(MAX_HTTP2_SEND_BUFFER_BYTES)
        .keep_alive_interval(limits.keep_alive)
        .keep_alive_timeout(limits.idle_timeout);
    // What TLS agreed on holds; without ALPN it is HTTP/1.1, and never guessed from the first bytes.
    if stream.get_ref().1.alpn_protocol() == Some(ALPN_H2) {
        builder.http2_only()
    } else {
        builder.http1_only()
    }
}

/// Tells a client over the limit that it is, as far as that costs little.
fn refuse(gate: &Arc<Gate>, tls: &TlsAcceptor, stream: TcpStream, full: Full) {
    tracing::debug!(?full, "a TCP connection was refused");
    gate.turned_away(Front::Tcp, Cause::TooManyConnections, stream.peer_addr().ok());
    let Ok(permit) = REFUSALS.try_acquire() else { return };
    let (gate_, tls) = (gate.clone(), tls.clone());
    gate.tasks.spawn(async move {
        let told = async {
            let stream = tls.accept(stream).await?;
            let builder = builder(&stream, &gate_.limits);
            let connection = builder.serve_connection(
                TokioIo::new(stream),
                service_fn(move |_request: Request<Incoming>| async move {
                    Ok::<_, Infallible>(refused(full))
                }),
            );
            // It ends when the client has read its answer, or by the deadline.
            Ok::<_, std::io::Error>(connection.await)
        };
        let _told = timeout(REFUSAL_DEADLINE, told).await;
        drop(permit);
    });
}

fn refused(full: Full) -> Response<Body> {
    let message = match full {
        Full::All => "the gateway has as many connections as it may; try again later",
        Full::Address => {
            "your address has as many connections as it may; close one or try again later"
        }
    };
    let mut response =
        route::answer(StatusCode::SERVICE_UNAVAILABLE, "too_many_connections", message)
            .map(Body::from);
    response
        .headers_mut()
        .insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
    response
}
