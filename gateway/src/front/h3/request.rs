//! One HTTP/3 request: its header in time, then a tunnel or an API call.

use std::future::poll_fn;

use bytes::Bytes;
use h3::error::{Code, StreamError};
use h3::quic::SendStream as _;
use h3::server::{RequestResolver, RequestStream};
use http::{Request, Response};
use tallyport_access::strangers::OpenRequest;
use tokio::time::timeout;

use super::api;
use super::connection::Link;
use super::transport::{BidiStream, Transport};
use super::tunnel::H3Tunnel;
use crate::front::gate::Lost;
use crate::front::{quic, route};
use crate::tunnel::TunnelIo;
use crate::turned_away::Cause;

pub(super) type Stream = RequestStream<BidiStream<Bytes>, Bytes>;

/// Serves one request stream to its end. A tunnel holds `_open` until its session is over.
pub(super) async fn serve(
    link: Link,
    resolver: RequestResolver<Transport, Bytes>,
    _open: OpenRequest,
) {
    let left = link.departures.of(resolver.frame_stream.send_id());
    let Some((request, stream)) = header(&link, resolver).await else { return };
    link.peer.watch.asked();
    if route::is_connect(request.method()) {
        tunnel(&link, request, stream).await;
    } else {
        api::serve(&link, request, stream, left).await;
    }
}

async fn header(
    link: &Link,
    mut resolver: RequestResolver<Transport, Bytes>,
) -> Option<(Request<()>, Stream)> {
    let within = link.gate.limits.headers_deadline;
    let turned_away = |cause| link.gate.turned_away(link.peer.front, cause, Some(link.peer.addr));
    let frame = timeout(within, poll_fn(|cx| resolver.frame_stream.poll_next(cx))).await;
    let Ok(frame) = frame else {
        resolver.frame_stream.reset(Code::H3_REQUEST_CANCELLED.value());
        turned_away(Cause::HeadersTimeout);
        return None;
    };
    if frame.is_err() {
        resolver.frame_stream.reset(Code::H3_EXCESSIVE_LOAD.value());
    }
    let resolve = async { resolver.accept_with_frame(frame)?.resolve().await };
    match timeout(within, resolve).await {
        Ok(Ok(resolved)) => Some(resolved),
        Ok(Err(error)) => {
            tracing::debug!(%error, "an HTTP/3 request was malformed");
            if let Some(cause) = cause_of(&error) {
                turned_away(cause);
            }
            None
        }
        Err(_) => {
            turned_away(Cause::HeadersTimeout);
            None
        }
    }
}

/// As it is counted. The end of a whole connection is its own matter.
fn cause_of(error: &StreamError) -> Option<Cause> {
    match error {
        // The code with which the frame guard ends a stream.
        StreamError::RemoteTerminate { code, .. } if *code == Code::H3_EXCESSIVE_LOAD => {
            Some(Cause::HeadersTooLarge)
        }
        StreamError::HeaderTooBig { .. } => Some(Cause::HeadersTooLarge),
        StreamError::RemoteTerminate { .. } => Some(Cause::ResetBeforeRequest),
        StreamError::ConnectionError { .. } => None,
        _ => Some(Cause::ProtocolError),
    }
}

async fn tunnel(link: &Link, request: Request<()>, mut stream: Stream) {
    let (head, ()) = request.into_parts();
    let opened = match link.gate.open(&link.peer, &head).await {
        Ok(opened) => opened,
        Err(refused) => return respond(link, stream, *refused).await,
    };
    if link.peer.watch.authenticated() {
        quic::raise_limits(&link.conn, &link.gate.limits);
    }
    let answered =
        timeout(link.gate.limits.write_deadline, stream.send_response(Response::new(()))).await;
    let io: Box<dyn TunnelIo> = if matches!(answered, Ok(Ok(()))) {
        let (outgoing, incoming) = stream.split();
        Box::new(H3Tunnel::new(incoming, outgoing))
    } else {
        stream.stop_stream(Code::H3_REQUEST_CANCELLED);
        Box::new(Lost)
    };
    opened.run(io).await;
}

/// Answers in full and ends the stream; a client that does not take the answer in time is reset.
async fn respond(link: &Link, mut stream: Stream, response: Response<Bytes>) {
    let (head, body) = response.into_parts();
    let send = async {
        stream.send_response(Response::from_parts(head, ())).await?;
        stream.send_data(body).await?;
        stream.finish().await
    };
    let sent = timeout(link.gate.limits.write_deadline, send).await;
    if matches!(sent, Ok(Ok(()))) {
        // The body of a refused request is of no use to anybody.
        stream.stop_sending(Code::H3_NO_ERROR);
    } else {
        stream.stop_stream(Code::H3_REQUEST_CANCELLED);
    }
}
