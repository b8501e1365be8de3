//! Tunnels over HTTP/3: several on one connection, a new connection when it is lost or full.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use h3::client::{RequestStream, SendRequest};
use h3::error::{Code, StreamError};
use http::StatusCode;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{TransportConfig, VarInt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::call::{self, Call, Identified};
use super::config::ConnectConfig;
use super::error::ConnectError;
use super::request::{Ask, Body, Reply};
use super::{Tunnel, resolve};
use crate::front::h3_tunnel::H3Tunnel;
use crate::front::transport::{self, BidiStream, Opener, RecvHalf, SendHalf};
use crate::tls::{self, ALPN_H3, Written, in_words};

/// Under the gateway's bound for one connection, which is 256 by default.
const TUNNELS_PER_CONNECTION: usize = 200;
/// Responses are what is large: a gateway's stream may run this far ahead of its reader.
const STREAM_RECEIVE_WINDOW_BYTES: u32 = 4 << 20;
const RECEIVE_WINDOW_BYTES: u32 = 16 << 20;
const SEND_WINDOW_BYTES: u64 = 8 << 20;
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT_MS: u32 = 30_000;
/// HTTP/3 needs three; a peer may add one to keep extensions honest (RFC 9114 section 6.2.3).
const UNI_STREAMS: u32 = 8;
/// One frame of the gateway other than DATA.
const MAX_FRAME_BYTES: u64 = 64 * 1024;
const MAX_HEADER_BYTES: u64 = 64 * 1024;
/// The words of a refusal.
pub(super) const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// How long the last bytes may take to be acknowledged at the end.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Connections on which one tunnel is tried: each gateway may leave just then.
const MAX_TRIES: u32 = 3;

type Requests = SendRequest<Opener, Bytes>;
type Stream = RequestStream<BidiStream<Bytes>, Bytes>;

/// The shared connection.
pub(super) struct Pool {
    config: quinn::ClientConfig,
    server_name: String,
    current: Mutex<Option<Link>>,
}

#[derive(Clone)]
pub(super) struct Link {
    conn: quinn::Connection,
    requests: Requests,
    acks: TaskTracker,
    /// Every tunnel holds a clone: the count of them.
    tunnels: Arc<()>,
    /// The certificate that it shows, as it was written.
    shows: Option<Written>,
}

impl Pool {
    pub(super) fn new(config: &ConnectConfig) -> Result<Self, ConnectError> {
        let tls = tls::client_config(config.ca.as_deref(), config.certificate.as_ref(), ALPN_H3)?;
        let crypto = QuicClientConfig::try_from(tls).map_err(|_| ConnectError::NoCipherSuite)?;
        let mut client = quinn::ClientConfig::new(Arc::new(crypto));
        let mut transport = TransportConfig::default();
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
            .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS))
            .stream_receive_window(VarInt::from_u32(STREAM_RECEIVE_WINDOW_BYTES))
            .receive_window(VarInt::from_u32(RECEIVE_WINDOW_BYTES))
            .send_window(SEND_WINDOW_BYTES)
            .keep_alive_interval(Some(KEEP_ALIVE))
            .max_idle_timeout(Some(VarInt::from_u32(IDLE_TIMEOUT_MS).into()))
            .datagram_receive_buffer_size(None);
        client.transport_config(Arc::new(transport));
        Ok(Self { config: client, server_name: config.server_name(), current: Mutex::new(None) })
    }

    /// Opens a tunnel. [`ConnectError::Unreachable`] says that QUIC is not answered here.
    pub(super) async fn open(
        &self,
        config: &ConnectConfig,
        call: Call<'_>,
    ) -> Result<Tunnel, ConnectError> {
        let mut tries = 0;
        loop {
            let (link, kept) = self.link(config).await?;
            tries += 1;
            // No clone is kept: they are counted as tunnels.
            let id = link.conn.stable_id();
            match open_on(link, call).await {
                // A kept connection may have died unnoticed; a session that it opened is lost with it.
                Err(Failed::Broken(_)) if kept && tries < MAX_TRIES => self.leave(id).await,
                // The gateway leaves, and another has its address or will have.
                Err(Failed::NotTaken(_)) if tries < MAX_TRIES => self.leave(id).await,
                outcome => return outcome.map_err(Failed::into_error),
            }
        }
    }

    /// Asks the gateway itself. Only what it did not look at is asked again: else it may be done twice.
    pub(super) async fn ask(
        &self,
        config: &ConnectConfig,
        identified: Identified<'_>,
        (ask, authority): (&Ask, &str),
    ) -> Result<Reply, ConnectError> {
        let mut tries = 0;
        loop {
            let (link, _) = self.link(config).await?;
            tries += 1;
            let id = link.conn.stable_id();
            match ask_on(link, identified, (ask, authority)).await {
                Err(Failed::NotTaken(_)) if tries < MAX_TRIES => self.leave(id).await,
                Err(Failed::Broken(error)) => {
                    self.leave(id).await;
                    return Err(error);
                }
                outcome => return outcome.map_err(Failed::into_error),
            }
        }
    }

    /// Opens nothing more on this connection; what it carries goes on.
    async fn leave(&self, id: usize) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|link| link.conn.stable_id() == id) {
            *current = None;
        }
    }

    pub(super) async fn close(&self) {
        if let Some(link) = self.current.lock().await.take() {
            link.acks.close();
            let _acknowledged = timeout(CLOSE_WITHIN, link.acks.wait()).await;
            transport::close(&link.conn, Code::H3_NO_ERROR, b"");
        }
    }

    /// The shared connection and whether it was there already.
    async fn link(&self, config: &ConnectConfig) -> Result<(Link, bool), ConnectError> {
        // Held while connecting: others wait for this connection instead of making their own.
        let mut current = self.current.lock().await;
        if let Some(link) = current.as_ref() {
            let room = Arc::strong_count(&link.tunnels) <= TUNNELS_PER_CONNECTION;
            // A certificate was renewed: nothing new begins with the old one.
            let same = link.shows == config.shows();
            if room && same && link.conn.close_reason().is_none() {
                return Ok((link.clone(), true));
            }
        }
        *current = None;
        let unreachable = |reason: String| ConnectError::Unreachable {
            gateway: config.gateway.clone(),
            protocol: "QUIC",
            reason,
        };
        let connect = self.connect(config);
        let link = timeout(config.quic_deadline, connect)
            .await
            .unwrap_or_else(|_| Err(unreachable("no answer".to_owned())))?;
        *current = Some(link.clone());
        Ok((link, false))
    }

    async fn connect(&self, config: &ConnectConfig) -> Result<Link, ConnectError> {
        let mut reason = "its name has no address".to_owned();
        let shows = config.shows();
        for addr in resolve(&config.gateway).await? {
            match self.connect_to(addr).await {
                Ok(conn) => return set_up(conn, shows).await,
                Err(Attempt::NotTrusted(why)) => {
                    return Err(ConnectError::NotTrusted { reason: why });
                }
                Err(Attempt::Failed(why)) => reason = why,
            }
        }
        let gateway = config.gateway.clone();
        Err(ConnectError::Unreachable { gateway, protocol: "QUIC", reason })
    }

    async fn connect_to(&self, addr: SocketAddr) -> Result<quinn::Connection, Attempt> {
        let local: SocketAddr = match addr {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let failed = |error: &dyn std::fmt::Display| Attempt::Failed(error.to_string());
        let endpoint = quinn::Endpoint::client(local).map_err(|error| failed(&error))?;
        let connecting = endpoint
            .connect_with(self.config.clone(), addr, &self.server_name)
            .map_err(|error| failed(&error))?;
        connecting.await.map_err(|error| match error {
            quinn::ConnectionError::TransportError(inner)
                if is_certificate_alert(u64::from(inner.code)) =>
            {
                Attempt::NotTrusted(in_words(&inner.reason))
            }
            other => failed(&other),
        })
    }
}

enum Attempt {
    /// TCP would meet the same certificate: there is nothing to fall back to.
    NotTrusted(String),
    Failed(String),
}

/// CRYPTO_ERROR (RFC 9001 section 4.8) with an alert that our side raises over a certificate: bad_certificate to
/// unknown_ca, or decrypt_error for a signature that is not the CA's (RFC 8446 section 6.2).
const fn is_certificate_alert(code: u64) -> bool {
    matches!(code, 0x12a..=0x130 | 0x133)
}

async fn set_up(conn: quinn::Connection, shows: Option<Written>) -> Result<Link, ConnectError> {
    let acks = TaskTracker::new();
    let transport = transport::Transport::new(conn.clone(), MAX_FRAME_BYTES, acks.clone());
    let mut builder = h3::client::builder();
    builder.max_field_section_size(MAX_HEADER_BYTES).send_grease(false);
    let (mut driver, requests) = builder.build(transport).await.map_err(ConnectError::broken)?;
    // Ends with the connection, which ends with its last `SendRequest`.
    tokio::spawn(async move {
        let ended = driver.wait_idle().await;
        tracing::debug!(%ended, "the connection to the gateway ended");
    });
    Ok(Link { conn, requests, acks, tunnels: Arc::new(()), shows })
}

/// Why a connection opened no tunnel.
enum Failed {
    /// The gateway did not look at the request: it takes none any more on this connection (RFC 9114 section 5.2).
    NotTaken(ConnectError),
    /// The connection broke, or the stream; the gateway may have opened the session.
    Broken(ConnectError),
    Other(ConnectError),
}

impl Failed {
    fn of(error: StreamError) -> Self {
        let not_taken = matches!(
            error,
            StreamError::RemoteClosing { .. }
                | StreamError::RemoteTerminate { code: Code::H3_REQUEST_REJECTED, .. }
        );
        let error = ConnectError::broken(error);
        if not_taken { Self::NotTaken(error) } else { Self::Broken(error) }
    }

    fn into_error(self) -> ConnectError {
        match self {
            Self::NotTaken(error) | Self::Broken(error) | Self::Other(error) => error,
        }
    }
}

async fn open_on(mut link: Link, call: Call<'_>) -> Result<Tunnel, Failed> {
    let request = call.request().map_err(Failed::Other)?;
    let mut stream = link.requests.send_request(request).await.map_err(Failed::of)?;
    let response = stream.recv_response().await.map_err(Failed::of)?;
    if let Some(nonce) = call::nonce_of(&response) {
        return Err(Failed::Other(ConnectError::Nonce { nonce }));
    }
    if response.status() != StatusCode::OK {
        return Err(match refusal(response.status(), stream).await {
            // It came too late to be told otherwise.
            refused if refused.is_shutting_down() => Failed::NotTaken(refused),
            refused => Failed::Other(refused),
        });
    }
    let (outgoing, incoming) = stream.split();
    let io = H3Tunnel::new(incoming, outgoing);
    Ok(Tunnel::new(Held { io, _link: link }, super::Transport::Quic))
}

async fn ask_on(
    mut link: Link,
    identified: Identified<'_>,
    (ask, authority): (&Ask, &str),
) -> Result<Reply, Failed> {
    let request = ask.request(&identified, authority).map_err(Failed::Other)?;
    let mut stream = link.requests.send_request(request).await.map_err(Failed::of)?;
    let send = async {
        stream.send_data(ask.body.clone()).await?;
        stream.finish().await
    };
    match send.await {
        // It is answered before it was sent whole, and the answer is there (RFC 9114 section 4.1).
        Ok(()) | Err(StreamError::RemoteTerminate { code: Code::H3_NO_ERROR, .. }) => {}
        Err(error) => return Err(Failed::of(error)),
    }
    let response = stream.recv_response().await.map_err(Failed::of)?;
    if let Some(nonce) = call::nonce_of(&response) {
        return Err(Failed::Other(ConnectError::Nonce { nonce }));
    }
    let (head, ()) = response.into_parts();
    Ok(Reply::new(head, Body::H3(Box::new(stream), link)))
}

async fn refusal(status: StatusCode, mut stream: Stream) -> ConnectError {
    let mut body = BytesMut::new();
    while body.len() < MAX_REFUSAL_BYTES {
        match stream.recv_data().await {
            Ok(Some(data)) => body.put(data),
            Ok(None) | Err(_) => break,
        }
    }
    ConnectError::refused(status, &body.freeze())
}

type ClientIo = H3Tunnel<RequestStream<RecvHalf, Bytes>, RequestStream<SendHalf<Bytes>, Bytes>>;

/// A tunnel that keeps its connection: h3 closes it with the last handle, running streams or not.
struct Held {
    io: ClientIo,
    _link: Link,
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
