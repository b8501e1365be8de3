//! The transport to a target: TCP or Unix socket, plain or TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use gateway_core::pg::write;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::resolve::Resolver;
use super::{DialError, TargetTls};
use crate::config::{Address, Target};

/// Whatever carries the protocol.
#[derive(Debug)]
pub enum TargetStream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over either.
    Tls(Box<TlsStream<RawStream>>),
}

/// What TLS runs over.
#[derive(Debug)]
pub enum RawStream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

/// Connects, to `at` where that is known already; with TLS where the target is to have it.
pub(super) async fn connect(
    target: &Target,
    tls: Option<&TargetTls>,
    resolver: &Resolver,
    at: Option<SocketAddr>,
) -> Result<TargetStream, DialError> {
    let mut raw = match &target.address {
        Address::Tcp { host, port } => {
            let addresses = match at {
                Some(known) => vec![known],
                None => resolver.resolve(host, *port).await?,
            };
            let stream = TcpStream::connect(addresses.as_slice()).await?;
            // Units are written whole: waiting for more would only add delay.
            stream.set_nodelay(true)?;
            RawStream::Tcp(stream)
        }
        Address::Unix(path) => RawStream::Unix(UnixStream::connect(path).await?),
    };
    let Some(tls) = tls else {
        return Ok(match raw {
            RawStream::Tcp(stream) => TargetStream::Tcp(stream),
            RawStream::Unix(stream) => TargetStream::Unix(stream),
        });
    };
    raw.write_all(&write::ssl_request()).await?;
    // Exactly one byte: anything that follows in clear would be taken for the TLS handshake, and fail it.
    let mut answer = [0_u8; 1];
    raw.read_exact(&mut answer).await?;
    if answer != *b"S" {
        return Err(DialError::NoTls);
    }
    let stream = tls.connect(raw).await?;
    Ok(TargetStream::Tls(Box::new(stream)))
}

impl TargetStream {
    /// `tls-server-end-point` of the target's certificate (RFC 5929), where there is TLS and its hash is known.
    pub(super) fn channel_binding(&self) -> Option<Vec<u8>> {
        let Self::Tls(stream) = self else { return None };
        let certificate = stream.get_ref().1.peer_certificates()?.first()?;
        super::tls::server_end_point(certificate)
    }

    /// Where it leads, when that is not a Unix socket.
    pub(super) fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Tls(stream) => match stream.get_ref().0 {
                RawStream::Tcp(stream) => stream.peer_addr().ok(),
                RawStream::Unix(_) => None,
            },
            Self::Unix(_) => None,
        }
    }

    /// Whether it is encrypted.
    pub(super) const fn is_encrypted(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Tcp($stream) => $call,
            Self::Unix($stream) => $call,
            Self::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for TargetStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for TargetStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

macro_rules! delegate_raw {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Self::Tcp($stream) => $call,
            Self::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for RawStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate_raw!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for RawStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate_raw!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate_raw!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate_raw!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
