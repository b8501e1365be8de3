//! What every gateway knows: approvals, grants, revocations, exchanged assertions and pinned definitions of tools, as the control topic has them.
//!
//! Nothing here is kept on disk. A gateway reads the topic from its first event on and comes to the same state as all
//! others (I10). What one of them does is an event like any other: it counts when it is read back, and as the events
//! before it let it. So two reviewers, or two gateways, at once are in one order, and one of them is too late.
//!
//! Who was revoked is known from nowhere else: nobody is let in before the topic was read to where it ended when the
//! gateway started, nor while it cannot be read.

mod carry;
mod follow;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::approval::{Applied, Book, Case, NotCounted, State};
use gateway_core::assertions::Assertions;
use gateway_core::mcp::Pins;
use gateway_core::pg::session::{Ending, TimeLimit};
use gateway_core::revocation::{Revocations, StandingRevocation, Whom};
use jiff::Timestamp;
use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard};
use tallyport_eventlog::{Appender, CommitError};
use tallyport_schemas::{Approval, ApprovalId, Body, Draft, Event, EventId, Revocation};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::session::{LiveSession, Registry};
pub(crate) use carry::carry;
pub(crate) use follow::follow;

/// The longest an event is waited for to come back from the log.
const READ_BACK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long ago the topic may have been read last, and the longest who comes waits for it to be read again.
const MAX_AGE: Duration = Duration::from_secs(5);
const CURRENT_TIMEOUT: Duration = Duration::from_secs(5);

/// What is known, and the way to change it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    inner: Arc<Inner>,
}

/// All that the topic amounts to.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub book: Book,
    pub revocations: Revocations,
    pub assertions: Assertions,
    pub pins: Pins,
}

#[derive(Debug)]
struct Inner {
    appender: Appender,
    registry: Arc<Registry>,
    known: RwLock<Known>,
    /// Who waits for what their event did; as many as commits are under way.
    waiting: Mutex<HashMap<EventId, oneshot::Sender<Applied>>>,
    /// Grows with every event that was read.
    seen: watch::Sender<u64>,
    /// When the topic was read last; `None` until it was read to where it ended at the start.
    read_at: watch::Sender<Option<Instant>>,
}

/// It is not known what an event did.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// It is not on the log, or that is not known.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// It is on the log, and did not come back in time.
    #[error("the control log was not read within {} s; what was asked may yet count", READ_BACK_TIMEOUT.as_secs())]
    NotReadBack,
}

/// It is not known whose access was ended.
#[derive(Debug, thiserror::Error)]
#[error(
    "the control log cannot be read, so it is not known whose access was ended; try again later"
)]
pub(crate) struct Stale;

impl Control {
    pub(crate) fn new(appender: Appender, registry: Arc<Registry>) -> Self {
        let inner = Inner {
            appender,
            registry,
            known: RwLock::default(),
            waiting: Mutex::default(),
            seen: watch::Sender::new(0),
            read_at: watch::Sender::new(None),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Puts an event on the log and says what it did.
    ///
    /// # Cancel safety
    /// A dropped call may still put the event on the log, where it counts.
    pub(crate) async fn commit(&self, draft: Draft) -> Result<Applied, ControlError> {
        let event_id = draft.event_id;
        let (told, outcome) = oneshot::channel();
        self.inner.waiting.lock().insert(event_id, told);
        let _waiting = Waiting { inner: &self.inner, event_id };
        // A crash right here, or in the commit, leaves an event that counts where it is on the control topic.
        let _place = self.inner.appender.commit_control(draft).await?;
        let outcome = timeout(READ_BACK_TIMEOUT, outcome).await;
        outcome.map_err(|_| ControlError::NotReadBack)?.map_err(|_| ControlError::NotReadBack)
    }

    /// Waits until what is known is what the log says, give or take what is on its way.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn current(&self) -> Result<(), Stale> {
        let mut read_at = self.inner.read_at.subscribe();
        let current = timeout(CURRENT_TIMEOUT, read_at.wait_for(is_fresh)).await;
        match current {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Stale),
        }
    }

    /// Waits until a request is known, or the log was read since the call without finding it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn case_or_none(&self, id: ApprovalId) -> Result<(), Stale> {
        let asked = Instant::now();
        let (mut seen, mut read_at) = (self.changes(), self.inner.read_at.subscribe());
        let known = seen.wait_for(|_| self.case(id).is_some());
        let read = read_at.wait_for(|at| at.is_some_and(|at| at > asked));
        tokio::select! {
            Ok(_) = known => Ok(()),
            read = timeout(CURRENT_TIMEOUT, read) => read.map_err(|_| Stale)?.map(drop).map_err(|_| Stale),
        }
    }

    /// Whether what is known is what the log says now.
    pub(crate) fn is_current(&self) -> bool {
        is_fresh(&self.inner.read_at.borrow())
    }

    /// All that is known.
    pub(crate) fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.inner.known.read()
    }

    /// All approvals and grants.
    pub(crate) fn book(&self) -> MappedRwLockReadGuard<'_, Book> {
        RwLockReadGuard::map(self.inner.known.read(), |known| &known.book)
    }

    /// The request of this id.
    pub(crate) fn case(&self, id: ApprovalId) -> Option<MappedRwLockReadGuard<'_, Case>> {
        RwLockReadGuard::try_map(self.inner.known.read(), |known| known.book.case(id)).ok()
    }

    /// Changes whenever something was read.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.inner.seen.subscribe()
    }

    /// Takes in the next event of the log. A revocation ends what is live here before anybody is told that it counts.
    fn take_in(&self, event: &Event) {
        let applied = {
            let mut known = self.inner.known.write();
            let Known { book, revocations, assertions, pins } = &mut *known;
            let ordered = revocations.apply(event);
            if ordered == Some(Err(NotCounted::OrderedByRevoked)) {
                ordered
            } else {
                let others =
                    [book.apply(event, revocations), assertions.apply(event), pins.apply(event)];
                ordered.into_iter().chain(others.into_iter().flatten()).reduce(Applied::and)
            }
        };
        let may_end = matches!(
            &event.body,
            Body::Revocation(Revocation::Revoked(_) | Revocation::Carried(_))
                | Body::Approval(Approval::Withdrawn { .. } | Approval::Expired { .. })
        );
        if may_end {
            for live in self.inner.registry.list() {
                self.end_if_barred(&live);
            }
        }
        if let Some(told) = self.inner.waiting.lock().remove(&event.event_id)
            && let Some(applied) = applied
        {
            // Gone: whoever asked gave up.
            let _gone = told.send(applied);
        }
        self.inner.seen.send_modify(|seen| *seen += 1);
    }

    /// Says that the topic was read, to where it ended when the gateway started or further.
    fn is_read(&self) {
        self.inner.read_at.send_replace(Some(Instant::now()));
    }

    /// Ends a session whose access was ended, or whose grant was given back.
    pub(crate) fn end_if_barred(&self, live: &LiveSession) {
        if let Some(ending) = self.barred(&live.whom()) {
            live.end(ending);
        }
    }

    /// Why somebody may not be at a target, or not any more; `None` while they may.
    pub(crate) fn barred(&self, whom: &Whom<'_>) -> Option<Ending> {
        let (known, now) = (self.inner.known.read(), Timestamp::now());
        if let Some(by) = known.revocations.bars(whom, now) {
            return Some(revoked(by));
        }
        match known.book.case(whom.grant_id?).map(|case| case.state(now)) {
            Some(State::Approved) => None,
            Some(State::Withdrawn(cause)) => Some(Ending::Revoked {
                by: whom.principal.display_name.clone(),
                reason: format!("the grant ended: {cause}"),
                revocation_id: None,
            }),
            _ => Some(Ending::Expired(TimeLimit::Grant)),
        }
    }
}

fn is_fresh(read_at: &Option<Instant>) -> bool {
    read_at.is_some_and(|at| at.elapsed() < MAX_AGE)
}

fn revoked(by: &StandingRevocation) -> Ending {
    let principal = by.context.principal.as_ref();
    Ending::Revoked {
        by: principal.map_or_else(|| "nobody known".to_owned(), |it| it.display_name.clone()),
        reason: by.order.reason.clone(),
        revocation_id: Some(by.order.revocation_id),
    }
}

/// Forgets who waits, however the wait ends.
struct Waiting<'a> {
    inner: &'a Inner,
    event_id: EventId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.inner.waiting.lock().remove(&self.event_id);
    }
}
