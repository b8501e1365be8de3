//! The fronts: where agents come in. HTTP/3 over QUIC, and the same routes over TCP/TLS with HTTP/2 and HTTP/1.1.
//!
//! `CONNECT <target-name>` opens a tunnel through the [`TunnelService`]; every other request goes to the axum router.
//! The fronts know HTTP and its limits; they never read a token's content, a target's protocol or a policy.

mod admission;
mod config;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod gate;
mod h3;
mod quic;
mod route;
mod strangers;
mod takeover;
mod tcp;
mod trace;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::tls::TlsError;
use crate::tunnel::TunnelService;

pub use config::{FrontConfig, Limits};
pub use gate::Authenticated;
pub(crate) use gate::NotAuthenticated;
pub(crate) use h3::{transport, tunnel as h3_tunnel};
pub(crate) use route::{
    Challenge, DPOP, DPOP_NONCE, TargetName, Twice, USE_NONCE, answer, presented, quotable,
    refusal as refusal_answer,
};
pub(crate) use strangers::{ConnectionsRoom, StrangersRoom, Taken};
pub use takeover::{TakeoverError, WhyRefused};
pub(crate) use trace::call_span;

use gate::Gate;
use takeover::Givable;

/// How often a free pair of ports is looked for when both are configured as 0.
const PORT_ATTEMPTS: u32 = 32;
/// How long a session may take to put its end on record once its tunnel was cut.
const CUT_GRACE: Duration = Duration::from_secs(10);
/// How long a client may take to learn that its connection takes no more requests: those under way are served.
const LAST_REQUESTS: Duration = Duration::from_secs(1);
/// How long a client that began with this process may take to be connected once another has the port: two of its packets
/// may be lost (RFC 9002 section 6.2.2).
const LAST_CLIENTS: Duration = Duration::from_secs(3);
/// How long the last close frames may take to leave.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// The two fronts of one gateway.
#[derive(Debug)]
pub struct Front;

/// Fronts that are up. Dropping this does not end them in order: call [`RunningFront::shutdown`].
#[derive(Debug)]
pub struct RunningFront {
    /// Where HTTP/3 is answered.
    pub quic_addr: SocketAddr,
    /// Where HTTP/2 and HTTP/1.1 are answered.
    pub tcp_addr: SocketAddr,
    gate: Arc<Gate>,
    endpoint: quinn::Endpoint,
    acceptors: Vec<JoinHandle<()>>,
    accepts_quic: CancellationToken,
    accepts_tcp: CancellationToken,
    /// Where another process may take the port over.
    givable: Option<Givable>,
}

/// The port, with an endpoint that reads it.
struct Listening {
    listener: TcpListener,
    endpoint: quinn::Endpoint,
    /// Cancelled once TCP connections are for another process.
    accepts: CancellationToken,
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Tunnels that were still open when the deadline came, and were cut.
    pub cut_tunnels: usize,
    /// Whether every session came to its end; `false` means that some did not record theirs in time.
    pub complete: bool,
}

/// The fronts could not start.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// An address cannot be used.
    #[error(
        "cannot listen on {protocol} {addr}: {source}; choose another address or stop what holds it"
    )]
    Listen {
        /// UDP or TCP.
        protocol: &'static str,
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has the port and does not give it, or nobody could be given it later.
    #[error(transparent)]
    Takeover(#[from] TakeoverError),
    /// Certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A limit is outside of what QUIC can carry.
    #[error("the limit {name} is outside of what QUIC can carry; use a value below 2^62")]
    Limit {
        /// The setting.
        name: &'static str,
    },
    /// The cryptography lacks what QUIC needs.
    #[error("QUIC needs the AES-128-GCM-SHA256 cipher suite, which this build does not offer")]
    NoCipherSuite,
}

impl Front {
    /// Binds both fronts and serves them, or takes them over from the process that does
    /// ([`FrontConfig::takeover_socket`]). When both ports are 0, one number that is free for UDP and TCP is chosen.
    ///
    /// # Errors
    /// [`FrontError`] when an address or the TLS identity cannot be used.
    ///
    /// # Cancel safety
    /// A dropped call leaves nothing running: tasks start after the last wait. Dropped while a port is taken over, it may
    /// leave that to neither process: end this one then, so that the other goes on with what it has.
    pub async fn start(
        config: FrontConfig,
        service: Arc<dyn TunnelService>,
        api: axum::Router,
    ) -> Result<RunningFront, FrontError> {
        let tls = tcp::acceptor(&config.identity)?;
        let quic_config = quic::server_config(&config.identity, &config.limits)?;
        let (listening, givable) = match &config.takeover_socket {
            None => (listen(&config, quic_config).await?, None),
            Some(path) => {
                let (listening, givable) = takeover::listen(path, &config, quic_config).await?;
                (listening, Some(givable))
            }
        };
        let Listening { listener, endpoint, accepts: accepts_tcp } = listening;
        let quic_addr =
            endpoint.local_addr().map_err(|error| FrontError::listen("UDP", config.quic, error))?;
        let tcp_addr =
            listener.local_addr().map_err(|error| FrontError::listen("TCP", config.tcp, error))?;
        let gate = Arc::new(Gate::new(config.limits, service, api, quic_addr.port()));
        let accepts_quic = CancellationToken::new();
        let acceptors = vec![
            tokio::spawn(quic::accept(gate.clone(), endpoint.clone(), accepts_quic.clone())),
            tokio::spawn(tcp::accept(gate.clone(), listener, tls, accepts_tcp.clone())),
        ];
        tracing::info!(%quic_addr, %tcp_addr, "fronts are up");
        Ok(RunningFront {
            quic_addr,
            tcp_addr,
            gate,
            endpoint,
            acceptors,
            accepts_quic,
            accepts_tcp,
            givable,
        })
    }
}

impl FrontError {
    const fn listen(protocol: &'static str, addr: SocketAddr, source: std::io::Error) -> Self {
        Self::Listen { protocol, addr, source }
    }
}

impl RunningFront {
    /// Lets nobody new in, and tells clients to open what is next on another connection (GOAWAY, RFC 9114 section 5.2);
    /// what they asked before they knew is still served. Returns when that is over, within 2 s, or 3 s once another process
    /// has the port, and never later than `within`; called again, at once.
    ///
    /// # Cancel safety
    /// Cancel safe: call it again to go on.
    pub async fn retire(&mut self, within: Duration) {
        let until = Instant::now() + within.min(2 * LAST_REQUESTS);
        let taken = match &mut self.givable {
            Some(givable) => givable.keep().await,
            None => false,
        };
        self.gate.stop.cancel();
        self.accepts_tcp.cancel();
        if taken && !self.accepts_quic.is_cancelled() {
            // Whoever was asked by this process to prove its address comes back to it, and no other could take it.
            tokio::time::sleep(within.min(LAST_CLIENTS)).await;
        }
        self.endpoint.set_server_config(None);
        self.accepts_quic.cancel();
        for acceptor in &mut self.acceptors {
            if !acceptor.is_finished() {
                // It ends by the token; a panic in it has been reported by the runtime.
                let _ended = acceptor.await;
            }
        }
        self.gate.tasks.close();
        let _all_ended = timeout_at(until, self.gate.tasks.wait()).await;
    }

    /// Ends the fronts in order: no new connection, no new request, open tunnels may end by themselves until the
    /// deadline, what is left is cut, and every session gets its time to put its end on record.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call leaves connections that nobody ends before the process does.
    pub async fn shutdown(mut self, deadline: Duration) -> Drained {
        self.retire(Duration::ZERO).await;
        let mut cut_tunnels = 0;
        let mut complete = tokio::time::timeout(deadline, self.gate.tasks.wait()).await.is_ok();
        if !complete {
            cut_tunnels = self.gate.open_tunnels();
            self.gate.cut.cancel();
            complete = tokio::time::timeout(CUT_GRACE, self.gate.tasks.wait()).await.is_ok();
        }
        self.endpoint.close(quinn::VarInt::from_u32(0x100), b"the gateway is shutting down");
        // Peers that do not answer are left to their idle timeout.
        let _gone = tokio::time::timeout(CLOSE_GRACE, self.endpoint.wait_idle()).await;
        if let Some(givable) = &self.givable {
            givable.stop();
        }
        tracing::info!(cut_tunnels, complete, "fronts are down");
        Drained { cut_tunnels, complete }
    }

    /// Until another process has taken the port over: its node's name. What is open here goes on; end it with
    /// [`Self::retire`] and [`Self::shutdown`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub fn taken_over(&self) -> impl Future<Output = String> + Send + use<> {
        let heir = self.givable.as_ref().map(Givable::heir);
        async move {
            let Some(mut heir) = heir else { return std::future::pending().await };
            loop {
                if let Some(node) = heir.borrow_and_update().clone() {
                    return node;
                }
                if heir.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        }
    }

    /// Connections that are up, of both fronts.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.gate.admission.total()
    }

    /// Tunnels that are open or being opened.
    #[must_use]
    pub fn open_tunnels(&self) -> usize {
        self.gate.open_tunnels()
    }
}

async fn listen(
    config: &FrontConfig,
    server: quinn::ServerConfig,
) -> Result<Listening, FrontError> {
    let (listener, socket) = bind(config.quic, config.tcp).await?;
    let endpoint = socket.into_std().and_then(|socket| {
        let settings = quic::endpoint_config(&config.identity, config.node.as_deref());
        quinn::Endpoint::new(settings, Some(server), socket, Arc::new(quinn::TokioRuntime))
    });
    let endpoint = endpoint.map_err(|error| FrontError::listen("UDP", config.quic, error))?;
    Ok(Listening { listener, endpoint, accepts: CancellationToken::new() })
}

async fn bind(quic: SocketAddr, tcp: SocketAddr) -> Result<(TcpListener, UdpSocket), FrontError> {
    let one_port_for_both = quic.port() == 0 && tcp.port() == 0;
    let mut attempts = PORT_ATTEMPTS;
    loop {
        let listener = TcpListener::bind(tcp).await.map_err(|source| FrontError::Listen {
            protocol: "TCP",
            addr: tcp,
            source,
        })?;
        let mut udp = quic;
        if one_port_for_both {
            let bound = listener.local_addr().map_err(|source| FrontError::Listen {
                protocol: "TCP",
                addr: tcp,
                source,
            })?;
            udp.set_port(bound.port());
        }
        match UdpSocket::bind(udp).await {
            Ok(socket) => return Ok((listener, socket)),
            // The port that is free for TCP is taken for UDP: another one is drawn.
            Err(_) if one_port_for_both && attempts > 1 => attempts -= 1,
            Err(source) => return Err(FrontError::Listen { protocol: "UDP", addr: udp, source }),
        }
    }
}
