//! An agent's connection that does not wait for it for ever: whoever takes nothing of what waits for it is given up.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Fails to write once nothing was taken for `patience`.
pub(super) struct Patient<T> {
    io: T,
    patience: Duration,
    /// Since something waits, and what it is.
    waits: Option<(What, Pin<Box<Sleep>>)>,
    stalled: Arc<AtomicBool>,
}

/// What an agent does not take.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Bytes,
    /// Their end.
    End,
}

impl<T> Patient<T> {
    /// `stalled` is set when it gives up.
    pub(super) const fn new(io: T, patience: Duration, stalled: Arc<AtomicBool>) -> Self {
        Self { io, patience, waits: None, stalled }
    }

    fn within<R>(
        &mut self,
        cx: &mut Context<'_>,
        what: What,
        done: Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if done.is_ready() {
            // That nothing is left to flush says nothing of bytes that were not taken.
            if what == What::Bytes || self.waits.as_ref().is_some_and(|it| it.0 == what) {
                self.waits = None;
            }
            return done;
        }
        let patience = self.patience;
        let (_, waits) = self.waits.get_or_insert_with(|| (what, Box::pin(sleep(patience))));
        ready!(waits.as_mut().poll(cx));
        self.stalled.store(true, Ordering::Release);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Patient<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Patient<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.within(cx, What::Bytes, done)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.io).poll_flush(cx);
        self.within(cx, What::End, done)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.io).poll_shutdown(cx);
        self.within(cx, What::End, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        self.within(cx, What::Bytes, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    #[tokio::test]
    async fn whoever_takes_nothing_is_given_up_and_whoever_is_slow_is_not() {
        let (near, mut far) = tokio::io::duplex(10);
        let stalled = Arc::new(AtomicBool::new(false));
        let mut near = Patient::new(near, PATIENCE, Arc::clone(&stalled));
        let began = Instant::now();
        let slow = tokio::spawn(async move {
            for _ in 0..6 {
                tokio::time::sleep(PATIENCE / 4).await;
                far.read_exact(&mut [0; 10]).await.unwrap();
            }
            far
        });
        near.write_all(&[7; 70]).await.unwrap();
        let _far = slow.await.unwrap();
        assert!(began.elapsed() > PATIENCE && !stalled.load(Ordering::Acquire));
        let began = Instant::now();
        // Whoever flushes in between, as some do, waits no longer for it.
        let mut flushed = tokio::time::interval(PATIENCE / 5);
        let error = std::future::poll_fn(|cx| {
            while flushed.poll_tick(cx).is_ready() {}
            let done = Pin::new(&mut near).poll_write(cx, &[7]);
            assert!(Pin::new(&mut near).poll_flush(cx).is_ready());
            done
        });
        let error = error.await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= PATIENCE && stalled.load(Ordering::Acquire));
    }
}
