//! The way to a target: dial, log in with the injected credential, then send only what is durable.

mod auth;
mod error;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod handshake;
mod reach;
mod resolve;
mod stream;
mod tls;
mod writer;

pub use error::DialError;
pub(crate) use reach::LastReach;
pub use reach::Reach;
pub use tls::TargetTls;
pub use writer::TargetWriter;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::passage::{self, Authorized, Command};
use tallyport_eventlog::Durable;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf};
use tokio::time::{Instant, timeout};

use crate::config::Target;
use crate::meters::DialMeters;
use resolve::Resolver;
use stream::TargetStream;

/// The longest a target is waited for after a cancel request: it answers by closing.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// A target, checked, with what TLS needs already loaded. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dialer {
    target: Arc<Target>,
    tls: Option<TargetTls>,
    resolver: Resolver,
    dial_timeout: Duration,
    meters: DialMeters,
    reach: Arc<LastReach>,
}

/// A connection whose target has said that it is ready.
#[derive(Debug)]
pub struct Upstream {
    /// What the target says.
    pub reader: ReadHalf<TargetStream>,
    /// The only way to the target.
    pub writer: TargetWriter,
    /// What cancels what it runs.
    pub key: BackendKey,
    /// The settings it reported, in its order.
    pub settings: Vec<(String, String)>,
    /// What it said after it was ready.
    pub leftover: bytes::BytesMut,
}

/// The target's key for cancel requests: whoever has it can cancel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BackendKey {
    pub(crate) pid: u32,
    pub(crate) key: u32,
    /// Where it is, when that is not a socket: a name may lead elsewhere by now.
    pub(crate) addr: Option<SocketAddr>,
}

impl std::fmt::Debug for BackendKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BackendKey({}, redacted)", self.pid)
    }
}

/// A login that failed.
struct Attempt {
    error: DialError,
    /// The credential was one from before.
    was_kept: bool,
}

impl Dialer {
    /// Loads what TLS needs.
    ///
    /// # Errors
    /// When a certificate or key cannot be used.
    pub fn new(target: Arc<Target>, dial_timeout: Duration) -> Result<Self, DialError> {
        let tls = TargetTls::load(&target)?;
        let meters = DialMeters::new(&target.name);
        let (resolver, reach) = (Resolver::system(), Arc::default());
        Ok(Self { target, tls, resolver, dial_timeout, meters, reach })
    }

    /// The target.
    #[must_use]
    pub const fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// What the last try of it showed.
    pub(crate) fn reach(&self) -> &LastReach {
        &self.reach
    }

    /// Connects and logs in. `_on_record` proves that the reason to do so is on record.
    ///
    /// # Errors
    /// See [`DialError`]; none carries a text of the target about authentication.
    ///
    /// # Cancel safety
    /// A dropped call closes the connection; the target has run nothing.
    pub async fn dial<T>(
        &self,
        _on_record: &Durable<Authorized<T>>,
        database: &str,
        settings: &BTreeMap<String, String>,
    ) -> Result<Upstream, DialError> {
        let login = async {
            match self.log_in(database, settings).await {
                // A credential that was kept may have been changed since: once more, with the one of now.
                Err(Attempt { error, was_kept: true }) if error.refuses_password() => {
                    self.log_in(database, settings).await
                }
                outcome => outcome,
            }
        };
        let began = Instant::now();
        let outcome = timeout(self.dial_timeout, login)
            .await
            .map_err(|_| DialError::TimedOut { waited: self.dial_timeout })
            .and_then(|login| login.map_err(|attempt| attempt.error));
        self.meters.dialled(began.elapsed(), &outcome);
        self.reach.dialled(&outcome);
        outcome
    }

    async fn log_in(
        &self,
        database: &str,
        settings: &BTreeMap<String, String>,
    ) -> Result<Upstream, Attempt> {
        let mut was_kept = false;
        let login = async {
            if let Some(password) = &self.target.password {
                was_kept = !password.refresh().await?;
            }
            let tls = self.tls.as_ref();
            let stream = stream::connect(&self.target, tls, &self.resolver, None).await?;
            handshake::log_in(stream, &self.target, database, settings).await
        };
        let outcome = login.await;
        outcome.map_err(|error| {
            if let Some(password) =
                self.target.password.as_ref().filter(|_| error.refuses_password())
            {
                password.forget();
            }
            Attempt { error, was_kept }
        })
    }

    /// Sends a cancel request to where `backend` is, over a connection of its own, encrypted as sessions are.
    ///
    /// # Errors
    /// See [`DialError`]. Whether something was cancelled is not said by the protocol.
    ///
    /// # Cancel safety
    /// A dropped call may have sent the request.
    pub async fn cancel(
        &self,
        backend: BackendKey,
        request: Durable<Authorized<Command>>,
    ) -> Result<(), DialError> {
        let send = async {
            let tls = self.tls.as_ref();
            let mut stream =
                stream::connect(&self.target, tls, &self.resolver, backend.addr).await?;
            stream.write_all(&passage::to_target(request)).await?;
            stream.flush().await?;
            // The target closes once it has signalled: only then is it in effect.
            let mut byte = [0_u8; 1];
            let _closed = stream.read(&mut byte).await;
            Ok(())
        };
        timeout(CANCEL_TIMEOUT, send)
            .await
            .map_err(|_| DialError::TimedOut { waited: CANCEL_TIMEOUT })?
    }
}
