//! The router behind HTTP/3.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h3::error::{Code, StreamError};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tokio::time::timeout;

use super::connection::Link;
use super::request::Stream;
use super::tunnel::{DataIn, DataOut};
use crate::front::{quic, route};

/// Gives one request to the router and its response to the client. Once the client has `left`, nothing of it goes on: as on
/// TCP, what served it is dropped.
pub(super) async fn serve(
    link: &Link,
    request: Request<()>,
    stream: Stream,
    left: impl Future<Output = ()> + Send,
) {
    let (mut outgoing, incoming) = stream.split();
    let request = request.map(|()| H3Body { stream: incoming, ended: false });
    let mut left = pin!(left);
    let response = tokio::select! {
        biased;
        () = &mut left => return outgoing.reset(Code::H3_REQUEST_CANCELLED),
        (response, first) = link.gate.call(&link.peer, request) => {
            if first {
                quic::raise_limits(&link.conn, &link.gate.limits);
            }
            response
        }
    };
    let (mut head, mut body) = response.into_parts();
    route::strip_connection_fields(&mut head.headers);
    let within = link.gate.limits.write_deadline;
    let head = outgoing.send_response(Response::from_parts(head, ()));
    let mut sent = timeout(within, head).await;
    while let Ok(Ok(())) = sent {
        let frame = tokio::select! {
            biased;
            () = &mut left => return outgoing.reset(Code::H3_REQUEST_CANCELLED),
            frame = body.frame() => frame,
        };
        let data = match frame {
            Some(Ok(frame)) => frame.into_data(),
            Some(Err(error)) => {
                tracing::debug!(%error, "an API response broke off");
                return outgoing.reset(Code::H3_INTERNAL_ERROR);
            }
            None => break,
        };
        // Trailers are not part of the API.
        let Ok(data) = data else { continue };
        if !data.is_empty() {
            sent = timeout(within, outgoing.send(data)).await;
        }
    }
    let ended = match sent {
        Ok(Ok(())) => DataOut::finish(&mut outgoing).await.is_ok(),
        Ok(Err(_)) | Err(_) => false,
    };
    if !ended {
        outgoing.reset(Code::H3_REQUEST_CANCELLED);
    }
}

/// The body of a request.
struct H3Body<I: DataIn> {
    stream: I,
    ended: bool,
}

impl<I: DataIn> hyper::body::Body for H3Body<I> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match ready!(self.stream.poll_data(cx)) {
            Ok(Some(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Ok(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Err(error) => Poll::Ready(Some(Err(broken(error)))),
        }
    }
}

impl<I: DataIn> Drop for H3Body<I> {
    /// An answer may be complete before its request is (RFC 9114 section 4.1).
    fn drop(&mut self) {
        if !self.ended {
            self.stream.stop(Code::H3_NO_ERROR);
        }
    }
}

fn broken(error: StreamError) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}
