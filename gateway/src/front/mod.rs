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
mod tcp;
mod trace;
mod watch;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

use crate::tls::TlsError;
use crate::tunnel::TunnelService;

pub use config::{FrontConfig, Limits};
pub use gate::Authenticated;
pub(crate) use h3::{transport, tunnel as h3_tunnel};
pub(crate) use route::TargetName;

use gate::Gate;

/// How often a free pair of ports is looked for when both are configured as 0.
const PORT_ATTEMPTS: u32 = 32;
/// How long a session may take to put its end on record once its tunnel was cut.
const CUT_GRACE: Duration = Duration::from_secs(10);
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
    /// Binds both fronts and serves them. When both ports are 0, one number that is free for UDP and TCP is chosen.
    ///
    /// # Errors
    /// [`FrontError`] when an address or the TLS identity cannot be used.
    ///
    /// # Cancel safety
    /// A dropped call leaves nothing running: tasks start after the last wait.
    pub async fn start(
        config: FrontConfig,
        service: Arc<dyn TunnelService>,
        api: axum::Router,
    ) -> Result<RunningFront, FrontError> {
        let tls = tcp::acceptor(&config.identity)?;
        let quic_config = quic::server_config(&config.identity, &config.limits)?;
        let (listener, socket) = bind(config.quic, config.tcp).await?;
        let local = |protocol, addr| move |source| FrontError::Listen { protocol, addr, source };
        let quic_addr = socket.local_addr().map_err(local("UDP", config.quic))?;
        let tcp_addr = listener.local_addr().map_err(local("TCP", config.tcp))?;
        let endpoint = socket
            .into_std()
            .and_then(|socket| {
                quinn::Endpoint::new(
                    quic::endpoint_config(&config.identity, config.node.as_deref()),
                    Some(quic_config),
                    socket,
                    Arc::new(quinn::TokioRuntime),
                )
            })
            .map_err(local("UDP", quic_addr))?;
        let gate = Arc::new(Gate::new(config.limits, service, api, quic_addr.port()));
        let acceptors = vec![
            tokio::spawn(quic::accept(gate.clone(), endpoint.clone())),
            tokio::spawn(tcp::accept(gate.clone(), listener, tls)),
        ];
        tracing::info!(%quic_addr, %tcp_addr, "fronts are up");
        Ok(RunningFront { quic_addr, tcp_addr, gate, endpoint, acceptors })
    }
}

impl RunningFront {
    /// Ends the fronts in order: no new connection, no new request, open tunnels may end by themselves until the
    /// deadline, what is left is cut, and every session gets its time to put its end on record.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call leaves connections that nobody ends before the process does.
    pub async fn shutdown(self, deadline: Duration) -> Drained {
        self.endpoint.set_server_config(None);
        self.gate.stop.cancel();
        for acceptor in self.acceptors {
            // It ends by the token; a panic in it has been reported by the runtime.
            let _ended = acceptor.await;
        }
        self.gate.tasks.close();
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
        tracing::info!(cut_tunnels, complete, "fronts are down");
        Drained { cut_tunnels, complete }
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

/// The address as limits count it: IPv4 in one form, IPv6 by its /64, which is what one host can choose from.
pub(crate) fn counted(ip: IpAddr) -> IpAddr {
    const HOST_BITS: u32 = 64;
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> HOST_BITS << HOST_BITS).into()),
        v4 => v4,
    }
}
