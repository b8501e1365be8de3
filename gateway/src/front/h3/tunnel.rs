//! A CONNECT stream as bytes: what DATA frames carry, read and written like any other connection.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes};
use h3::error::{Code, StreamError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::ReusableBoxFuture;

use super::transport::{RecvHalf, SendHalf};

/// The most that one DATA frame carries, and so the most that is under way inside a tunnel's writer.
const MAX_DATA_FRAME_BYTES: usize = 64 * 1024;

/// The receiving half of a request stream, on either side.
pub(crate) trait DataIn: Send + Unpin + 'static {
    /// The next bytes of the body; `None` at its end.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>>;
    /// Tells the peer that nothing more will be read.
    fn stop(&mut self, code: Code);
}

/// The sending half of a request stream, on either side.
pub(crate) trait DataOut: Send + Unpin + 'static {
    /// Sends one DATA frame.
    fn send(&mut self, data: Bytes) -> impl Future<Output = Result<(), StreamError>> + Send;
    /// Ends the body in order.
    fn finish(&mut self) -> impl Future<Output = Result<(), StreamError>> + Send;
    /// Ends the stream out of order.
    fn reset(&mut self, code: Code);
}

macro_rules! halves {
    ($stream:ident of $side:ident) => {
        impl DataIn for h3::$side::$stream<RecvHalf, Bytes> {
            fn poll_data(
                &mut self,
                cx: &mut Context<'_>,
            ) -> Poll<Result<Option<Bytes>, StreamError>> {
                let data = ready!(self.poll_recv_data(cx))?;
                Poll::Ready(Ok(data.map(|mut data| data.copy_to_bytes(data.remaining()))))
            }

            fn stop(&mut self, code: Code) {
                self.stop_sending(code);
            }
        }

        impl DataOut for h3::$side::$stream<SendHalf<Bytes>, Bytes> {
            async fn send(&mut self, data: Bytes) -> Result<(), StreamError> {
                self.send_data(data).await
            }

            async fn finish(&mut self) -> Result<(), StreamError> {
                Self::finish(self).await
            }

            fn reset(&mut self, code: Code) {
                self.stop_stream(code);
            }
        }
    };
}
halves!(RequestStream of server);
halves!(RequestStream of client);

/// Both directions of a CONNECT stream.
pub(crate) struct H3Tunnel<I: DataIn, O: DataOut> {
    reader: Reader<I>,
    writer: Writer<O>,
}

impl<I: DataIn, O: DataOut> H3Tunnel<I, O> {
    pub(crate) fn new(incoming: I, outgoing: O) -> Self {
        Self {
            reader: Reader { stream: incoming, chunk: Bytes::new(), ended: false },
            writer: Writer { state: WriterState::Idle(outgoing), reusable: None, finished: false },
        }
    }
}

impl<I: DataIn, O: DataOut> AsyncRead for H3Tunnel<I, O> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().reader.poll_read(cx, buf)
    }
}

impl<I: DataIn, O: DataOut> AsyncWrite for H3Tunnel<I, O> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().writer.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().writer.poll_idle(cx).map_ok(|_stream| ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().writer.poll_shutdown(cx)
    }
}

struct Reader<I: DataIn> {
    stream: I,
    chunk: Bytes,
    ended: bool,
}

impl<I: DataIn> Reader<I> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.chunk.is_empty() && !self.ended {
            match ready!(self.stream.poll_data(cx)) {
                Ok(Some(chunk)) => self.chunk = chunk,
                Ok(None) => self.ended = true,
                Err(error) => return Poll::Ready(Err(broken(error))),
            }
        }
        let take = self.chunk.len().min(buf.remaining());
        buf.put_slice(&self.chunk.split_to(take));
        Poll::Ready(Ok(()))
    }
}

impl<I: DataIn> Drop for Reader<I> {
    fn drop(&mut self) {
        if !self.ended {
            self.stream.stop(Code::H3_REQUEST_CANCELLED);
        }
    }
}

type Sent<O> = (O, Result<(), StreamError>);

struct Writer<O: DataOut> {
    state: WriterState<O>,
    /// Kept between writes, so that a write does not allocate a future.
    reusable: Option<ReusableBoxFuture<'static, Sent<O>>>,
    finished: bool,
}

enum WriterState<O> {
    Idle(O),
    /// The stream is inside the future.
    Sending,
    Broken,
}

impl<O: DataOut> Writer<O> {
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut O>> {
        if matches!(self.state, WriterState::Sending) {
            let Some(future) = self.reusable.as_mut() else { return Poll::Ready(Err(closed())) };
            let (stream, outcome) = ready!(future.poll(cx));
            self.state = WriterState::Idle(stream);
            if let Err(error) = outcome {
                self.give_up();
                return Poll::Ready(Err(broken(error)));
            }
        }
        match &mut self.state {
            WriterState::Idle(stream) => Poll::Ready(Ok(stream)),
            WriterState::Sending | WriterState::Broken => Poll::Ready(Err(closed())),
        }
    }

    /// Takes up to one frame; its bytes may still be under way when this returns.
    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_idle(cx))?;
        if self.finished {
            return Poll::Ready(Err(closed()));
        }
        let data = Bytes::copy_from_slice(buf.get(..MAX_DATA_FRAME_BYTES).unwrap_or(buf));
        let taken = data.len();
        if taken > 0 {
            self.start(|mut stream| async move {
                let outcome = stream.send(data).await;
                (stream, outcome)
            });
            if let Poll::Ready(Err(error)) = self.poll_idle(cx) {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_idle(cx))?;
        if !self.finished {
            self.finished = true;
            self.start(|mut stream| async move {
                let outcome = stream.finish().await;
                (stream, outcome)
            });
            ready!(self.poll_idle(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn start<F: Future<Output = Sent<O>> + Send + 'static>(&mut self, work: impl FnOnce(O) -> F) {
        let WriterState::Idle(stream) = std::mem::replace(&mut self.state, WriterState::Sending)
        else {
            return;
        };
        let future = work(stream);
        match &mut self.reusable {
            Some(reusable) => reusable.set(future),
            None => self.reusable = Some(ReusableBoxFuture::new(future)),
        }
    }

    fn give_up(&mut self) {
        if let WriterState::Idle(mut stream) =
            std::mem::replace(&mut self.state, WriterState::Broken)
        {
            stream.reset(Code::H3_REQUEST_CANCELLED);
        }
    }
}

impl<O: DataOut> Drop for Writer<O> {
    /// A stream that was not shut down is reset: its peer must not take a part for the whole.
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // A frame that is all written waits in the future to be collected; a part of one resets in its own drop.
        let _outcome = self.poll_idle(&mut Context::from_waker(Waker::noop()));
        self.give_up();
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the tunnel is closed for writing")
}

fn broken(error: StreamError) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, error)
}
