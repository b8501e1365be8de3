//! The one task that appends: takes what is queued, in order, group by group, and tells everyone the outcome.
//!
//! On a log whose appends block it has a thread of its own: so a commit wakes that thread and that thread wakes the
//! session, and there is no other change of threads between an event and the disk.

use std::sync::Arc;
use std::time::Duration;

use tallyport_schemas::{GapOutcome, Integrity};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::{Instant, sleep_until, timeout};

use super::gaps::{Gap, Gaps};
use super::health::Health;
use super::sequencer::{Encoded, Item, Next, Sequencer, Slot, Stop, Waiter};
use super::{AppenderOptions, CommitError, own_draft};
use crate::log::{AppendError, Log, Position, Record, Topic};

const FIRST_BACKOFF: Duration = Duration::from_millis(50);

pub(super) struct Committer {
    log: Arc<dyn Log>,
    sequencer: Arc<Sequencer>,
    health: Arc<Health>,
    options: AppenderOptions,
    gaps: Gaps,
    /// Whether an explanation is queued already.
    explaining: bool,
    /// Taken from the queue, and not encoded yet when the group before it went.
    ahead: Option<Item>,
    backoff: Duration,
    retry_at: Instant,
}

/// Items that are appended together.
#[derive(Default)]
struct Group {
    items: Vec<Pending>,
    records: Vec<Record>,
    bytes: usize,
    permits: Vec<OwnedSemaphorePermit>,
}

/// Numbers whose outcome is awaited.
struct Pending {
    first_seq: u64,
    count: u64,
    waiter: Waiter,
}

impl Committer {
    pub(super) fn new(
        log: Arc<dyn Log>,
        sequencer: Arc<Sequencer>,
        health: Arc<Health>,
        options: AppenderOptions,
    ) -> Self {
        Self {
            log,
            sequencer,
            health,
            options,
            gaps: Gaps::default(),
            explaining: false,
            ahead: None,
            backoff: FIRST_BACKOFF,
            retry_at: Instant::now(),
        }
    }

    /// Begins to work, until the last clone of the appender is gone and the queue is empty.
    pub(super) fn start(self) -> std::io::Result<()> {
        if self.log.append_blocks() {
            let runtime = Handle::current();
            let thread = std::thread::Builder::new().name("log-writer".to_owned());
            thread.spawn(move || runtime.block_on(self.run())).map(drop)
        } else {
            tokio::spawn(self.run());
            Ok(())
        }
    }

    async fn run(mut self) {
        loop {
            self.explain();
            let wake = (!self.gaps.is_empty() && !self.explaining).then_some(self.retry_at);
            let next = match self.ahead.take() {
                Some(item) => Next::Item(item),
                None => self.sequencer.next(wake).await,
            };
            match next {
                Next::Item(first) => {
                    let group = self.gather(first).await;
                    self.append(group).await;
                    self.log.upkeep();
                }
                Next::Idle => {}
                Next::End(stop) => return self.finish(stop).await,
            }
        }
    }

    /// Queues the explanation of what is missing: with other traffic at once, without it after a pause.
    fn explain(&mut self) {
        let due = Instant::now() >= self.retry_at || !self.sequencer.is_empty();
        if self.gaps.is_empty() || self.explaining || !due {
            return;
        }
        let gaps = self.gaps.as_slice().to_vec();
        let waiter = Waiter::Explanation(gaps.clone());
        // Refused only when the appender is closing: then `finish` explains.
        let Ok(Slot { first_seq, fill }) = self.sequencer.reserve(gaps.len(), waiter) else {
            return;
        };
        self.explaining = true;
        let records = self.records(gaps.iter().map(Gap::event), first_seq);
        let _here = fill.send(Ok(Encoded { records, permit: None }));
    }

    fn records(&self, events: impl Iterator<Item = Integrity>, first_seq: u64) -> Vec<Record> {
        let numbered = events.zip(first_seq..);
        numbered
            .map(|(event, seq)| self.sequencer.record(Topic::Audit, own_draft(event), seq))
            .collect()
    }

    /// What is encoded already; only for the first it waits.
    async fn gather(&mut self, first: Item) -> Group {
        let mut group = Group::default();
        let mut next = Some(first);
        while let Some(mut item) = next {
            let encoded = match item.encoded.try_recv() {
                Err(TryRecvError::Empty) if !group.records.is_empty() => {
                    self.ahead = Some(item);
                    break;
                }
                // Whoever took the numbers encodes without awaiting, so this is short.
                Err(TryRecvError::Empty) => (&mut item.encoded).await.ok(),
                Err(TryRecvError::Closed) => None,
                Ok(encoded) => Some(encoded),
            };
            self.put_in(&mut group, item, encoded);
            let full = group.bytes >= self.options.max_batch_bytes;
            next = if full { None } else { self.sequencer.try_pop() };
        }
        group
    }

    fn put_in(
        &mut self,
        group: &mut Group,
        item: Item,
        encoded: Option<Result<Encoded, AppendError>>,
    ) {
        let Item { first_seq, count, waiter, .. } = item;
        match encoded {
            Some(Ok(Encoded { mut records, permit })) => {
                group.bytes += records.iter().map(Record::bytes).sum::<usize>();
                group.records.append(&mut records);
                group.permits.extend(permit);
                group.items.push(Pending { first_seq, count, waiter });
            }
            // Its commit has its answer already; only the numbers are left to explain.
            Some(Err(error)) => self.note_gap(first_seq, count, &error),
            None => {
                let reason = "the event was not encoded".to_owned();
                self.note_gap(first_seq, count, &AppendError::Refused { reason });
            }
        }
    }

    async fn append(&mut self, group: Group) {
        if group.records.is_empty() {
            return;
        }
        // Held until the outcome is known.
        let _permits = group.permits;
        match self.put(group.records).await {
            Ok(positions) => self.succeeded(group.items, positions),
            Err(error) => self.failed(group.items, &error),
        }
    }

    /// Appends, bounded in time.
    async fn put(&mut self, batch: Vec<Record>) -> Result<Vec<Position>, AppendError> {
        let expected = batch.len();
        let limit = self.options.append_timeout;
        self.health.begin();
        // A crash right here leaves some or all of the batch on the log and nobody was told: nothing has passed.
        // A log that blocks is not given up on: who waits does so by its own clock, and health tells how long it takes.
        let outcome = match timeout(limit, self.log.append(batch)).await {
            Ok(Ok(positions)) if positions.len() == expected => Ok(positions),
            Ok(Ok(positions)) => Err(AppendError::Unknown {
                reason: format!("it gave {} positions for {expected} records", positions.len()),
            }),
            Ok(Err(error)) => Err(error),
            // The backend may still be at it; what it does now is what "unknown" says.
            Err(_elapsed) => Err(AppendError::Unknown {
                reason: format!("no answer within {} ms", limit.as_millis()),
            }),
        };
        self.note_outcome(&outcome);
        outcome
    }

    fn note_outcome(&mut self, outcome: &Result<Vec<Position>, AppendError>) {
        let noted = outcome.as_ref().map(|_| ()).map_err(Clone::clone);
        match (self.health.note(noted), outcome) {
            (true, Ok(_)) => tracing::info!("the log takes events again"),
            (true, Err(error)) => {
                tracing::error!(%error, "the log does not take events; what waits for it does not pass");
            }
            (false, _) => {}
        }
        if outcome.is_ok() {
            self.backoff = FIRST_BACKOFF;
            self.retry_at = Instant::now();
        } else {
            self.retry_at = Instant::now() + self.backoff;
            self.backoff = (self.backoff * 2).min(self.options.max_backoff);
        }
    }

    fn succeeded(&mut self, items: Vec<Pending>, positions: Vec<Position>) {
        let mut positions = positions.into_iter();
        for Pending { count, waiter, .. } in items {
            let own =
                positions.by_ref().take(usize::try_from(count).unwrap_or(usize::MAX)).collect();
            match waiter {
                // It may have given up by now: then its event is on the log and nothing passed.
                Waiter::Commit(done) => drop(done.send(Ok(own))),
                Waiter::Explanation(gaps) => {
                    self.explaining = false;
                    self.gaps.explained(&gaps);
                    self.health.note_gaps(self.gaps.len());
                }
            }
        }
    }

    fn failed(&mut self, items: Vec<Pending>, error: &AppendError) {
        for Pending { first_seq, count, waiter } in items {
            self.note_gap(first_seq, count, error);
            match waiter {
                Waiter::Commit(done) => drop(done.send(Err(error.clone()))),
                Waiter::Explanation(_) => self.explaining = false,
            }
        }
    }

    fn note_gap(&mut self, first_seq: u64, count: u64, error: &AppendError) {
        let (outcome, reason) = match error {
            AppendError::Refused { reason } => (GapOutcome::NotPersisted, reason),
            AppendError::Unknown { reason } => (GapOutcome::Unknown, reason),
        };
        let last_seq = first_seq + count.saturating_sub(1);
        self.gaps.add(Gap { first_seq, last_seq, outcome, reason: reason.clone() });
        self.health.note_gaps(self.gaps.len());
    }

    /// Ends the epoch: nothing is queued any more and no number is taken elsewhere.
    async fn finish(mut self, stop: Option<Stop>) {
        let Some((deadline, done)) = stop else {
            // Dropped without a stop: the epoch ends as in a crash, yet what is missing is explained if that is easy.
            if !self.gaps.is_empty() {
                let _left_open = self.append_last(false).await;
            }
            return;
        };
        let mut outcome = self.append_last(true).await;
        while outcome.is_err() && self.retry_at < deadline {
            sleep_until(self.retry_at).await;
            outcome = self.append_last(true).await;
        }
        // Whoever waits may open the log anew.
        drop(self);
        let _gone = done.send(outcome.map_err(CommitError::from));
    }

    /// One try at the last events of the epoch: what is missing, then the stop.
    async fn append_last(&mut self, stop: bool) -> Result<(), AppendError> {
        let count = self.gaps.len() + usize::from(stop);
        let first_seq = self.sequencer.take_last(count);
        let events = first_seq + count as u64;
        let stopped = stop.then_some(Integrity::ProducerStopped { events });
        let last = self.gaps.as_slice().iter().map(Gap::event).chain(stopped);
        let records = self.records(last, first_seq);
        let outcome = self.put(records).await;
        match &outcome {
            Ok(_) => self.gaps = Gaps::default(),
            Err(error) => self.note_gap(first_seq, count as u64, error),
        }
        outcome.map(|_| ())
    }
}
