//! What every connection of both fronts shares, and the two things a request can be: a tunnel or an API call.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, Request, Response, StatusCode, request};
use http_body_util::Limited;
use tallyport_access::ClientCertificate;
use tallyport_access::strangers::Watch;
use tallyport_schemas::Front;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::{Instrument as _, Span};

use super::admission::Admission;
use super::config::Limits;
use super::route::{self, Refused};
use super::strangers::ConnectionsRoom;
use super::trace::{self, session_span};
use crate::meters;
use crate::tunnel::{ConnectRequest, OpenTunnel, TunnelIo, TunnelService};
use crate::turned_away::{Cause, TurnedAway};

/// How long an HTTP/3 offer on TCP may be remembered (RFC 7838).
const ALT_SVC_MAX_AGE_SECONDS: u32 = 86_400;

/// Put into the extensions of a response by an API handler that found the request's token valid: the connection then
/// counts as authenticated and is not closed by the authentication deadline.
#[derive(Clone, Copy, Debug)]
pub struct Authenticated;

/// The same by one that found what the request brought to be nobody's: it counts as an invalid token does, whatever the
/// status is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotAuthenticated;

/// Shared by all connections.
pub(super) struct Gate {
    pub(super) limits: Limits,
    pub(super) admission: Arc<Admission>,
    /// Has every task of a connection and of a session.
    pub(super) tasks: TaskTracker,
    /// No new connections and requests.
    pub(super) stop: CancellationToken,
    /// Open tunnels end now.
    pub(super) cut: CancellationToken,
    pub(super) alt_svc: Option<HeaderValue>,
    service: Arc<dyn TunnelService>,
    api: axum::Router,
    tunnels: Arc<Semaphore>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) addr: SocketAddr,
    pub(super) front: Front,
    pub(super) watch: Arc<Watch>,
    /// What the client sent in the handshake, where it was asked.
    pub(super) certificate: Option<ClientCertificate>,
    pub(super) room: ConnectionsRoom,
}

/// A tunnel that may run.
pub(super) struct Opened {
    tunnel: Box<dyn OpenTunnel>,
    span: Span,
    _slot: OwnedSemaphorePermit,
}

impl Opened {
    /// Serves the tunnel to its end, which is on record then.
    pub(super) async fn run(self, io: Box<dyn TunnelIo>) {
        self.tunnel.run(io).instrument(self.span).await;
    }
}

impl Gate {
    pub(super) fn new(
        limits: Limits,
        service: Arc<dyn TunnelService>,
        api: axum::Router,
        quic_port: u16,
    ) -> Self {
        let alt_svc = format!("h3=\":{quic_port}\"; ma={ALT_SVC_MAX_AGE_SECONDS}");
        Self {
            admission: Arc::new(Admission::new(
                limits.max_connections,
                limits.max_connections_per_ip,
            )),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
            alt_svc: HeaderValue::from_str(&alt_svc).ok(),
            service,
            api,
            tunnels: Arc::new(Semaphore::new(limits.max_tunnels.min(Semaphore::MAX_PERMITS))),
            limits,
        }
    }

    pub(super) fn open_tunnels(&self) -> usize {
        let most = self.limits.max_tunnels.min(Semaphore::MAX_PERMITS);
        most.saturating_sub(self.tunnels.available_permits())
    }

    /// Counts one that is turned away without a look at a token. `peer` only where the address is proved.
    pub(super) fn turned_away(&self, front: Front, cause: Cause, peer: Option<SocketAddr>) {
        self.service.turned_away(TurnedAway { front, cause, peer });
    }

    /// Opens the tunnel that a CONNECT asks for, or says how it is to be answered.
    pub(super) async fn open(&self, peer: &Peer, head: &request::Parts) -> Result<Opened, Refused> {
        let turned_away = |cause| self.turned_away(peer.front, cause, Some(peer.addr));
        let connect = route::connect(head).inspect_err(|_| {
            meters::turned_away("bad_request");
            turned_away(Cause::ProtocolError);
        })?;
        let token_was_sent = connect.presented.token.is_some();
        if let Some(refused) = self.exhausted(peer) {
            return Err(refused.into());
        }
        let Ok(slot) = self.tunnels.clone().try_acquire_owned() else {
            turned_away(Cause::TooManyTunnels);
            meters::turned_away("too_many_tunnels");
            let message = "the gateway has as many tunnels open as it may; try again later";
            let status = StatusCode::SERVICE_UNAVAILABLE;
            return Err(route::answer(status, "too_many_tunnels", message).into());
        };
        let span = session_span(&head.headers, connect.trace_id, &connect.target, peer.front);
        let request = ConnectRequest {
            target: connect.target,
            token: connect.presented.token,
            proof: connect.presented.proof,
            certificate: peer.certificate.clone(),
            peer: peer.addr,
            front: peer.front,
            trace_id: connect.trace_id,
        };
        let opening = self.service.open(request).instrument(span.clone());
        match tokio::time::timeout(self.limits.open_deadline, opening).await {
            Ok(Ok(tunnel)) => Ok(Opened { tunnel, span, _slot: slot }),
            Ok(Err(refusal)) => {
                meters::refused(&refusal);
                // To learn a nonce is no failure.
                if refusal.status == StatusCode::UNAUTHORIZED.as_u16()
                    && refusal.code != route::USE_NONCE
                {
                    peer.watch.failed_authentication();
                }
                Err(route::refusal(&refusal, token_was_sent, None).into())
            }
            Err(_) => {
                meters::turned_away("open_timeout");
                let message = "the tunnel could not be opened in time; try again later";
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Err(route::answer(status, "open_timeout", message).into())
            }
        }
    }

    /// The answer to whoever had all tries of its connection: no further token of it is looked at.
    fn exhausted(&self, peer: &Peer) -> Option<Response<Bytes>> {
        peer.watch.is_exhausted().then(|| {
            meters::turned_away("too_many_failures");
            self.turned_away(peer.front, Cause::TooManyFailures, Some(peer.addr));
            let message =
                "too many requests with an invalid token on this connection; get a new token";
            route::answer(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", message)
        })
    }

    /// Gives a request that is no CONNECT to the router, with its body bounded in size and time. Also whether it is the first
    /// of its connection that was found authentic.
    pub(super) async fn call<B>(&self, peer: &Peer, request: Request<B>) -> (Response<Body>, bool)
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        if let Some(refused) = self.exhausted(peer) {
            return (refused.map(Body::from), false);
        }
        let mut request = request.map(|body| {
            let bounded = Limited::new(body, self.limits.max_body_bytes);
            Body::new(TimedBody::new(bounded, self.limits.body_deadline))
        });
        let trace_id = trace::trace_id(request.headers());
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(peer.addr));
        extensions.insert(peer.front);
        extensions.insert(trace_id);
        if let Some(certificate) = &peer.certificate {
            extensions.insert(certificate.clone());
        }
        if !peer.watch.is_authenticated() {
            extensions.insert(peer.room.clone());
        }
        let answered: Result<Response<Body>, Infallible> = self.api.clone().oneshot(request).await;
        let response = answered.unwrap_or_else(|never| match never {});
        let failed = response.status() == StatusCode::UNAUTHORIZED
            || response.extensions().get::<NotAuthenticated>().is_some();
        let mut first = false;
        if failed && !response.headers().get_all(WWW_AUTHENTICATE).iter().any(asks_for_nonce) {
            peer.watch.failed_authentication();
        } else if response.extensions().get::<Authenticated>().is_some() {
            first = peer.watch.authenticated();
        }
        (response, first)
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("limits", &self.limits).finish_non_exhaustive()
    }
}

fn asks_for_nonce(challenge: &HeaderValue) -> bool {
    challenge.to_str().is_ok_and(|challenge| challenge.contains(route::USE_NONCE))
}

/// A body that must be complete in time.
struct TimedBody<B> {
    body: Pin<Box<B>>,
    deadline: Pin<Box<tokio::time::Sleep>>,
}

impl<B> TimedBody<B> {
    fn new(body: B, within: Duration) -> Self {
        Self { body: Box::pin(body), deadline: Box::pin(tokio::time::sleep(within)) }
    }
}

impl<B> hyper::body::Body for TimedBody<B>
where
    B: hyper::body::Body<Data = Bytes, Error = axum::BoxError>,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        let frame = self.body.as_mut().poll_frame(cx);
        if frame.is_pending() && self.deadline.as_mut().poll(cx).is_ready() {
            let late = io::Error::new(io::ErrorKind::TimedOut, "the request body came too slowly");
            return Poll::Ready(Some(Err(late.into())));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

/// The bytes of a tunnel whose client was lost between the opening and the answer: the session still has to end in
/// order, so it runs, and finds its client gone.
#[derive(Debug)]
pub(super) struct Lost;

impl Lost {
    fn error() -> io::Error {
        io::Error::new(io::ErrorKind::ConnectionReset, "the client left before the tunnel was up")
    }
}

impl AsyncRead for Lost {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(Self::error()))
    }
}

impl AsyncWrite for Lost {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        _buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(Self::error()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(Self::error()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
