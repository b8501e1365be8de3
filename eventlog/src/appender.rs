//! The one way onto the log: many sessions commit, one task appends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tallyport_schemas::{Body, Context, Draft, GapOutcome, Integrity, Producer, ProducerId, ocsf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::durable::Durable;
use crate::log::{AppendError, Log, Position, Record, Topic};

/// A value that stands for something about to pass, and the events that record it.
pub trait Auditable {
    /// The events, in the order in which they go onto the log. Derived from the value alone, so that what is on
    /// record is what passes.
    fn drafts(&self) -> Vec<Draft>;

    /// Where the events go.
    fn topic(&self) -> Topic {
        Topic::Audit
    }
}

impl Auditable for Draft {
    fn drafts(&self) -> Vec<Draft> {
        vec![self.clone()]
    }
}

/// Bounds of an [`Appender`].
#[derive(Clone, Copy, Debug)]
pub struct AppenderOptions {
    /// The longest a commit waits before it gives up.
    pub max_wait: Duration,
    /// Bytes of events that may wait for the log; a commit beyond it waits too, then fails.
    pub max_pending_bytes: u32,
    /// Bytes after which a batch is not filled further.
    pub max_batch_bytes: usize,
}

impl Default for AppenderOptions {
    fn default() -> Self {
        Self {
            max_wait: Duration::from_secs(5),
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
#[derive(Clone, Debug)]
pub struct Appender {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    producer: ProducerId,
    epoch: u64,
    next_seq: AtomicU64,
    options: AppenderOptions,
    pending: Arc<Semaphore>,
    queue: Mutex<Option<mpsc::UnboundedSender<Item>>>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

/// Records of one commit. The queue is bounded by the permits, not by its length.
struct Item {
    first_seq: u64,
    records: Vec<Record>,
    done: oneshot::Sender<Result<Vec<Position>, AppendError>>,
    _permit: OwnedSemaphorePermit,
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
        let epoch = u64::try_from(jiff_now_us()).unwrap_or_default();
        let (queue, items) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            producer,
            epoch,
            next_seq: AtomicU64::new(0),
            options,
            pending: Arc::new(Semaphore::new(options.max_pending_bytes as usize)),
            queue: Mutex::new(Some(queue)),
            committer: Mutex::new(None),
        });
        let committer =
            Committer { log, shared: Arc::downgrade(&shared), gaps: Vec::new(), options };
        *shared.committer.lock() = Some(tokio::spawn(committer.run(items)));
        let appender = Self { shared };
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
    /// A dropped call may still put the events on the log; the value does not pass, since no proof was minted.
    pub async fn commit<T: Auditable>(&self, value: T) -> Result<Durable<T>, CommitError> {
        let deadline = Instant::now() + self.shared.options.max_wait;
        let timed_out = |_| CommitError::TimedOut { waited: self.shared.options.max_wait };
        let drafts = value.drafts();
        if drafts.is_empty() {
            return Err(CommitError::Encode { reason: "nothing would be recorded".to_owned() });
        }
        let weight =
            drafts.iter().map(weight_bytes).sum::<u32>().min(self.shared.options.max_pending_bytes);
        let permit =
            timeout_at(deadline, Arc::clone(&self.shared.pending).acquire_many_owned(weight))
                .await
                .map_err(timed_out)?
                .map_err(|_| CommitError::Stopped)?;
        let answer = self.enqueue(value.topic(), drafts, permit)?;
        let positions = timeout_at(deadline, answer)
            .await
            .map_err(timed_out)?
            .map_err(|_| CommitError::Stopped)??;
        Ok(Durable::mint(value, positions))
    }

    /// Records the end of the epoch, waits for all that is queued, and stops.
    ///
    /// # Errors
    /// When the log does not take the last event.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may leave the epoch without its last event.
    pub async fn stop(&self) -> Result<(), CommitError> {
        let events = self.shared.next_seq.load(Ordering::Acquire).saturating_add(1);
        let last = self.commit(own_draft(Integrity::ProducerStopped { events })).await;
        drop(self.shared.queue.lock().take());
        let committer = self.shared.committer.lock().take();
        if let Some(task) = committer {
            let _joined = tokio::time::timeout(self.shared.options.max_wait, task).await;
        }
        last.map(|_| ())
    }

    /// Numbers, encodes and queues; between the number and the queue there is no await, so no number is lost.
    fn enqueue(
        &self,
        topic: Topic,
        drafts: Vec<Draft>,
        permit: OwnedSemaphorePermit,
    ) -> Result<oneshot::Receiver<Result<Vec<Position>, AppendError>>, CommitError> {
        let queue = self.shared.queue.lock().clone().ok_or(CommitError::Stopped)?;
        let first_seq = self.shared.next_seq.fetch_add(drafts.len() as u64, Ordering::AcqRel);
        let records = drafts
            .into_iter()
            .zip(first_seq..)
            .map(|(draft, seq)| self.shared.record(topic, draft, seq))
            .collect();
        let (done, answer) = oneshot::channel();
        queue
            .send(Item { first_seq, records, done, _permit: permit })
            .map_err(|_| CommitError::Stopped)?;
        Ok(answer)
    }
}

impl Shared {
    fn record(&self, topic: Topic, draft: Draft, seq: u64) -> Record {
        let key = draft.context.session_id.map_or_else(
            || Bytes::copy_from_slice(self.producer.as_str().as_bytes()),
            |session| Bytes::from(session.to_string()),
        );
        let producer = Producer { id: self.producer.clone(), epoch: self.epoch, seq };
        Record { topic, key, value: Bytes::from(ocsf::encode(&draft.at(producer))) }
    }
}

struct Committer {
    log: Arc<dyn Log>,
    shared: std::sync::Weak<Shared>,
    /// Failed ranges that the log does not explain yet. Neighbours are merged, so that it stays short.
    gaps: Vec<Gap>,
    options: AppenderOptions,
}

struct Gap {
    first_seq: u64,
    last_seq: u64,
    outcome: GapOutcome,
    reason: String,
}

impl Committer {
    async fn run(mut self, mut items: mpsc::UnboundedReceiver<Item>) {
        while let Some(first) = items.recv().await {
            let mut bytes = first.bytes();
            let mut group = vec![first];
            while bytes < self.options.max_batch_bytes {
                let Ok(item) = items.try_recv() else { break };
                bytes += item.bytes();
                group.push(item);
            }
            self.append(group).await;
        }
    }

    async fn append(&mut self, mut group: Vec<Item>) {
        let explained = self.gaps.len();
        let mut batch = self.explanations();
        let own = batch.len();
        for item in &mut group {
            batch.append(&mut item.records.iter().cloned().collect());
        }
        // A crash right here leaves some or all of the batch on the log and nobody was told: nothing has passed.
        match self.log.append(batch).await {
            Ok(positions) => {
                self.gaps.drain(..explained);
                let mut positions = positions.into_iter().skip(own);
                for item in group {
                    let taken = positions.by_ref().take(item.records.len()).collect();
                    let _gone = item.done.send(Ok(taken));
                }
            }
            Err(error) => {
                for item in group {
                    self.remember(&item, &error);
                    let _gone = item.done.send(Err(error.clone()));
                }
            }
        }
    }

    /// Events that explain the failed ranges, each with a number of its own.
    fn explanations(&self) -> Vec<Record> {
        let Some(shared) = self.shared.upgrade() else { return Vec::new() };
        let explain = |gap: &Gap| {
            let seq = shared.next_seq.fetch_add(1, Ordering::AcqRel);
            let gap = Integrity::Gap {
                first_seq: gap.first_seq,
                last_seq: gap.last_seq,
                outcome: gap.outcome,
                reason: gap.reason.clone(),
            };
            shared.record(Topic::Audit, own_draft(gap), seq)
        };
        self.gaps.iter().map(explain).collect()
    }

    fn remember(&mut self, item: &Item, error: &AppendError) {
        let last_seq = item.first_seq + (item.records.len() as u64).saturating_sub(1);
        let (outcome, reason) = match error {
            AppendError::Refused { reason } => (GapOutcome::NotPersisted, reason),
            AppendError::Unknown { reason } => (GapOutcome::Unknown, reason),
        };
        self.gaps.push(Gap {
            first_seq: item.first_seq,
            last_seq,
            outcome,
            reason: reason.clone(),
        });
    }
}

impl Item {
    fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.value.len()).sum()
    }
}

fn own_draft(body: Integrity) -> Draft {
    Draft::new(Arc::new(Context::default()), None, Body::Integrity(body))
}

/// What an event will weigh on the log, roughly and rather too much.
fn weight_bytes(draft: &Draft) -> u32 {
    const ENVELOPE_BYTES: usize = 4 * 1024;
    let detail = match &draft.body {
        Body::Command(command) => {
            command.statement.as_ref().map_or(0, |text| text.len() * 2)
                + command.content.as_ref().map_or(0, |content| content.data.len() * 2)
        }
        Body::Response(_) => 2 * tallyport_schemas::Content::MAX_BYTES,
        Body::Query(query) => query.sql.len() * 2,
        _ => 0,
    };
    u32::try_from(ENVELOPE_BYTES + detail).unwrap_or(u32::MAX)
}

fn jiff_now_us() -> i64 {
    Draft::new(
        Arc::new(Context::default()),
        None,
        Body::Integrity(Integrity::ProducerStopped { events: 0 }),
    )
    .time
    .as_microsecond()
}
