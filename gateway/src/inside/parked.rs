//! Calls that wait for an approval longer than anybody waits for their answer: the session waits on, and the same call made
//! again finds it, and its one result.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tallyport_schemas::ApprovalId;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{NotRun, Ran};
use crate::session::Waiting;

/// How long a result is kept for whoever asks again.
const RESULT_KEPT: Duration = Duration::from_secs(15 * 60);
/// Calls that wait, or whose result waits, of one caller and in all.
const MAX_OF_ONE: usize = 8;
const MAX_IN_ALL: usize = 256;

/// SHA-256 of who calls, and of who calls what, with which arguments.
pub(crate) type Who = [u8; 32];
pub(crate) type Key = [u8; 32];
/// What came of a call.
pub(crate) type Result = std::result::Result<Ran, NotRun>;

/// All of one gateway.
#[derive(Clone, Default)]
pub(crate) struct Parked(Arc<Mutex<HashMap<Key, Arc<Call>>>>);

/// A call under way.
struct Call {
    who: Who,
    stage: watch::Sender<Stage>,
    /// The approvals that it waited for so far.
    asked: Mutex<BTreeSet<ApprovalId>>,
    result: Mutex<Option<Result>>,
    taken: Notify,
    cancel: CancellationToken,
}

#[derive(Clone, Debug)]
enum Stage {
    Runs,
    Waits(Vec<Waiting>),
    Over,
}

/// Where a call is kept.
enum Place {
    /// In a place of its own.
    Own,
    /// It is not: the same call is.
    Others(Arc<Call>),
    /// It is not: too many are.
    None,
}

/// How far a call came while somebody waited for it.
pub(crate) enum Came {
    /// This is what came of it; nobody gets it again.
    Result(Box<Result>),
    /// It waits for these, and goes on when they are given.
    Waits(Vec<Waiting>),
    /// The same, and it was not kept: too many are.
    NotKept(Vec<Waiting>),
    /// Its result was given to another call just now.
    Taken,
}

/// The end of a call that runs it.
pub(crate) struct Runner {
    call: Arc<Call>,
    parked: Parked,
    key: Key,
}

impl Parked {
    /// Goes on with the call of this key that waits, or begins it: `run` is told what to report to, and `spawn` runs that. Gives
    /// its result, or, once it waits for somebody and that takes longer than `patience`, for what.
    ///
    /// # Cancel safety
    /// A dropped call cancels what it began, unless that is kept for the next.
    pub(crate) async fn call<F: Future<Output = ()> + Send + 'static>(
        &self,
        (key, who): (Key, Who),
        patience: Duration,
        run: impl FnOnce(Runner) -> F,
        spawn: impl FnOnce(F),
    ) -> Came {
        if let Some(call) = self.find(&key) {
            let came = call.wait(patience).await;
            if matches!(came, Came::Result(_)) {
                self.forget(&key, &call);
            }
            return came;
        }
        let cancel = CancellationToken::new();
        let call = Arc::new(Call {
            who,
            stage: watch::Sender::new(Stage::Runs),
            asked: Mutex::default(),
            result: Mutex::default(),
            taken: Notify::new(),
            cancel: cancel.clone(),
        });
        let guard = cancel.drop_guard();
        spawn(run(Runner { call: Arc::clone(&call), parked: self.clone(), key }));
        let came = call.wait(patience).await;
        let Came::Waits(waiting) = came else { return came };
        match self.park(key, &call) {
            Place::Own => {}
            Place::None => return Came::NotKept(waiting),
            // The same call at the same time was kept first: this one ends, and that one goes on for both.
            Place::Others(other) => {
                drop(guard);
                return other.wait(Duration::ZERO).await;
            }
        }
        let _goes_on = guard.disarm();
        // It may have ended before it was kept: then nobody else sees to it.
        match call.wait(Duration::ZERO).await {
            Came::Result(result) => {
                self.forget(&key, &call);
                Came::Result(result)
            }
            _ => Came::Waits(waiting),
        }
    }

    /// Ends the calls of `who` that wait for this approval, or ended by it unheard: the same call is a new one then.
    pub(crate) fn give_up(&self, who: &Who, approval_id: ApprovalId) {
        self.0.lock().retain(|_, call| {
            let waited = call.asked.lock().contains(&approval_id);
            let is_it = call.who == *who && waited;
            if is_it {
                call.cancel.cancel();
            }
            !is_it
        });
    }

    fn find(&self, key: &Key) -> Option<Arc<Call>> {
        self.0.lock().get(key).cloned()
    }

    fn park(&self, key: Key, call: &Arc<Call>) -> Place {
        let mut calls = self.0.lock();
        if let Some(other) = calls.get(&key) {
            return Place::Others(Arc::clone(other));
        }
        let of_one = calls.values().filter(|other| other.who == call.who).count();
        if of_one >= MAX_OF_ONE || calls.len() >= MAX_IN_ALL {
            return Place::None;
        }
        calls.insert(key, Arc::clone(call));
        Place::Own
    }

    fn forget(&self, key: &Key, call: &Arc<Call>) {
        let mut calls = self.0.lock();
        if calls.get(key).is_some_and(|kept| Arc::ptr_eq(kept, call)) {
            calls.remove(key);
        }
    }
}

impl Call {
    /// Waits until it is over, or for `patience` once it waits for somebody.
    ///
    /// # Cancel safety
    /// Cancel safe: a result that was not given stays.
    async fn wait(&self, patience: Duration) -> Came {
        let mut stage = self.stage.subscribe();
        let until_waits = stage.wait_for(|stage| !matches!(stage, Stage::Runs));
        let now = until_waits.await.map(|stage| stage.clone()).unwrap_or(Stage::Over);
        if let Stage::Waits(waiting) = now {
            let over = stage.wait_for(|stage| matches!(stage, Stage::Over));
            if tokio::time::timeout(patience, over).await.is_err() {
                return Came::Waits(waiting);
            }
        }
        let result = self.result.lock().take();
        self.taken.notify_one();
        result.map_or(Came::Taken, |result| Came::Result(Box::new(result)))
    }
}

impl Runner {
    /// Nobody wants it any more.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn cancelled(&self) {
        self.call.cancel.cancelled().await;
    }

    /// It waits for these.
    pub(crate) fn waits(&self, waiting: Vec<Waiting>) {
        self.call.asked.lock().extend(waiting.iter().map(|one| one.approval_id));
        self.call.stage.send_replace(Stage::Waits(waiting));
    }

    /// It is over. Where it is parked, its result is kept for a while, for as long as what is given back runs.
    pub(crate) fn over(self, result: Result) -> impl Future<Output = ()> + Send {
        *self.call.result.lock() = Some(result);
        self.call.stage.send_replace(Stage::Over);
        async move {
            if self.parked.find(&self.key).is_some() {
                let _taken = tokio::time::timeout(RESULT_KEPT, self.call.taken.notified()).await;
            }
            self.parked.forget(&self.key, &self.call);
        }
    }
}

/// However it ended, nobody waits for it any more.
impl Drop for Runner {
    fn drop(&mut self) {
        self.call.stage.send_replace(Stage::Over);
    }
}
