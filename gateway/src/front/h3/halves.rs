//! The two halves of a stream under h3.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::VarInt;
use tokio_util::task::TaskTracker;

use super::frames::FrameGuard;
use super::transport::{close, lost, stream_id, varint};

/// The least and the most that one read asks for: the window grows with a stream that fills it.
const MIN_READ_BYTES: usize = 4 * 1024;
const MAX_READ_BYTES: usize = 64 * 1024;

/// The receiving half of a stream.
pub(crate) struct RecvHalf {
    stream: quinn::RecvStream,
    guard: FrameGuard,
    /// Read and not yet handed on.
    input: Bytes,
    /// Empty while nothing arrives, so that an idle stream holds no buffer.
    buffer: BytesMut,
    read_bytes: usize,
    ended: bool,
    /// Set on unidirectional streams, where a breach is the connection's end (RFC 9114 section 6.2.1).
    connection: Option<quinn::Connection>,
}

impl RecvHalf {
    pub(super) fn new(
        stream: quinn::RecvStream,
        guard: FrameGuard,
        connection: Option<quinn::Connection>,
    ) -> Self {
        Self {
            stream,
            guard,
            input: Bytes::new(),
            buffer: BytesMut::new(),
            read_bytes: MIN_READ_BYTES,
            ended: false,
            connection,
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.buffer.reserve(self.read_bytes);
        let read = tokio_util::io::poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.buffer);
        match read {
            Poll::Pending => {
                self.buffer = BytesMut::new();
                Poll::Pending
            }
            Poll::Ready(Ok(0)) => {
                self.ended = true;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(count)) => {
                if count >= self.read_bytes {
                    self.read_bytes = self.read_bytes.saturating_mul(2).min(MAX_READ_BYTES);
                }
                self.input = self.buffer.split().freeze();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(read_error(error))),
        }
    }

    fn breach(&mut self, reason: &str) -> StreamErrorIncoming {
        let code = Code::H3_EXCESSIVE_LOAD;
        tracing::debug!(reason, "an HTTP/3 peer went over the frame limit");
        if let Some(conn) = &self.connection {
            close(conn, code, reason.as_bytes());
        }
        quic::RecvStream::stop_sending(self, code.value());
        StreamErrorIncoming::StreamTerminated { error_code: code.value() }
    }
}

impl quic::RecvStream for RecvHalf {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        loop {
            match self.guard.next(&mut self.input) {
                Ok(Some(piece)) => return Poll::Ready(Ok(Some(piece))),
                Ok(None) if self.ended => return Poll::Ready(Ok(self.guard.finish())),
                Ok(None) => ready!(self.poll_fill(cx))?,
                Err(refused) => return Poll::Ready(Err(self.breach(&refused.to_string()))),
            }
        }
    }

    fn stop_sending(&mut self, error_code: u64) {
        // An error says that the stream is over already.
        let _over = self.stream.stop(varint(error_code));
    }

    fn recv_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

pub(super) type Stopped =
    Pin<Box<dyn Future<Output = Result<Option<VarInt>, quinn::StoppedError>> + Send + Sync>>;

/// The sending half of a stream.
pub(crate) struct SendHalf<B: Buf> {
    stream: quinn::SendStream,
    writing: Option<WriteBuf<B>>,
    /// Made when a write has to wait for the first time.
    stopped: Option<Stopped>,
    acks: TaskTracker,
}

impl<B: Buf> SendHalf<B> {
    pub(super) const fn new(stream: quinn::SendStream, acks: TaskTracker) -> Self {
        Self { stream, writing: None, stopped: None, acks }
    }

    /// Whether the peer reads no more. quinn does not wake a writer for that while stream and connection are both
    /// without credit, and such a writer would wait as long as the connection lives.
    fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<StreamErrorIncoming> {
        let stopped = self.stopped.get_or_insert_with(|| Box::pin(self.stream.stopped()));
        match ready!(stopped.as_mut().poll(cx)) {
            Ok(Some(code)) => {
                Poll::Ready(StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() })
            }
            Ok(None) | Err(quinn::StoppedError::ZeroRttRejected) => {
                Poll::Ready(write_error(quinn::WriteError::ClosedStream))
            }
            Err(quinn::StoppedError::ConnectionLost(gone)) => Poll::Ready(lost(gone)),
        }
    }
}

impl<B: Buf> quic::SendStream<B> for SendHalf<B> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        while let Some(data) = self.writing.as_mut().filter(|data| data.has_remaining()) {
            match Pin::new(&mut self.stream).poll_write(cx, data.chunk()) {
                Poll::Ready(written) => data.advance(written.map_err(write_error)?),
                Poll::Pending => return self.poll_stopped(cx).map(Err),
            }
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<B>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.writing.is_some() {
            let reason = "a frame was sent before the one ahead of it was written".to_owned();
            let connection_error = ConnectionErrorIncoming::InternalError(reason);
            return Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error });
        }
        self.writing = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        let finished = self.stream.finish();
        if finished.is_ok() {
            let stopped = self.stream.stopped();
            self.acks.spawn(async move {
                // Acknowledged, stopped or lost: nothing more will happen to these bytes.
                let _end = stopped.await;
            });
        }
        Poll::Ready(finished.map_err(|error| StreamErrorIncoming::Unknown(Box::new(error))))
    }

    fn reset(&mut self, reset_code: u64) {
        // An error says that the stream is over already.
        let _over = self.stream.reset(varint(reset_code));
    }

    fn send_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

impl<B: Buf> Drop for SendHalf<B> {
    /// quinn ends a dropped stream as if it were complete; in the middle of a frame it is not.
    fn drop(&mut self) {
        if self.writing.as_ref().is_some_and(Buf::has_remaining) {
            let _over = self.stream.reset(varint(Code::H3_REQUEST_CANCELLED.value()));
        }
    }
}

fn read_error(error: std::io::Error) -> StreamErrorIncoming {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<quinn::ReadError>()) {
        Some(quinn::ReadError::Reset(code)) => {
            StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
        }
        Some(quinn::ReadError::ConnectionLost(gone)) => lost(gone.clone()),
        _ => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}

fn write_error(error: quinn::WriteError) -> StreamErrorIncoming {
    match error {
        quinn::WriteError::Stopped(code) => {
            StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
        }
        quinn::WriteError::ConnectionLost(gone) => lost(gone),
        other => StreamErrorIncoming::Unknown(Box::new(other)),
    }
}
