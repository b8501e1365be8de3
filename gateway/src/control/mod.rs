//! What every gateway knows: approvals, as the control topic has them.
//!
//! Nothing here is kept on disk. A gateway reads the topic from its first event on and comes to the same state as all
//! others (I10). What one of them does is an event like any other: it counts when it is read back, and as the events
//! before it let it. So two reviewers, or two gateways, at once are in one order, and one of them is too late.

mod follow;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::approval::{Applied, Book, Case};
use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard};
use tallyport_eventlog::{Appender, CommitError};
use tallyport_schemas::{ApprovalId, Draft, Event, EventId};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

pub(crate) use follow::follow;

/// The longest an event is waited for to come back from the log.
const READ_BACK_TIMEOUT: Duration = Duration::from_secs(5);

/// What is known, and the way to change it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Control {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    appender: Appender,
    book: RwLock<Book>,
    /// Who waits for what their event did; as many as commits are under way.
    waiting: Mutex<HashMap<EventId, oneshot::Sender<Applied>>>,
    /// Grows with every event that was read.
    seen: watch::Sender<u64>,
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

impl Control {
    pub(crate) fn new(appender: Appender) -> Self {
        let inner = Inner {
            appender,
            book: RwLock::default(),
            waiting: Mutex::default(),
            seen: watch::Sender::new(0),
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

    /// All that is known.
    pub(crate) fn book(&self) -> RwLockReadGuard<'_, Book> {
        self.inner.book.read()
    }

    /// The request of this id.
    pub(crate) fn case(&self, id: ApprovalId) -> Option<MappedRwLockReadGuard<'_, Case>> {
        RwLockReadGuard::try_map(self.inner.book.read(), |book| book.case(id)).ok()
    }

    /// Changes whenever something was read.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.inner.seen.subscribe()
    }

    /// Takes in the next event of the log.
    fn take_in(&self, event: &Event) {
        let applied = self.inner.book.write().apply(event);
        if let Some(told) = self.inner.waiting.lock().remove(&event.event_id)
            && let Some(applied) = applied
        {
            // Gone: whoever asked gave up.
            let _gone = told.send(applied);
        }
        self.inner.seen.send_modify(|seen| *seen += 1);
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
