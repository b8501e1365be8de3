//! quinn under h3: the `h3::quic` traits, with every incoming byte going through a [`FrameGuard`].
//!
//! Written on quinn itself and not around h3-quinn 0.0.10, whose `stop_sending` and `recv_id` panic while a read is
//! waiting, and which hides the streams that a drain must see acknowledged.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use parking_lot::Mutex;
use quinn::VarInt;
use tokio_util::task::TaskTracker;

use super::frames::FrameGuard;
use super::halves::Stopped;
pub(crate) use super::halves::{RecvHalf, SendHalf};

type Boxed<T> = Pin<Box<dyn Future<Output = Result<T, quinn::ConnectionError>> + Send + Sync>>;
type Bidi = (quinn::SendStream, quinn::RecvStream);

/// A QUIC connection for h3.
pub(crate) struct Transport {
    accept_bidi: Option<Boxed<Bidi>>,
    accept_uni: Option<Boxed<quinn::RecvStream>>,
    departures: Option<Departures>,
    opener: Opener,
}

/// Whether the clients of accepted streams still wait for an answer, for whoever serves them: h3 keeps the stream itself,
/// and looks at it only when it writes. A stream is here from when it is accepted to when its request is taken; one that h3
/// turns away, to the end of its connection.
#[derive(Clone, Default)]
pub(super) struct Departures(Arc<Mutex<HashMap<StreamId, Stopped>>>);

impl Departures {
    /// Waits until nobody reads the stream any more. Once for each stream.
    pub(super) fn of(&self, stream: StreamId) -> impl Future<Output = ()> + Send + use<> {
        let stopped = self.0.lock().remove(&stream);
        async move {
            match stopped {
                Some(stopped) => drop(stopped.await),
                None => std::future::pending().await,
            }
        }
    }
}

/// Opens streams of the connection.
pub(crate) struct Opener {
    conn: quinn::Connection,
    max_frame_bytes: u64,
    acks: TaskTracker,
    open_bidi: Option<Boxed<Bidi>>,
    open_uni: Option<Boxed<quinn::SendStream>>,
}

impl Transport {
    /// Frames other than DATA may have `max_frame_bytes` at most. `acks` has one task for every stream that was
    /// finished and whose last bytes are not acknowledged yet.
    pub(crate) fn new(conn: quinn::Connection, max_frame_bytes: u64, acks: TaskTracker) -> Self {
        let opener = Opener { conn, max_frame_bytes, acks, open_bidi: None, open_uni: None };
        Self { accept_bidi: None, accept_uni: None, departures: None, opener }
    }

    /// The same, and what becomes of the streams that it accepts is told to `departures`.
    pub(super) fn telling(self, departures: Departures) -> Self {
        Self { departures: Some(departures), ..self }
    }
}

impl<B: Buf> quic::Connection<B> for Transport {
    type RecvStream = RecvHalf;
    type OpenStreams = Opener;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::RecvStream, ConnectionErrorIncoming>> {
        let conn = &self.opener.conn;
        let stream = ready!(poll_slot(&mut self.accept_uni, cx, || {
            let conn = conn.clone();
            Box::pin(async move { conn.accept_uni().await })
        }));
        let guard = FrameGuard::unidirectional(self.opener.max_frame_bytes);
        Poll::Ready(
            stream
                .map(|stream| RecvHalf::new(stream, guard, Some(conn.clone())))
                .map_err(connection_error),
        )
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::BidiStream, ConnectionErrorIncoming>> {
        let conn = &self.opener.conn;
        let stream = ready!(poll_slot(&mut self.accept_bidi, cx, || {
            let conn = conn.clone();
            Box::pin(async move { conn.accept_bi().await })
        }));
        if let (Ok((send, _)), Some(departures)) = (&stream, &self.departures) {
            departures.0.lock().insert(stream_id(send.id()), Box::pin(send.stopped()));
        }
        Poll::Ready(stream.map(|halves| self.opener.pair(halves)).map_err(connection_error))
    }

    fn opener(&self) -> Self::OpenStreams {
        self.opener.clone()
    }
}

impl<B: Buf> quic::OpenStreams<B> for Transport {
    type BidiStream = BidiStream<B>;
    type SendStream = SendHalf<B>;

    fn poll_open_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::BidiStream, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::SendStream, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        close(&self.opener.conn, code, reason);
    }
}

impl Opener {
    fn pair<B: Buf>(&self, (send, recv): Bidi) -> BidiStream<B> {
        let guard = FrameGuard::request(self.max_frame_bytes);
        BidiStream { send: self.send_half(send), recv: RecvHalf::new(recv, guard, None) }
    }

    fn send_half<B: Buf>(&self, stream: quinn::SendStream) -> SendHalf<B> {
        SendHalf::new(stream, self.acks.clone())
    }
}

impl Clone for Opener {
    fn clone(&self) -> Self {
        Self {
            conn: self.conn.clone(),
            max_frame_bytes: self.max_frame_bytes,
            acks: self.acks.clone(),
            open_bidi: None,
            open_uni: None,
        }
    }
}

impl<B: Buf> quic::OpenStreams<B> for Opener {
    type BidiStream = BidiStream<B>;
    type SendStream = SendHalf<B>;

    fn poll_open_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::BidiStream, StreamErrorIncoming>> {
        let conn = &self.conn;
        let halves = ready!(poll_slot(&mut self.open_bidi, cx, || {
            let conn = conn.clone();
            Box::pin(async move { conn.open_bi().await })
        }));
        Poll::Ready(halves.map(|halves| self.pair(halves)).map_err(lost))
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::SendStream, StreamErrorIncoming>> {
        let conn = &self.conn;
        let stream = ready!(poll_slot(&mut self.open_uni, cx, || {
            let conn = conn.clone();
            Box::pin(async move { conn.open_uni().await })
        }));
        Poll::Ready(stream.map(|stream| self.send_half(stream)).map_err(lost))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        close(&self.conn, code, reason);
    }
}

/// A request stream.
pub(crate) struct BidiStream<B: Buf> {
    send: SendHalf<B>,
    recv: RecvHalf,
}

impl<B: Buf> quic::BidiStream<B> for BidiStream<B> {
    type SendStream = SendHalf<B>;
    type RecvStream = RecvHalf;

    fn split(self) -> (Self::SendStream, Self::RecvStream) {
        (self.send, self.recv)
    }
}

impl<B: Buf> quic::RecvStream for BidiStream<B> {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.recv.poll_data(cx)
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.recv.stop_sending(error_code);
    }

    fn recv_id(&self) -> StreamId {
        self.recv.recv_id()
    }
}

impl<B: Buf> quic::SendStream<B> for BidiStream<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(cx)
    }

    fn reset(&mut self, reset_code: u64) {
        self.send.reset(reset_code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

/// Polls the future of `slot`, made by `make` when there is none, and empties the slot when it is done.
fn poll_slot<T>(
    slot: &mut Option<Boxed<T>>,
    cx: &mut Context<'_>,
    make: impl FnOnce() -> Boxed<T>,
) -> Poll<Result<T, quinn::ConnectionError>> {
    let outcome = ready!(slot.get_or_insert_with(make).as_mut().poll(cx));
    *slot = None;
    Poll::Ready(outcome)
}

/// Closes a connection with an HTTP/3 error code.
pub(crate) fn close(conn: &quinn::Connection, code: Code, reason: &[u8]) {
    conn.close(varint(code.value()), reason);
}

pub(super) fn varint(value: u64) -> VarInt {
    VarInt::from_u64(value).unwrap_or(VarInt::MAX)
}

#[expect(
    clippy::expect_used,
    reason = "the one error is an id over 62 bits, which QUIC cannot carry"
)]
pub(super) fn stream_id(id: quinn::StreamId) -> StreamId {
    StreamId::try_from(u64::from(VarInt::from(id))).expect("a QUIC stream id has 62 bits")
}

pub(super) fn lost(error: quinn::ConnectionError) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error: connection_error(error) }
}

fn connection_error(error: quinn::ConnectionError) -> ConnectionErrorIncoming {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into_inner() }
        }
        quinn::ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        other => ConnectionErrorIncoming::Undefined(Arc::new(other)),
    }
}
