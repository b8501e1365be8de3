//! What happened in a run, in one order: seen at the gateways' logs, at the target, and at the ends of the tunnels.
//!
//! A gateway's log is tapped, so it is known when it was handed an event of the control topic, and when it had taken it in:
//! it asks for the next one then. In between it may know of it or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::Value;
use tallyport_eventlog::faults::FaultLog;
use tallyport_eventlog::{AppendError, Entry, Log, LogId, Position, ReadError, Record, Topic};
use tallyport_schemas::TraceId;

/// A gateway, by the order of their starts.
pub type Node = u64;
/// A session, by the order of their openings.
pub type Label = u64;

#[derive(Clone, Debug)]
pub enum What {
    /// A gateway starts; the control log is so long.
    Started(Node, u64),
    /// A gateway is asked to stop.
    Stopping(Node),
    /// A gateway was handed the control log up to here.
    Handed(Node, u64),
    /// A gateway has taken in the control log up to here.
    Taken(Node, u64),
    /// The audit log confirmed these.
    Put(Vec<Bytes>),
    /// The log did not confirm.
    Failed(Node),
    /// Somebody asks to come in.
    Opening(Opening),
    /// They are let in.
    LetIn(Label),
    /// They are not: status and code.
    Refused(Label, u16, &'static str),
    /// The first packet of a session is sent.
    Starting(Label),
    /// The client leaves.
    Left(Label),
    /// The gateway is done with it.
    Over(Label),
    /// A gateway logged in to a target: for a session, or to read the catalog.
    Dialled(Node, String, Option<Label>),
    /// The target was asked to run this.
    Ran(String),
    /// The agent was sent bytes, the first of which is this.
    Told(Label, u8),
    /// The API was asked.
    Asked(Asked),
    /// And answered: status and body.
    Answered(u64, u16, Value),
}

#[derive(Clone, Debug)]
pub struct Opening {
    pub label: Label,
    pub node: Node,
    pub who: &'static str,
    pub target: &'static str,
    pub trace_id: TraceId,
}

#[derive(Clone, Debug)]
pub struct Asked {
    pub call: u64,
    pub node: Node,
    pub who: &'static str,
    pub path: String,
    pub body: Option<Value>,
}

#[derive(Clone, Debug)]
pub struct Noted {
    pub at: Timestamp,
    pub what: What,
}

#[derive(Debug, Default)]
pub struct Journal(Mutex<Vec<Noted>>);

impl Journal {
    pub fn note(&self, what: What) {
        let mut all = self.0.lock();
        all.push(Noted { at: Timestamp::now(), what });
    }

    pub fn all(&self) -> Vec<Noted> {
        self.0.lock().clone()
    }

    /// Whether this gateway has taken in so much of the control log.
    pub fn has_taken(&self, node: Node, upto: u64) -> bool {
        let all = self.0.lock();
        let taken =
            |noted: &Noted| matches!(noted.what, What::Taken(at, to) if at == node && to >= upto);
        all.iter().rev().any(taken)
    }
}

/// The control log is handed out in pieces of a few events, as a long one would be.
const PIECE_BYTES: usize = 8 * 1024;

/// The log as one gateway sees it.
#[derive(Debug)]
pub struct Tap {
    pub log: Arc<FaultLog>,
    pub node: Node,
    pub journal: Arc<Journal>,
    /// How late it is handed what comes next, in microseconds; half of that with the piece after it, and so on.
    pub lag: Arc<AtomicU64>,
}

#[async_trait]
impl Log for Tap {
    fn id(&self) -> &LogId {
        self.log.id()
    }

    async fn append(&self, batch: Vec<Record>) -> Result<Vec<Position>, AppendError> {
        let audit = batch.iter().filter(|record| record.topic == Topic::Audit);
        let values = audit.map(|record| record.value.clone()).collect();
        let outcome = self.log.append(batch).await;
        self.journal.note(match outcome {
            Ok(_) => What::Put(values),
            Err(_) => What::Failed(self.node),
        });
        outcome
    }

    fn partitions(&self, topic: Topic) -> u32 {
        self.log.partitions(topic)
    }

    async fn read(
        &self,
        topic: Topic,
        from: Position,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Vec<Entry>, ReadError> {
        if topic != Topic::Control {
            return self.log.read(topic, from, max_bytes, wait).await;
        }
        self.journal.note(What::Taken(self.node, from.offset));
        let entries = self.log.read(topic, from, max_bytes.min(PIECE_BYTES), wait).await?;
        if let Some(last) = entries.last() {
            let lag = self.lag.load(Ordering::Relaxed);
            self.lag.store(lag / 2, Ordering::Relaxed);
            if lag > 0 {
                tokio::time::sleep(Duration::from_micros(lag)).await;
            }
            self.journal.note(What::Handed(self.node, last.position.offset + 1));
        }
        Ok(entries)
    }

    async fn earliest(&self, topic: Topic, partition: u32) -> Result<u64, ReadError> {
        self.log.earliest(topic, partition).await
    }

    async fn latest(&self, topic: Topic, partition: u32) -> Result<u64, ReadError> {
        self.log.latest(topic, partition).await
    }

    async fn release(&self, topic: Topic, upto: Position) -> Result<(), ReadError> {
        self.log.release(topic, upto).await
    }
}
