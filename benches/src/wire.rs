//! A client of PostgreSQL that keeps nothing of what it reads, so that it costs little beside what is measured
//! (protocol version 3, <https://www.postgresql.org/docs/current/protocol-message-formats.html>).

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};

use crate::Failure;

const PROTOCOL: i32 = 0x0003_0000;
const READ: usize = 256 * 1024;

/// A session that is ready for statements.
#[derive(Debug)]
pub struct Client<S> {
    stream: BufReader<S>,
}

/// What one answer was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer {
    /// Rows, or pieces of COPY data.
    pub rows: u64,
    /// Bytes of all messages.
    pub bytes: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Client<S> {
    /// Logs in without a password.
    ///
    /// # Errors
    /// When the peer refuses.
    pub async fn login(stream: S) -> Result<Self, Failure> {
        let mut startup = PROTOCOL.to_be_bytes().to_vec();
        startup.extend_from_slice(b"user\0postgres\0database\0postgres\0\0");
        let mut client = Self { stream: BufReader::with_capacity(READ, stream) };
        client.send(None, &startup).await?;
        client.until_ready().await?;
        Ok(client)
    }

    /// The stream; what was read of it and not looked at is lost.
    pub fn into_inner(self) -> S {
        self.stream.into_inner()
    }

    /// A statement by the simple protocol, its answer read to the end.
    ///
    /// # Errors
    /// When it fails.
    pub async fn query(&mut self, sql: &str) -> Result<Answer, Failure> {
        self.send(Some(b'Q'), format!("{sql}\0").as_bytes()).await?;
        self.until_ready().await
    }

    /// `COPY ... FROM STDIN` with `pieces` in turn, `bytes` in all.
    ///
    /// # Errors
    /// When it fails.
    pub async fn copy_in(
        &mut self,
        sql: &str,
        pieces: &[String],
        bytes: usize,
    ) -> Result<(), Failure> {
        self.send(Some(b'Q'), format!("{sql}\0").as_bytes()).await?;
        let mut sent = 0;
        for piece in pieces.iter().cycle().filter(|piece| !piece.is_empty()) {
            self.send(Some(b'd'), piece.as_bytes()).await?;
            sent += piece.len();
            if sent >= bytes {
                break;
            }
        }
        self.send(Some(b'c'), b"").await?;
        self.until_ready().await.map(drop)
    }

    /// Ends the session in order.
    ///
    /// # Errors
    /// When the peer is gone.
    pub async fn close(mut self) -> Result<(), Failure> {
        self.send(Some(b'X'), b"").await?;
        Ok(self.stream.get_mut().shutdown().await?)
    }

    async fn send(&mut self, kind: Option<u8>, body: &[u8]) -> Result<(), Failure> {
        let mut message = Vec::with_capacity(body.len() + 5);
        message.extend(kind);
        message.extend_from_slice(&u32::try_from(body.len() + 4)?.to_be_bytes());
        message.extend_from_slice(body);
        let stream = self.stream.get_mut();
        stream.write_all(&message).await?;
        Ok(stream.flush().await?)
    }

    async fn until_ready(&mut self) -> Result<Answer, Failure> {
        let mut answer = Answer::default();
        loop {
            let kind = self.stream.read_u8().await?;
            let length = self.stream.read_u32().await?;
            let body = u64::from(length.saturating_sub(4));
            answer.bytes += u64::from(length) + 1;
            match kind {
                b'E' => {
                    let mut text = Vec::new();
                    (&mut self.stream).take(body).read_to_end(&mut text).await?;
                    return Err(String::from_utf8_lossy(&text).replace('\0', " ").into());
                }
                b'D' | b'd' => answer.rows += 1,
                _ => {}
            }
            let mut rest = (&mut self.stream).take(body);
            tokio::io::copy_buf(&mut rest, &mut tokio::io::sink()).await?;
            if kind == b'Z' {
                return Ok(answer);
            }
        }
    }
}
