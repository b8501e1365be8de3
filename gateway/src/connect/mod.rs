//! The client side of a tunnel: what `tallyport connect` runs and what tests reach the gateway with.
//!
//! A [`Connector`] opens tunnels over one shared QUIC connection, reconnects when it is lost, and falls back to HTTP/2
//! over TCP where QUIC is not answered. [`Connector::forward`] gives an ordinary client a local port.

mod call;
mod config;
mod error;
mod forward;
mod http_refusal;
pub mod mcp;
mod pg_refusal;
mod pipe;
mod quic;
mod request;
mod tcp;
mod token;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout};

use crate::front::TargetName;
use crate::tunnel::TunnelIo;

use call::{Call, Identified, bracketed};
pub use config::ConnectConfig;
pub use error::ConnectError;
pub use request::{Ask, Reply};
pub use token::{Credentials, NoToken, StaticToken, TokenError, TokenFile, TokenProvider};

/// How long TCP is used before QUIC is tried again.
const FALLBACK_LASTS: Duration = Duration::from_secs(300);

/// Opens tunnels through one gateway.
pub struct Connector {
    config: ConnectConfig,
    quic: quic::Pool,
    tcp: tcp::Pool,
    /// The gateway's last one, for proofs.
    nonce: Mutex<Option<String>>,
    /// Until when QUIC is not tried.
    fallback_until: Mutex<Option<Instant>>,
    fallback_told: AtomicBool,
}

/// What carries a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// HTTP/3 over QUIC.
    Quic,
    /// HTTP/2 over TCP.
    Tcp,
}

/// An open tunnel: the target's own protocol, both ways. `shutdown` ends the writing side alone.
pub struct Tunnel {
    io: Box<dyn TunnelIo>,
    transport: Transport,
}

impl Tunnel {
    fn new(io: impl TunnelIo + 'static, transport: Transport) -> Self {
        Self { io: Box::new(io), transport }
    }

    /// What carries it.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        self.transport
    }
}

impl Connector {
    /// Reads the CA; connects at the first tunnel.
    ///
    /// # Errors
    /// [`ConnectError`] when the CA or the server name cannot be used.
    pub fn new(config: ConnectConfig) -> Result<Self, ConnectError> {
        config.check_address()?;
        Ok(Self {
            quic: quic::Pool::new(&config)?,
            tcp: tcp::Pool::new(&config)?,
            config,
            nonce: Mutex::new(None),
            fallback_until: Mutex::new(None),
            fallback_told: AtomicBool::new(false),
        })
    }

    /// Opens a tunnel to `target`: over QUIC, or over TCP when QUIC does not answer within
    /// [`ConnectConfig::quic_deadline`].
    ///
    /// # Errors
    /// [`ConnectError::Refused`] with the gateway's words when it refuses; else why it could not be asked.
    ///
    /// # Cancel safety
    /// A dropped call opens no tunnel; the gateway may have recorded an attempt.
    pub async fn open(&self, target: &str) -> Result<Tunnel, ConnectError> {
        if TargetName::parse(target).is_none() {
            return Err(ConnectError::BadTarget { target: target.to_owned() });
        }
        let credentials = self.config.token.token().await?;
        let open = async {
            match self.try_open(target, &credentials).await {
                // Once more with what was learnt.
                Err(ConnectError::Nonce { nonce }) => {
                    *self.nonce.lock() = Some(nonce);
                    self.try_open(target, &credentials).await
                }
                outcome => outcome,
            }
        };
        let within = self.config.open_deadline;
        timeout(within, open).await.unwrap_or(Err(ConnectError::Slow { within }))
    }

    /// Asks the gateway itself. The answer is whatever it says; its body is read from the result.
    ///
    /// # Errors
    /// [`ConnectError`]: it could not be asked, or the connection broke, and then it may have done what it was asked.
    ///
    /// # Cancel safety
    /// A dropped call is seen by the gateway, which ends what it does for it.
    pub async fn post(&self, ask: &Ask) -> Result<Reply, ConnectError> {
        let credentials = self.config.token.token().await?;
        match self.try_post(ask, &credentials).await {
            // Once more with what was learnt.
            Err(ConnectError::Nonce { nonce }) => {
                *self.nonce.lock() = Some(nonce);
                self.try_post(ask, &credentials).await
            }
            outcome => outcome,
        }
    }

    async fn try_post(&self, ask: &Ask, credentials: &Credentials) -> Result<Reply, ConnectError> {
        let nonce = self.nonce.lock().clone();
        let identified = Identified { credentials, nonce: nonce.as_deref() };
        let port = self.config.gateway.rsplit_once(':').map_or("443", |(_, port)| port);
        let authority = format!("{}:{port}", bracketed(&self.config.server_name()));
        let asked = (ask, authority.as_str());
        if self.uses_tcp() {
            return self.tcp.ask(&self.config, identified, asked).await;
        }
        match self.quic.ask(&self.config, identified, asked).await {
            Err(ConnectError::Unreachable { .. }) => {
                let reply = self.tcp.ask(&self.config, identified, asked).await;
                if !matches!(reply, Err(ConnectError::Unreachable { .. })) {
                    self.fall_back();
                }
                reply
            }
            outcome => outcome,
        }
    }

    async fn try_open(
        &self,
        target: &str,
        credentials: &Credentials,
    ) -> Result<Tunnel, ConnectError> {
        let (nonce, host) = (self.nonce.lock().clone(), self.config.server_name());
        let identified = Identified { credentials, nonce: nonce.as_deref() };
        let call = Call { target, identified, host: &host };
        if self.uses_tcp() {
            return self.tcp.open(&self.config, call).await;
        }
        match self.quic.open(&self.config, call).await {
            Err(ConnectError::Unreachable { .. }) => {
                let tunnel = self.tcp.open(&self.config, call).await;
                if !matches!(tunnel, Err(ConnectError::Unreachable { .. })) {
                    self.fall_back();
                }
                tunnel
            }
            outcome => outcome,
        }
    }

    /// Closes the shared connections in order, once the last bytes are acknowledged or after a bound.
    ///
    /// # Cancel safety
    /// A dropped call leaves the connections to be closed when this is dropped.
    pub async fn close(&self) {
        self.quic.close().await;
    }

    /// Whether tunnels are carried by TCP now.
    #[must_use]
    pub fn uses_tcp(&self) -> bool {
        self.config.tcp_only
            || self.fallback_until.lock().is_some_and(|until| Instant::now() < until)
    }

    fn fall_back(&self) {
        *self.fallback_until.lock() = Some(Instant::now() + FALLBACK_LASTS);
        if !self.fallback_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                gateway = %self.config.gateway,
                "QUIC is not answered (is UDP blocked?): using HTTP/2 over TCP instead"
            );
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("config", &self.config).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("transport", &self.transport).finish_non_exhaustive()
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

/// The addresses of the gateway.
async fn resolve(gateway: &str) -> Result<Vec<SocketAddr>, ConnectError> {
    let found = tokio::net::lookup_host(gateway).await;
    let addrs: Vec<_> = found
        .map_err(|source| ConnectError::Name { gateway: gateway.to_owned(), source })?
        .collect();
    Ok(addrs)
}
