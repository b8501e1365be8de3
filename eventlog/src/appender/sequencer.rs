//! Gives out numbers and keeps what was numbered in that order.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use tallyport_schemas::{Draft, Producer, ProducerId, ocsf};
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::CommitError;
use super::gaps::Gap;
use crate::log::{AppendError, Position, Record, Topic};

/// The numbers of one epoch and the queue of what has one.
///
/// A number and its place in the queue are taken under one lock, so the queue is dense and in order. What is queued is
/// bounded by the permits that its items hold, not by its length.
#[derive(Debug)]
pub(super) struct Sequencer {
    producer: ProducerId,
    epoch: u64,
    intake: Mutex<Intake>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Intake {
    next_seq: u64,
    queue: VecDeque<Item>,
    closed: bool,
    /// Who asked for the end, and until when it must have come.
    stop: Option<Stop>,
}

/// Until when the epoch must have ended, and who waits for it.
pub(super) type Stop = (Instant, oneshot::Sender<Result<(), CommitError>>);

/// Numbers that were taken together.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) first_seq: u64,
    pub(super) count: u64,
    /// The records, encoded by whoever took the numbers; gone when encoding died.
    pub(super) encoded: oneshot::Receiver<Result<Encoded, AppendError>>,
    pub(super) waiter: Waiter,
}

/// Encoded records, and their share of the bytes that may wait.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) records: Vec<Record>,
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// Who learns the outcome.
#[derive(Debug)]
pub(super) enum Waiter {
    Commit(oneshot::Sender<Result<Vec<Position>, AppendError>>),
    /// The committer itself: these gaps are explained by the item.
    Explanation(Vec<Gap>),
}

/// Numbers from `first_seq` on; `fill` takes their records.
pub(super) struct Slot {
    pub(super) first_seq: u64,
    pub(super) fill: oneshot::Sender<Result<Encoded, AppendError>>,
}

/// What the committer finds.
pub(super) enum Next {
    Item(Item),
    /// Nothing came until the deadline.
    Idle,
    /// Nothing will come any more.
    End(Option<Stop>),
}

impl Sequencer {
    pub(super) fn new(producer: ProducerId, epoch: u64) -> Self {
        Self { producer, epoch, intake: Mutex::default(), arrived: Notify::new() }
    }

    pub(super) const fn producer(&self) -> &ProducerId {
        &self.producer
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn next_seq(&self) -> u64 {
        self.intake.lock().next_seq
    }

    /// Takes the next `count` numbers and their place in the queue. The caller must fill the slot without awaiting.
    pub(super) fn reserve(&self, count: usize, waiter: Waiter) -> Result<Slot, CommitError> {
        let (fill, encoded) = oneshot::channel();
        let mut intake = self.intake.lock();
        if intake.closed {
            return Err(CommitError::Stopped);
        }
        let first_seq = intake.take(count as u64);
        intake.queue.push_back(Item { first_seq, count: count as u64, encoded, waiter });
        drop(intake);
        self.arrived.notify_one();
        Ok(Slot { first_seq, fill })
    }

    /// Takes numbers outside the queue: only for the committer, once nothing is queued any more.
    pub(super) fn take_last(&self, count: usize) -> u64 {
        self.intake.lock().take(count as u64)
    }

    /// Takes no further commits.
    pub(super) fn close(&self, stop: Option<Stop>) -> Result<(), CommitError> {
        let mut intake = self.intake.lock();
        if intake.closed {
            return Err(CommitError::Stopped);
        }
        intake.closed = true;
        intake.stop = stop;
        drop(intake);
        self.arrived.notify_one();
        Ok(())
    }

    pub(super) fn try_pop(&self) -> Option<Item> {
        self.intake.lock().queue.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.intake.lock().queue.is_empty()
    }

    /// Waits for the next item. Only one task may call it.
    pub(super) async fn next(&self, deadline: Option<Instant>) -> Next {
        loop {
            {
                let mut intake = self.intake.lock();
                if let Some(item) = intake.queue.pop_front() {
                    return Next::Item(item);
                }
                if intake.closed {
                    return Next::End(intake.stop.take());
                }
            }
            // `notify_one` stores its permit, so what arrives before this await is not missed.
            match deadline {
                None => self.arrived.notified().await,
                Some(deadline) => {
                    if tokio::time::timeout_at(deadline, self.arrived.notified()).await.is_err() {
                        return Next::Idle;
                    }
                }
            }
        }
    }

    /// The record of `draft` at number `seq`.
    pub(super) fn record(&self, topic: Topic, draft: Draft, seq: u64) -> Record {
        let key = draft.context.session_id.map_or_else(
            || Bytes::copy_from_slice(self.producer.as_str().as_bytes()),
            |session| Bytes::from(session.to_string()),
        );
        let producer = Producer { id: self.producer.clone(), epoch: self.epoch, seq };
        Record { topic, key, value: Bytes::from(ocsf::encode(&draft.at(producer))) }
    }
}

impl Intake {
    const fn take(&mut self, count: u64) -> u64 {
        let first = self.next_seq;
        self.next_seq += count;
        first
    }
}
