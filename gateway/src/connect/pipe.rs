//! Carries bytes both ways between a local connection and a tunnel; each direction ends by itself.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// One read of either side.
const BUFFER_BYTES: usize = 64 * 1024;
/// How long a local client may go on writing after the gateway ended its side.
const LINGER: Duration = Duration::from_secs(30);

/// Runs until both directions are over, or the way back to the client breaks.
pub(super) async fn run<L, T>(local: L, tunnel: T) -> io::Result<()>
where
    L: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (mut local_in, mut local_out) = tokio::io::split(local);
    let (mut tunnel_in, mut tunnel_out) = tokio::io::split(tunnel);
    let up = async {
        // A gateway that takes no more may still have its last words under way: only this direction is over.
        let carried = carry(&mut local_in, &mut tunnel_out).await;
        if let Err(error) = &carried {
            tracing::debug!(%error, "the way to the gateway ended");
        }
    };
    let down = carry(&mut tunnel_in, &mut local_out);
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    tokio::select! {
        carried = &mut down => {
            carried?;
            let _over = timeout(LINGER, up).await;
            Ok(())
        }
        () = &mut up => down.await,
    }
}

/// Copies until the end of `from`, then ends `to` in order.
async fn carry<R, W>(from: &mut R, to: &mut W) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        to.write_all(bytes).await?;
        to.flush().await?;
    }
    to.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_direction_ends_by_itself() {
        let (mut client, local) = tokio::io::duplex(64);
        let (tunnel, mut gateway) = tokio::io::duplex(64);
        let running = tokio::spawn(run(local, tunnel));
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut asked = String::new();
        gateway.read_to_string(&mut asked).await.unwrap();
        assert_eq!(asked, "question");
        gateway.write_all(b"answer").await.unwrap();
        gateway.shutdown().await.unwrap();
        let mut answered = String::new();
        client.read_to_string(&mut answered).await.unwrap();
        assert_eq!(answered, "answer");
        running.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn last_words_arrive_though_nothing_more_is_taken() {
        let (mut client, local) = tokio::io::duplex(64);
        let (mut last_words, to_client) = tokio::io::duplex(64);
        // The tunnel refuses every write at once, and has an answer to read.
        let tunnel = tokio::io::join(to_client, Closed);
        let running = tokio::spawn(run(local, tunnel));
        client.write_all(b"too late").await.unwrap();
        last_words.write_all(b"denied").await.unwrap();
        drop(last_words);
        let mut answered = String::new();
        client.read_to_string(&mut answered).await.unwrap();
        assert_eq!(answered, "denied");
        drop(client);
        running.await.unwrap().unwrap();
    }

    struct Closed;

    impl AsyncWrite for Closed {
        fn poll_write(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &[u8],
        ) -> std::task::Poll<io::Result<usize>> {
            std::task::Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn poll_shutdown(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<io::Result<()>> {
            std::task::Poll::Ready(Ok(()))
        }
    }
}
