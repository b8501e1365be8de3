//! One connection of an agent: a session of HTTP/1.1 (RFC 9112) within a tunnel.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gateway_core::passage::{Note, Scribe};
use gateway_core::pg::session::Ending;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use parking_lot::Mutex;
use tallyport_schemas::{Body, Session as SessionEvent, SessionEnd, SessionStats};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::HttpTarget;
use super::patient::Patient;
use super::request;
use crate::meters;
use crate::session::{LiveSession, SessionInfo, Tunnel};
use crate::tunnel::TunnelIo;

/// The most bytes of a request's line and fields.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The most fields of a request.
const MAX_FIELDS: usize = 100;
/// The longest an answer that is ended is waited for to be on record.
const END_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the end of a session is tried to be put on record while the log fails, and how long apart.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);

/// A session, as its requests see it.
pub(super) struct Session {
    pub(super) tunnel: Tunnel,
    pub(super) target: Arc<HttpTarget>,
    pub(super) scribe: Mutex<Scribe>,
    pub(super) stats: Mutex<SessionStats>,
    /// It ends: what runs is to stop.
    pub(super) over: CancellationToken,
    /// Its connection became one of streams: it goes on as long as these do.
    pub(super) streams: AtomicBool,
    /// The log did not confirm: nothing more may pass (I3).
    pub(super) unrecorded: CancellationToken,
    /// What runs, each to the record of its end.
    pub(super) running: TaskTracker,
}

pub(super) async fn serve(mut tunnel: Tunnel, target: Arc<HttpTarget>, io: Box<dyn TunnelIo>) {
    let context = tunnel.scribe.context().clone();
    let scribe = Mutex::new(std::mem::replace(&mut tunnel.scribe, Scribe::new(context)));
    let session = Arc::new(Session {
        tunnel,
        target,
        scribe,
        stats: Mutex::default(),
        over: CancellationToken::new(),
        streams: AtomicBool::new(false),
        unrecorded: CancellationToken::new(),
        running: TaskTracker::new(),
    });
    let ending = match session.open().await {
        Ok(registered) => {
            let _open = session.tunnel.entry.meters.opened();
            let ending = session.run(io, &registered).await;
            session.tunnel.inner.registry.dismiss(&registered);
            session.tunnel.entry.meters.closed(&ending);
            ending
        }
        Err(ending) => {
            // Whoever waits learns of it now, however long the log takes to.
            drop(io);
            meters::turned_away("ended");
            ending
        }
    };
    session.end(&ending).await;
}

impl Session {
    /// Puts on record that it is open, and has it listed.
    async fn open(&self) -> Result<Arc<LiveSession>, Ending> {
        let tunnel = &self.tunnel;
        // Whoever was let in may have taken their time.
        if let Some(ending) = tunnel.inner.control.barred(&tunnel.whom()) {
            return Err(ending);
        }
        let expires_at = tunnel.lifetime.expires_at();
        let opened = SessionEvent::Opened {
            expires_at: Some(expires_at),
            application: None,
            parameters: BTreeMap::new(),
        };
        let draft = self.scribe.lock().draft(Body::Session(opened));
        let recorded = tunnel.inner.appender.commit(Note::new(vec![draft])).await;
        let _on_record = recorded.map_err(lost)?;
        let info = SessionInfo {
            session_id: tunnel.session_id,
            principal: tunnel.identity.principal.clone(),
            target: self.target.reference().clone(),
            application: None,
            peer: tunnel.peer,
            opened_at: Timestamp::now(),
            expires_at,
        };
        let grant_id = tunnel.grant.as_ref().map(|grant| grant.grant_id);
        let identity = Arc::clone(&tunnel.identity);
        let registered = tunnel.inner.registry.admit(info, identity, grant_id, None);
        // What was revoked while it was on its way in: from here on the registry is told.
        tunnel.inner.control.end_if_barred(&registered);
        Ok(registered)
    }

    async fn run(self: &Arc<Self>, io: Box<dyn TunnelIo>, registered: &LiveSession) -> Ending {
        let stalled = Arc::new(AtomicBool::new(false));
        let patience = self.tunnel.inner.limits.stalled_reader_timeout;
        let io = Patient::new(io, patience, Arc::clone(&stalled));
        let service = service_fn(|asked| {
            let session = Arc::clone(self);
            async move { Ok::<_, std::convert::Infallible>(request::answer(session, asked).await) }
        });
        let mut connection = pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.tunnel.inner.limits.startup_timeout)
                .max_buf_size(MAX_HEAD_BYTES)
                .max_headers(MAX_FIELDS)
                .serve_connection(TokioIo::new(io), service)
                .with_upgrades()
        );
        let is_done = AtomicBool::new(false);
        let conversation = async {
            let done = connection.as_mut().await;
            is_done.store(true, Ordering::Release);
            if done.is_ok() && self.streams.load(Ordering::Acquire) {
                self.running.close();
                self.running.wait().await;
            }
            if stalled.load(Ordering::Acquire) {
                return Ending::Lost {
                    cause: "reader_stalled".to_owned(),
                    message: format!(
                        "the client took nothing of its answer for {} s",
                        patience.as_secs()
                    ),
                    farewell: None,
                };
            }
            done.map_or_else(|error| over(&error), |()| Ending::Closed(SessionEnd::Client))
        };
        let ending = tokio::select! {
            // Whatever else happens at the same moment: whoever is out is out.
            biased;
            ending = self.tunnel.ended_outside(registered) => ending,
            () = self.unrecorded.cancelled() => lost("the audit log did not take the record"),
            ending = conversation => ending,
        };
        self.over.cancel();
        self.running.close();
        // What ran says how it ended, and the agent may still be told.
        let rest = async {
            tokio::join!(self.running.wait(), async {
                if !is_done.load(Ordering::Acquire) {
                    connection.as_mut().graceful_shutdown();
                    let _told = connection.as_mut().await;
                }
            });
        };
        let _late = timeout(END_TIMEOUT, rest).await;
        let _late = timeout(END_TIMEOUT, self.running.wait()).await;
        ending
    }

    /// Puts the end on record.
    async fn end(&self, ending: &Ending) {
        let session_id = self.tunnel.session_id;
        if let Ending::Lost { cause, message, .. } = ending {
            tracing::info!(session = %session_id, cause, why = message, "session lost");
        }
        let event = ending.event(*self.stats.lock());
        let draft = self.scribe.lock().draft(Body::Session(event));
        for attempt in 0..ATTEMPTS {
            match self.tunnel.inner.appender.commit(Note::new(vec![draft.clone()])).await {
                Ok(_on_record) => return,
                Err(error) => {
                    tracing::error!(session = %session_id, %error, attempt, "the end of a session is not on record yet");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Why a connection did not go on.
fn over(error: &hyper::Error) -> Ending {
    let cause = if error.is_timeout() {
        return Ending::Closed(SessionEnd::Client);
    } else if error.is_user() {
        // An answer that broke off can be told in no other way.
        "answer_cut"
    } else if error.is_parse() {
        "protocol_error"
    } else {
        "client_gone"
    };
    Ending::Lost { cause: cause.to_owned(), message: error.to_string(), farewell: None }
}

fn lost(why: impl ToString) -> Ending {
    Ending::Lost { cause: "log_unavailable".to_owned(), message: why.to_string(), farewell: None }
}
