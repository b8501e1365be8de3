//! A new process takes the port over from the one that has it, and no connection is refused meanwhile.
//!
//! The new process asks at a Unix socket and is given the port's two sockets. From the moment that it takes them it reads
//! the port; QUIC packets of the old process's connections, which it knows by their connection ids, go back to that
//! process until its last session ends or its drain is over. TCP needs no such thing: connections stay with the process
//! that accepted them. ADR: docs/adr/2026-11-26-a-new-process-takes-the-port-over.md.

mod giver;
mod ids;
mod message;
mod place;
mod relay;
mod socket;
mod taker;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quinn::{Endpoint, TokioRuntime};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use self::giver::Giver;
use self::ids::{Mark, ResetKeys};
use self::message::{Named, Refusal, TalkError};
use self::place::Prepared;
use self::socket::{Earlier, FrontSocket};
use self::taker::Deal;
use super::config::FrontConfig;
use super::{FrontError, Listening, bind};

/// Of the conversation between two processes.
const VERSION: u32 = 1;
/// Processes that drain at once, each with its packets passed on by the one that reads the port.
const MAX_EARLIER: usize = 4;
/// A whole conversation, from its first line to its last.
const DEAL_WITHIN: Duration = Duration::from_secs(10);

/// The port cannot be taken over, or not be given later.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// There is something else.
    #[error(
        "the takeover socket {} is there and is no socket; choose another path", path.display()
    )]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error(
        "the takeover socket {} cannot be made: {source}; its directory must exist and be this user's", path.display()
    )]
    Listen {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The socket cannot be used.
    #[error(
        "nobody can be asked for the port at {}: {source}; run both processes as one user", path.display()
    )]
    Ask {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another user listens there.
    #[error(
        "another user answers at {}; run both processes as one user, in a directory of its own", path.display()
    )]
    ForeignUser {
        /// The path.
        path: PathBuf,
    },
    /// The process that has the port does not give it.
    #[error("the process at {} does not give its port: {why}", path.display())]
    Refused {
        /// The path.
        path: PathBuf,
        /// Why.
        why: WhyRefused,
    },
    /// It waited too long for this process.
    #[error("the process at {} goes on with its port: this one was too slow; start it again", path.display())]
    Withdrawn {
        /// The path.
        path: PathBuf,
    },
    /// The port is another one.
    #[error(
        "the process that runs listens on {theirs}, this one is to listen on {ours}; a takeover keeps the address: give \
         both the same"
    )]
    Address {
        /// Where it listens.
        theirs: SocketAddr,
        /// Where this process was told to.
        ours: SocketAddr,
    },
    /// The conversation broke off.
    #[error("no takeover from the process at {}: {reason}; it goes on as before", path.display())]
    Talk {
        /// The path.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },
    /// The address is somebody's, and nobody was there to be asked for it.
    #[error(
        "{listening}; nobody answers at the takeover socket {}: is it the path that the process which has the port was given?", path.display()
    )]
    Nobody {
        /// The path.
        path: PathBuf,
        /// What became of listening.
        listening: Box<FrontError>,
    },
    /// Nobody could tell the two apart.
    #[error("a takeover needs processes with a name; give this one a `node`")]
    Nameless,
}

/// Why a process does not give its port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WhyRefused {
    /// Both have one name.
    #[error(
        "it, or one that drains beside it, is the node `{node}` as well, and two processes at once would be one producer of \
         events; start the new one with another `node`"
    )]
    SameNode {
        /// The name.
        node: String,
    },
    /// Too many drain at once.
    #[error("{draining} processes before it still drain; wait until one has ended")]
    TooMany {
        /// How many.
        draining: usize,
    },
    /// It is of a release that has another way to do it.
    #[error(
        "it speaks version {spoken} of the takeover, this one {VERSION}; stop it, then start this one"
    )]
    Version {
        /// What it speaks.
        spoken: u32,
    },
    /// It could not.
    #[error("{reason}")]
    Failed {
        /// In its words.
        reason: String,
    },
}

impl From<Refusal> for WhyRefused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::SameNode { node } => Self::SameNode { node },
            Refusal::TooMany { draining } => Self::TooMany { draining },
            Refusal::Version { spoken } => Self::Version { spoken },
            Refusal::Failed { reason } => Self::Failed { reason },
        }
    }
}

impl TakeoverError {
    fn talk(path: &Path, error: &TalkError) -> Self {
        Self::Talk { path: path.to_owned(), reason: error.to_string() }
    }

    /// Whether the configuration has to be changed, so that starting again does not help.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::NoSocket { .. }
                | Self::Address { .. }
                | Self::Nameless
                | Self::Refused { why: WhyRefused::SameNode { .. }, .. }
        )
    }
}

/// A port that another process may take over.
#[derive(Debug)]
pub(super) struct Givable {
    heir: watch::Receiver<Option<String>>,
    stop: CancellationToken,
    /// None once it was waited for.
    giving: Option<JoinHandle<()>>,
    /// Aborted when this is dropped: they only look.
    _watching: JoinSet<()>,
}

impl Givable {
    /// Who has the port, once another process has it.
    pub(super) fn heir(&self) -> watch::Receiver<Option<String>> {
        self.heir.clone()
    }

    /// Gives the port to nobody from now on, unless another process has it. A deal under way comes to its end first.
    /// Whether another has the port.
    pub(super) async fn keep(&mut self) -> bool {
        if self.heir.borrow().is_none() {
            self.stop.cancel();
            if let Some(giving) = self.giving.take() {
                // A panic in it has been reported by the runtime.
                let _ended = giving.await;
            }
        }
        self.heir.borrow().is_some()
    }

    /// The process is about to end.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}

/// Listens where `config` says: on the sockets of the process that runs there, or on its own where none does.
pub(super) async fn listen(
    path: &Path,
    config: &FrontConfig,
    server: quinn::ServerConfig,
) -> Result<(Listening, Givable), FrontError> {
    let node = config.node.as_deref().ok_or(TakeoverError::Nameless)?;
    let mark = Mark::new();
    let claim = Claim::make(path, mark.named(node), config).await?;
    let earlier: Vec<_> = claim.earlier.into_iter().map(Arc::new).collect();
    let others = earlier.iter().map(|one| (one.node.as_str(), &one.mark));
    let others = others.chain(claim.lost.iter().map(|(node, mark)| (node.as_str(), mark)));
    let keys = ResetKeys {
        own: config.identity.reset_key(node),
        others: others
            .map(|(node, mark)| (mark.clone(), config.identity.reset_key(node)))
            .collect(),
    };
    let local = |error| FrontError::listen("UDP", config.quic, error);
    let kept = claim.udp.try_clone().map_err(local)?;
    let socket = Arc::new(FrontSocket::new(claim.udp, earlier.clone()).map_err(local)?);
    let endpoint = Endpoint::new_with_abstract_socket(
        ids::endpoint_config(&mark, keys),
        Some(server),
        socket.clone(),
        Arc::new(TokioRuntime),
    )
    .map_err(local)?;
    let tcp = |error| FrontError::listen("TCP", config.tcp, error);
    let kept_tcp = claim.tcp.try_clone().map_err(tcp)?;
    let listener = tokio::net::TcpListener::from_std(claim.tcp).map_err(tcp)?;
    let prepared = Prepared::new(path)?;
    let place = match claim.deal {
        // The last step that may fail: until it succeeds the other process serves as if nothing was.
        Some(deal) => {
            deal.close().await.map_err(|error| prepared.remove(error))?;
            tracing::info!(path = %path.display(), "the port was taken over");
            // Tried again, if need be: the port is this process's already.
            prepared.put().inspect_err(|error| tracing::error!(%error)).ok()
        }
        None => Some(prepared.put()?),
    };
    socket.read_port();
    let mut watching = JoinSet::new();
    for one in earlier {
        watching.spawn(forget_once_gone(socket.clone(), one));
    }
    let (heir, heirs) = watch::channel(None);
    let (stop, accepts) = (CancellationToken::new(), CancellationToken::new());
    let giver = Giver {
        path: path.to_owned(),
        node: node.to_owned(),
        mark,
        udp: kept,
        tcp: kept_tcp,
        socket,
        accepts: accepts.clone(),
        heir,
        lost: Mutex::default(),
    };
    let giving = Some(tokio::spawn(giver.serve(place, stop.clone())));
    let givable = Givable { heir: heirs, stop, giving, _watching: watching };
    Ok((Listening { listener, endpoint, accepts }, givable))
}

/// The port, not yet read.
struct Claim {
    udp: UdpSocket,
    tcp: TcpListener,
    earlier: Vec<Earlier>,
    lost: Vec<(String, Mark)>,
    /// None where the port was nobody's.
    deal: Option<Deal>,
}

impl Claim {
    async fn make(path: &Path, this: Named, config: &FrontConfig) -> Result<Self, FrontError> {
        if let Some(offered) = taker::ask(path, this).await? {
            let local = |error| FrontError::listen("UDP", config.quic, error);
            same_address(offered.udp.local_addr().map_err(local)?, config.quic)?;
            let local = |error| FrontError::listen("TCP", config.tcp, error);
            same_address(offered.tcp.local_addr().map_err(local)?, config.tcp)?;
            let (udp, tcp) = (offered.udp, offered.tcp);
            let (earlier, lost) = (offered.earlier, offered.lost);
            return Ok(Self { udp, tcp, earlier, lost, deal: Some(offered.deal) });
        }
        let nobody =
            |error| TakeoverError::Nobody { path: path.to_owned(), listening: Box::new(error) };
        let (tcp, udp) = bind(config.quic, config.tcp).await.map_err(nobody)?;
        let tcp = tcp.into_std().map_err(|error| FrontError::listen("TCP", config.tcp, error))?;
        let udp = udp.into_std().map_err(|error| FrontError::listen("UDP", config.quic, error))?;
        Ok(Self { udp, tcp, earlier: Vec::new(), lost: Vec::new(), deal: None })
    }
}

/// A port of 0 is any.
fn same_address(theirs: SocketAddr, ours: SocketAddr) -> Result<(), TakeoverError> {
    if theirs.ip() == ours.ip() && (ours.port() == 0 || theirs.port() == ours.port()) {
        return Ok(());
    }
    Err(TakeoverError::Address { theirs, ours })
}

async fn forget_once_gone(socket: Arc<FrontSocket>, earlier: Arc<Earlier>) {
    earlier.way.ended().await;
    tracing::info!(node = earlier.node, "a process that drained has ended");
    socket.forget(&earlier);
}

/// Whether the process at the other end is this user's. Nobody else is talked to, root included: a listening socket would
/// be given, or taken.
fn is_own_user(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own)
}
