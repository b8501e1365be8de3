//! The one way onto the log: many sessions commit, one task appends.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tallyport_schemas::{Body, Context, Draft, Integrity, ProducerId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::durable::Durable;
use crate::log::{AppendError, Log, Position, Record, Topic};

mod committer;
mod control;
mod gaps;
mod health;
mod meters;
mod sequencer;
mod weight;

#[cfg(test)]
mod tests;

use committer::Committer;
use health::Health;
pub use health::LogHealth;
use meters::Meters;
use sequencer::{Encoded, Sequencer, Slot, Waiter};

/// A value that stands for something about to pass, and the events that record it.
pub trait Auditable {
    /// The events, in the order in which they go onto the log; asked for once. Derived from the value alone, so that
    /// what is on record is what passes. A value that has none left cannot be committed.
    fn take_drafts(&mut self) -> Vec<Draft>;

    /// Where the events go. Numbers are dense over both topics together.
    fn topic(&self) -> Topic {
        Topic::Audit
    }
}

impl Auditable for Draft {
    fn take_drafts(&mut self) -> Vec<Draft> {
        vec![self.clone()]
    }
}

impl Auditable for Vec<Draft> {
    fn take_drafts(&mut self) -> Vec<Draft> {
        self.clone()
    }
}

/// Bounds of an [`Appender`].
#[derive(Clone, Copy, Debug)]
pub struct AppenderOptions {
    /// The longest a commit waits before it gives up.
    pub max_wait: Duration,
    /// The longest one append may take before its outcome counts as unknown and the next batch goes on.
    pub append_timeout: Duration,
    /// The longest [`Appender::stop`] takes.
    pub stop_wait: Duration,
    /// The longest pause before the explanation of a gap is tried again while nothing else is appended.
    pub max_backoff: Duration,
    /// Bytes of events that may wait for the log; a commit beyond it waits too, then fails.
    pub max_pending_bytes: u32,
    /// Bytes after which a batch is not filled further.
    pub max_batch_bytes: usize,
}

impl Default for AppenderOptions {
    fn default() -> Self {
        Self {
            max_wait: Duration::from_secs(5),
            append_timeout: Duration::from_secs(5),
            stop_wait: Duration::from_secs(15),
            max_backoff: Duration::from_secs(2),
            max_pending_bytes: 64 * 1024 * 1024,
            max_batch_bytes: 4 * 1024 * 1024,
        }
    }
}

/// A commit did not succeed: what waited on it must not pass.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// The log said no, or did not say.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The log did not answer in time; the event may yet become durable.
    #[error("the log did not confirm within {} ms; check that it is writable", waited.as_millis())]
    TimedOut {
        /// How long it was waited for.
        waited: Duration,
    },
    /// An event could not be encoded.
    #[error("the event could not be encoded: {reason}")]
    Encode {
        /// Why.
        reason: String,
    },
    /// The appender was stopped.
    #[error("the log is closed: the service is shutting down")]
    Stopped,
}

/// Commits events of many sessions in groups. Cheap to clone.
///
/// Numbers: every event gets the next number of this producer's epoch, dense from 0, in the order of the commits. A
/// number that was not acknowledged is explained by a later [`Integrity::Gap`] event, as soon as the log takes
/// events again, with or without other traffic; twice where the explanation's own outcome was unknown.
///
/// Order: within a partition of the log the acknowledged events of one epoch stand in the order of their numbers. One
/// whose outcome is unknown may come late, or never.
///
/// Bounds: at most `max_pending_bytes` wait; a commit waits at most `max_wait`, one append at most `append_timeout`, or
/// where it blocks ([`Log::append_blocks`]) for as long as the disk takes, as failing meanwhile. A log that refuses,
/// hangs or does not say fails the commits that wait for it and no others: the next ones are tried anew.
///
/// Dropping the last clone without [`Self::stop`] appends what was committed, and leaves the epoch without its last event.
#[derive(Clone, Debug)]
pub struct Appender {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    log: Arc<dyn Log>,
    sequencer: Arc<Sequencer>,
    options: AppenderOptions,
    pending: Arc<Semaphore>,
    health: Arc<Health>,
    meters: Meters,
}

impl Appender {
    /// Begins an epoch of `producer` and records it.
    ///
    /// # Errors
    /// When the log does not take that first event.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may leave a started epoch without further events.
    pub async fn start(
        log: Arc<dyn Log>,
        producer: ProducerId,
        role: &str,
        options: AppenderOptions,
    ) -> Result<Self, CommitError> {
        let sequencer = Arc::new(Sequencer::new(producer, epoch_now()));
        let health = Arc::new(Health::new(role));
        let committer =
            Committer::new(Arc::clone(&log), Arc::clone(&sequencer), Arc::clone(&health), options);
        committer.start().map_err(|error| {
            CommitError::Append(AppendError::Refused {
                reason: format!(
                    "no thread can be started for the log ({error}); raise the limit of processes"
                ),
            })
        })?;
        let pending = Arc::new(Semaphore::new(options.max_pending_bytes as usize));
        let meters = Meters::new(role);
        let inner = Inner { log, sequencer, options, pending, health, meters };
        let appender = Self { inner: Arc::new(inner) };
        let started = Integrity::ProducerStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: role.to_owned(),
        };
        let _on_record = appender.commit(own_draft(started)).await?;
        Ok(appender)
    }

    /// Puts the events of `value` on the log and returns it as durable.
    ///
    /// # Errors
    /// When the log refused, did not answer in time, or did not say. The caller must not let `value` pass.
    ///
    /// # Cancel safety
    /// A dropped call may still put the events on the log, and never loses a number; the value does not pass, since no
    /// proof was minted.
    pub async fn commit<T: Auditable>(&self, value: T) -> Result<Durable<T>, CommitError> {
        let mut durable = self.commit_all(vec![value]).await?;
        durable.pop().ok_or_else(nothing_recorded)
    }

    /// Puts the events of all `values`, in their order, on the log in one append, and returns each as durable.
    ///
    /// # Errors
    /// As [`Self::commit`]; none of the values may pass then.
    ///
    /// # Cancel safety
    /// As [`Self::commit`].
    pub async fn commit_all<T: Auditable>(
        &self,
        mut values: Vec<T>,
    ) -> Result<Vec<Durable<T>>, CommitError> {
        let mut drafts = Vec::new();
        let mut counts = Vec::with_capacity(values.len());
        for value in &mut values {
            let own = value.take_drafts();
            if own.is_empty() {
                return Err(nothing_recorded());
            }
            counts.push(own.len());
            let topic = value.topic();
            drafts.extend(own.into_iter().map(|draft| (topic, draft)));
        }
        if drafts.is_empty() {
            return Ok(Vec::new());
        }
        let (began, events) = (Instant::now(), drafts.len());
        let outcome = self.append(drafts, None).await;
        self.inner.meters.committed(began, events, &outcome);
        let mut positions = outcome?.into_iter();
        let mint = |(value, count)| {
            Durable::mint(value, positions.by_ref().take(count).collect::<Vec<Position>>())
        };
        Ok(values.into_iter().zip(counts).map(mint).collect())
    }

    /// Ends the epoch: takes no further commits, appends what waits, explains what is missing, and records the stop as
    /// the last event.
    ///
    /// # Errors
    /// [`CommitError::Stopped`] when it was stopped before; else as [`Self::commit`]: the epoch is then without its
    /// last event.
    ///
    /// # Cancel safety
    /// A dropped call does not undo it: the epoch ends all the same.
    pub async fn stop(&self) -> Result<(), CommitError> {
        let waited = self.inner.options.stop_wait;
        let deadline = Instant::now() + waited;
        let (done, stopped) = oneshot::channel();
        self.inner.sequencer.close(Some((deadline, done)))?;
        let outcome = timeout_at(deadline, stopped).await;
        outcome.map_err(|_| CommitError::TimedOut { waited })?.map_err(|_| CommitError::Stopped)?
    }

    /// The log that it appends to: for whoever reads back.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.inner.log
    }

    /// Who writes.
    #[must_use]
    pub fn producer(&self) -> &ProducerId {
        self.inner.sequencer.producer()
    }

    /// This start of the producer: microseconds since the Unix epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.inner.sequencer.epoch()
    }

    /// The number that the next event gets.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.inner.sequencer.next_seq()
    }

    /// How the log does, as seen from here: for readiness and for operators.
    #[must_use]
    pub fn health(&self) -> LogHealth {
        let max = self.inner.options.max_pending_bytes as usize;
        let pending = max.saturating_sub(self.inner.pending.available_permits());
        self.inner.health.view(pending, self.inner.options.append_timeout)
    }

    /// `copies` takes the records as they were encoded.
    async fn append(
        &self,
        drafts: Vec<(Topic, Draft)>,
        copies: Option<&mut Vec<Record>>,
    ) -> Result<Vec<Position>, CommitError> {
        let options = &self.inner.options;
        let deadline = Instant::now() + options.max_wait;
        let timed_out = |_| {
            // The append began after this commit, so it may lack a little of its own limit: then nobody would say so.
            let limit = options.append_timeout.min(options.max_wait / 2);
            if self.inner.health.note_overdue(limit) {
                tracing::error!("the log does not answer; what waits for it does not pass");
            }
            CommitError::TimedOut { waited: options.max_wait }
        };
        let weight = drafts.iter().map(|(_, draft)| weight::estimate_bytes(draft)).sum::<usize>();
        let permit = self.acquire(weight);
        let permit = timeout_at(deadline, permit).await.map_err(timed_out)??;
        let answer = self.enqueue(drafts, permit, copies)?;
        let answered = timeout_at(deadline, answer).await.map_err(timed_out)?;
        // The committer answers all that it takes; it can only vanish with the runtime.
        Ok(answered.map_err(|_| CommitError::Stopped)??)
    }

    async fn acquire(&self, bytes: usize) -> Result<OwnedSemaphorePermit, CommitError> {
        let most = self.inner.options.max_pending_bytes;
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX).min(most);
        let pending = Arc::clone(&self.inner.pending);
        pending.acquire_many_owned(permits).await.map_err(|_| CommitError::Stopped)
    }

    /// Numbers, queues and encodes. There is no await in between, so a dropped call loses no number.
    fn enqueue(
        &self,
        drafts: Vec<(Topic, Draft)>,
        permit: OwnedSemaphorePermit,
        copies: Option<&mut Vec<Record>>,
    ) -> Result<oneshot::Receiver<Result<Vec<Position>, AppendError>>, CommitError> {
        let (done, answer) = oneshot::channel();
        let sequencer = &self.inner.sequencer;
        let Slot { first_seq, fill } = sequencer.reserve(drafts.len(), Waiter::Commit(done))?;
        let numbered = drafts.into_iter().zip(first_seq..);
        let records: Vec<Record> =
            numbered.map(|((topic, draft), seq)| sequencer.record(topic, draft, seq)).collect();
        if let Some(copies) = copies {
            copies.clone_from(&records);
        }
        let fits = records.iter().try_for_each(Record::check_size);
        let _committer_gone = match &fits {
            Ok(()) => {
                let permit = self.fit(permit, records.iter().map(Record::bytes).sum());
                fill.send(Ok(Encoded { records, permit: Some(permit) }))
            }
            // The numbers are taken: the committer explains them.
            Err(error) => fill.send(Err(error.clone())),
        };
        fits?;
        Ok(answer)
    }

    /// Corrects the permit from the estimate to the real size, as far as that is possible without waiting.
    fn fit(&self, mut permit: OwnedSemaphorePermit, bytes: usize) -> OwnedSemaphorePermit {
        let held = permit.num_permits();
        if bytes < held {
            drop(permit.split(held - bytes));
        } else if let Ok(missing) = u32::try_from(bytes - held)
            && let Ok(more) = Arc::clone(&self.inner.pending).try_acquire_many_owned(missing)
        {
            permit.merge(more);
        }
        permit
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Err: it was stopped in order.
        let _stopped = self.sequencer.close(None);
    }
}

fn own_draft(body: Integrity) -> Draft {
    Draft::new(Context::default().into(), None, Body::Integrity(body))
}

fn nothing_recorded() -> CommitError {
    CommitError::Encode { reason: "nothing would be recorded".to_owned() }
}

fn epoch_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
