//! The gateway as the fronts see it: checks the token, decides, puts both on record, opens the tunnel.

mod caller;
mod check;
mod entry;
mod exchange;
mod grant;
mod inner;
mod inside;
mod open;
mod slots;
mod unrecorded;
mod vouched;

pub(crate) use caller::Caller;
pub(crate) use check::Came;
pub(crate) use entry::{Postgres, TargetEntry, Way};
pub(crate) use exchange::NotExchanged;
pub(crate) use inner::Inner;
pub use inner::StartError;
pub(crate) use inside::Inside;
pub(crate) use open::log_unavailable;
pub(crate) use slots::Slot;
pub(crate) use unrecorded::NotRecorded;
pub(crate) use vouched::Vouched;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::pg::session::Ending;
use tallyport_access::policy::PolicyStore;
use tallyport_access::{AuthFailure, Authenticator};
use tallyport_eventlog::Appender;
use tallyport_schemas::{Front, SessionEnd, SessionId, TraceId};

use crate::config::GatewayConfig;
use crate::requests::{self, NotReached};
use crate::session::{self, SessionInfo, Tunnel};
use crate::targets::{CatalogLoadError, MaskingStore};
use crate::tunnel::{ConnectRequest, OpenTunnel, Refusal, TunnelIo, TunnelService};
use crate::turned_away::TurnedAway;
use crate::upstream::Reach;

/// How long sessions that are ended may take until that is on record, and tasks until they end: a log that takes nothing must not
/// hold up the end for ever.
const FORCED_ENDS: Duration = Duration::from_secs(20);

/// A target does not answer as a session needs it.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// There is none of that name.
    #[error("no target is named `{0}`")]
    Unknown(String),
    /// It cannot be reached, does not let the gateway in, or does not tell its catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogLoadError),
    /// It does not answer.
    #[error(transparent)]
    Http(#[from] NotReached),
}

/// A target as the gateway found it when it was last tried.
#[derive(Clone, Debug)]
pub struct TargetState {
    /// Its name.
    pub name: String,
    /// What the last try showed; absent before the first.
    pub reach: Option<Reach>,
}

/// The gateway. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("sessions", &self.sessions().len()).finish()
    }
}

impl Gateway {
    /// Starts to serve `config`. Follows `policy` and `masking` from now on and records their changes: both stores must
    /// not be watched by anybody else.
    ///
    /// # Errors
    /// When a target's certificates cannot be used, or two targets have one name.
    ///
    /// # Cancel safety
    /// It does not wait. Must be called within a tokio runtime.
    pub fn start(
        config: GatewayConfig,
        authenticator: Authenticator,
        policy: PolicyStore,
        masking: MaskingStore,
        appender: Appender,
    ) -> Result<Self, StartError> {
        let inner = Arc::new(Inner::start(config, authenticator, policy, masking, appender)?);
        if let Some(mcp) = &inner.mcp {
            mcp.keep_upstreams(&inner);
        }
        Ok(Self { inner })
    }

    pub(crate) fn inner(&self) -> Arc<Inner> {
        Arc::clone(&self.inner)
    }

    /// The sessions that are live now.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.inner.registry.list().iter().map(|live| live.info.clone()).collect()
    }

    /// Ends a session: it stops mid-statement, and `by` and `reason` are on record. False when it is not live.
    #[must_use]
    pub fn end_session(&self, session_id: SessionId, by: &str, reason: &str) -> bool {
        let live = self.inner.registry.list();
        let Some(live) = live.iter().find(|live| live.info.session_id == session_id) else {
            return false;
        };
        live.end(Ending::Revoked {
            by: by.to_owned(),
            reason: reason.to_owned(),
            revocation_id: None,
        });
        true
    }

    /// Whether it is known whose access was ended: nobody is let in while it is not.
    #[must_use]
    pub fn knows_who_is_out(&self) -> bool {
        self.inner.control.is_current()
    }

    /// Puts on record that nobody was signed in on the pages for people; a flood of it is counted.
    ///
    /// # Cancel safety
    /// A dropped call may leave it on record.
    pub async fn sign_in_failed(
        &self,
        peer: SocketAddr,
        front: Front,
        trace_id: TraceId,
        failure: AuthFailure,
    ) {
        self.inner.sign_in_failed(peer, front, trace_id, failure).await;
    }

    /// Names of the targets, sorted.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        self.inner.target_names()
    }

    /// Reaches a target as a session would: logs in to its default database and reads the catalog, on record. What was
    /// read serves the sessions that follow.
    ///
    /// # Errors
    /// [`ProbeError`]: whoever runs the gateway may be told it; an agent may not.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call may leave a reading on record that did not end.
    pub async fn probe(&self, target: &str) -> Result<(), ProbeError> {
        let unknown = || ProbeError::Unknown(target.to_owned());
        let entry = self.inner.target(target).ok_or_else(unknown)?;
        match &entry.way {
            Way::Postgres(postgres) => self.probe_postgres(postgres).await,
            Way::Http(target) => Ok(target.probe(&self.inner).await?),
        }
    }

    async fn probe_postgres(&self, target: &Postgres) -> Result<(), ProbeError> {
        let (cache, reach) = (
            self.inner.catalog(target, &target.dialer.target().databases.default),
            target.dialer.reach(),
        );
        let read = cache.refresh(self.inner.policy.current().version()).await;
        match &read {
            Ok(_) => reach.note(None),
            // It says nothing of the target: nothing was sent to it.
            Err(CatalogLoadError::Commit(_)) => {}
            Err(CatalogLoadError::Dial(error)) => reach.note(Some(error.code())),
            Err(_) => reach.note(Some("catalog")),
        }
        read?;
        Ok(())
    }

    /// The targets as they were found when they were last tried, by sessions or by [`Self::probe`]; sorted by name.
    #[must_use]
    pub fn target_states(&self) -> Vec<TargetState> {
        let state = |name: String| {
            let reach = self.inner.target(&name).and_then(|entry| entry.reach().view());
            TargetState { name, reach }
        };
        self.targets().into_iter().map(state).collect()
    }

    /// Opens nothing more, waits up to `deadline` for the sessions, and for calls of MCP, to end by themselves, then ends the rest: each end is
    /// an event. Returns once all are on record (or could not be put there within bounds).
    ///
    /// # Cancel safety
    /// Cancel safe: call it again to go on.
    pub async fn shutdown(&self, deadline: Duration) {
        self.inner.stop_opening();
        let all_ended = async {
            self.inner.all_tunnels_ended().await;
            if let Some(mcp) = &self.inner.mcp {
                mcp.calls_ended().await;
            }
        };
        if tokio::time::timeout(deadline, all_ended).await.is_err() {
            self.inner.registry.end_all(&Ending::Closed(SessionEnd::Shutdown));
            let ended = tokio::time::timeout(FORCED_ENDS, self.inner.all_tunnels_ended()).await;
            if ended.is_err() {
                tracing::error!(
                    "sessions did not end within {} s; the end of some is not on record",
                    FORCED_ENDS.as_secs()
                );
            }
        }
        let stopped = tokio::time::timeout(FORCED_ENDS, self.inner.stop_tasks()).await;
        if stopped.is_err() {
            tracing::error!("not all tasks of the gateway ended in time");
        }
    }
}

#[async_trait]
impl TunnelService for Gateway {
    async fn open(&self, request: ConnectRequest) -> Result<Box<dyn OpenTunnel>, Refusal> {
        let tunnel = open::open(&self.inner, request).await?;
        Ok(Box::new(tunnel))
    }

    fn turned_away(&self, who: TurnedAway) {
        self.inner.count_stranger(who);
    }
}

#[async_trait]
impl OpenTunnel for Tunnel {
    async fn run(self: Box<Self>, io: Box<dyn TunnelIo>) {
        self.serve(io).await;
    }
}

impl Tunnel {
    /// Serves the target's protocol on `io` until the end of the session is on record.
    pub(crate) async fn serve(self, io: Box<dyn TunnelIo>) {
        match &self.entry.way {
            Way::Postgres(target) => {
                let target = Arc::clone(target);
                session::run(self, target, io).await;
            }
            Way::Http(target) => {
                let target = Arc::clone(target);
                requests::serve(self, target, io).await;
            }
        }
    }
}
