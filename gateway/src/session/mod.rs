//! One tunnel: from the first packet to the event of its end.
//!
//! `door` reads the start-up packets and dials; `live` runs the two directions, `outbound` the one to the agent; `hold`
//! waits for approvals; `finish` puts the end on record.

mod agent_writer;
mod bench;
mod door;
mod finish;
mod hold;
mod lifetime;
mod live;
mod outbound;
mod read_buffer;
mod registry;
mod tap;
mod trace;

pub(crate) use bench::BenchMaker;
pub(crate) use lifetime::Lifetime;
pub use registry::SessionInfo;
pub(crate) use registry::{LiveSession, Registry};
pub(crate) use tap::{Outcome, Tap, Waiting};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::passage::Scribe;
use gateway_core::pg::session::{Ending, TimeLimit};
use gateway_core::revocation::Whom;
use jiff::Timestamp;
use tallyport_access::policy::{AskContext, GrantDemand};
use tallyport_access::{AuthFailure, Authenticator, Identity};
use tallyport_schemas::{ApprovalId, SessionEnd, SessionId};

use tokio::time::Instant;

use crate::meters::OpenSession;
use crate::service::{Inner, Postgres, Slot, TargetEntry};
use crate::tunnel::{BearerToken, TunnelIo};
use agent_writer::AgentWriter;

/// How long a session goes on while its issuer does not say whether its token still counts.
const UNKNOWN_AT_MOST: Duration = Duration::from_secs(30);

/// A tunnel that policy let in, before its first byte.
pub(crate) struct Tunnel {
    pub inner: Arc<Inner>,
    pub entry: Arc<TargetEntry>,
    pub identity: Arc<Identity>,
    /// Ends with the token, or with the grant where that is sooner.
    pub lifetime: Lifetime,
    pub time_limit: TimeLimit,
    /// What let it in where policy demands a grant.
    pub grant: Option<SessionGrant>,
    pub peer: SocketAddr,
    pub session_id: SessionId,
    pub scribe: Scribe,
    pub token_watch: Option<TokenWatch>,
    /// Counted from the moment that its target is ready.
    pub open: Option<OpenSession>,
    /// Told of what happens, where the gateway itself runs the session.
    pub tap: Option<Arc<Tap>>,
    /// Only what is proven to read may run.
    pub reads_only: bool,
    /// Held for the life of the tunnel: sessions are bounded.
    pub _slot: Slot,
}

/// Asks the issuer again and again whether the token of a session, or of a task, still counts.
#[derive(Debug)]
pub(crate) struct TokenWatch {
    authenticator: Authenticator,
    issuer: String,
    token: BearerToken,
    every: Duration,
}

impl TokenWatch {
    /// None where the issuer is not asked: the token is not kept then.
    pub(crate) fn new(
        authenticator: &Authenticator,
        issuer: &str,
        token: Option<BearerToken>,
    ) -> Option<Self> {
        let every = authenticator.asks_again_after(issuer)?;
        let (authenticator, issuer) = (authenticator.clone(), issuer.to_owned());
        token.map(|token| Self { authenticator, issuer, token, every })
    }

    /// Whether the token counts now, as far as the issuer says.
    ///
    /// # Errors
    /// Why not, or why that is not known.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn still_counts(&self) -> Result<(), AuthFailure> {
        self.authenticator.still_counts(&self.issuer, self.token.expose()).await
    }

    /// Waits until the token does not count any more, or is not known to for too long.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn ended(&self) -> Ending {
        let (by, reason) = (self.issuer.clone(), self.lapsed().await.to_string());
        Ending::Revoked { by, reason, revocation_id: None }
    }

    /// The same; why.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn lapsed(&self) -> AuthFailure {
        let mut known_at = Instant::now();
        loop {
            tokio::time::sleep(self.every).await;
            match self.authenticator.still_counts(&self.issuer, self.token.expose()).await {
                Ok(()) => known_at = Instant::now(),
                Err(failure) if failure.is_transient() && known_at.elapsed() < UNKNOWN_AT_MOST => {}
                Err(failure) => return failure,
            }
        }
    }
}

/// The grant that a session was let in by.
#[derive(Clone, Debug)]
pub(crate) struct SessionGrant {
    pub grant_id: ApprovalId,
    /// What it was given under.
    pub given: Arc<GrantDemand>,
}

impl Tunnel {
    /// Whom a revocation may mean.
    pub(crate) fn whom(&self) -> Whom<'_> {
        Whom {
            principal: &self.identity.principal,
            delegation: &self.identity.delegation,
            agent: &self.identity.agent,
            session_id: Some(self.session_id),
            grant_id: self.grant.as_ref().map(|grant| grant.grant_id),
        }
    }

    pub(crate) fn ask_context(&self) -> AskContext {
        let given = self.grant.as_ref().map(|grant| Arc::clone(&grant.given));
        ask_context(self.session_id, self.peer, given)
    }

    /// Waits for the end of the token's or the grant's time, or for somebody's order.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn ended_outside(&self, registered: &LiveSession) -> Ending {
        let lapsed = async {
            match &self.token_watch {
                Some(watch) => watch.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ending = lapsed => ending,
            () = self.lifetime.over(Timestamp::now) => Ending::Expired(self.time_limit),
            ending = registered.asked_to_end() => {
                ending.unwrap_or(Ending::Closed(SessionEnd::Shutdown))
            }
        }
    }
}

/// Serves `tunnel` on `io` until its end is on record.
pub(crate) async fn run(tunnel: Tunnel, target: Arc<Postgres>, io: Box<dyn TunnelIo>) {
    let (mut reader, writer) = tokio::io::split(io);
    let mut agent = AgentWriter::new(writer, tunnel.inner.limits.stalled_reader_timeout);
    if let Some(live) = door::enter(tunnel, target, &mut reader, &mut agent).await {
        live.serve(reader, &mut agent).await;
    }
    agent.close().await;
}

/// The facts of the moment that policy is asked with.
pub(crate) fn ask_context(
    session_id: SessionId,
    peer: SocketAddr,
    grant: Option<Arc<GrantDemand>>,
) -> AskContext {
    AskContext {
        grant,
        source_ip: Some(peer.ip()),
        session_id: Some(session_id),
        ..AskContext::at(Timestamp::now())
    }
}
