//! A log that fails on request, around any other: for tests only.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{AppendError, Entry, Log, LogId, Position, ReadError, Record, Topic};

/// How an append fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It answers [`AppendError::Refused`].
    Refuse,
    /// It answers [`AppendError::Unknown`].
    Unknown,
    /// It answers nothing until [`FaultLog::release_hung`]: then the positions when it persisted, else
    /// [`AppendError::Refused`].
    Hang,
    /// It answers late.
    Delay(Duration),
}

/// What the next appends meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How they fail.
    pub kind: FaultKind,
    /// Whether the records are on the log all the same. A refusal that persists breaks the contract of [`Log`], on
    /// purpose; a delay that does not persist ends as refused.
    pub persisted: bool,
    /// How many appends meet it; [`Fault::ALWAYS`] for all until [`FaultLog::clear`].
    pub count: u32,
}

impl Fault {
    /// For all appends.
    pub const ALWAYS: u32 = u32::MAX;

    /// For the next append.
    #[must_use]
    pub const fn once(kind: FaultKind, persisted: bool) -> Self {
        Self { kind, persisted, count: 1 }
    }

    /// For all appends.
    #[must_use]
    pub const fn always(kind: FaultKind, persisted: bool) -> Self {
        Self { kind, persisted, count: Self::ALWAYS }
    }
}

/// One append that was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its records.
    pub records: Vec<Record>,
    /// What it met.
    pub fault: Option<Fault>,
}

/// The last so many appends are remembered.
const MAX_ASKED: usize = 65_536;

/// A log around `inner` that fails as it is told. Without faults it is `inner`.
#[derive(Debug)]
pub struct FaultLog {
    inner: Arc<dyn Log>,
    state: Mutex<State>,
    /// Counts releases.
    released: watch::Sender<u64>,
    /// Counts appends that hang now.
    hanging: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    faults: VecDeque<Fault>,
    failing_reads: u32,
    asked: VecDeque<Asked>,
}

/// Counts down when a hanging append ends or is dropped.
struct Hanging<'a>(&'a watch::Sender<usize>);

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl FaultLog {
    /// Wraps a log.
    #[must_use]
    pub fn new(inner: Arc<dyn Log>) -> Self {
        Self {
            inner,
            state: Mutex::default(),
            released: watch::Sender::new(0),
            hanging: watch::Sender::new(0),
        }
    }

    /// Adds a fault behind those that are set.
    pub fn set(&self, fault: Fault) {
        self.state.lock().faults.push_back(fault);
    }

    /// Forgets all faults. What hangs goes on hanging.
    pub fn clear(&self) {
        let mut state = self.state.lock();
        state.faults.clear();
        state.failing_reads = 0;
    }

    /// Lets all appends that hang now answer.
    pub fn release_hung(&self) {
        self.released.send_modify(|count| *count += 1);
    }

    /// Lets the next `count` reads fail.
    pub fn fail_reads(&self, count: u32) {
        self.state.lock().failing_reads = count;
    }

    /// The appends that were asked for, oldest first; the last 65,536.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.state.lock().asked.iter().cloned().collect()
    }

    /// The log inside.
    #[must_use]
    pub fn inner(&self) -> &Arc<dyn Log> {
        &self.inner
    }

    /// Waits until at least `count` appends hang.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait_hanging(&self, count: usize) {
        let mut hanging = self.hanging.subscribe();
        // The sender lives as long as `self`.
        let _seen = hanging.wait_for(|now| *now >= count).await;
    }

    fn next_fault(&self, records: &[Record]) -> Option<Fault> {
        let mut state = self.state.lock();
        let fault = state.faults.front_mut().map(|fault| {
            if fault.count != Fault::ALWAYS {
                fault.count = fault.count.saturating_sub(1);
            }
            *fault
        });
        if fault.is_some_and(|fault| fault.count == 0) {
            state.faults.pop_front();
        }
        if state.asked.len() >= MAX_ASKED {
            state.asked.pop_front();
        }
        state.asked.push_back(Asked { records: records.to_vec(), fault });
        fault
    }

    async fn hang(&self) {
        let mut released = self.released.subscribe();
        self.hanging.send_modify(|count| *count += 1);
        let _hanging = Hanging(&self.hanging);
        let _released = released.changed().await;
    }

    fn check_read(&self) -> Result<(), ReadError> {
        let mut state = self.state.lock();
        if state.failing_reads == 0 {
            return Ok(());
        }
        state.failing_reads -= 1;
        Err(ReadError::Unavailable { reason: "a fault was set for this read".to_owned() })
    }
}

#[async_trait]
impl Log for FaultLog {
    fn id(&self) -> &LogId {
        self.inner.id()
    }

    async fn append(&self, batch: Vec<Record>) -> Result<Vec<Position>, AppendError> {
        let Some(fault) = self.next_fault(&batch) else {
            return self.inner.append(batch).await;
        };
        let refused =
            || AppendError::Refused { reason: "a fault was set for this append".to_owned() };
        // What persists does so before the caller can learn anything, and stays when the call is dropped.
        let outcome = if fault.persisted { self.inner.append(batch).await } else { Err(refused()) };
        match fault.kind {
            FaultKind::Refuse => Err(refused()),
            FaultKind::Unknown => {
                Err(AppendError::Unknown { reason: "a fault was set for this append".to_owned() })
            }
            FaultKind::Hang => {
                self.hang().await;
                outcome
            }
            FaultKind::Delay(time) => {
                tokio::time::sleep(time).await;
                outcome
            }
        }
    }

    fn append_blocks(&self) -> bool {
        self.inner.append_blocks()
    }

    fn upkeep(&self) {
        self.inner.upkeep();
    }

    fn is_short_of_room(&self) -> bool {
        self.inner.is_short_of_room()
    }

    fn partitions(&self, topic: Topic) -> u32 {
        self.inner.partitions(topic)
    }

    async fn partitions_now(&self, topic: Topic) -> Result<u32, ReadError> {
        self.inner.partitions_now(topic).await
    }

    fn lost(&self, topic: Topic) -> Vec<(u64, u64)> {
        self.inner.lost(topic)
    }

    async fn read(
        &self,
        topic: Topic,
        from: Position,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Vec<Entry>, ReadError> {
        self.check_read()?;
        self.inner.read(topic, from, max_bytes, wait).await
    }

    async fn earliest(&self, topic: Topic, partition: u32) -> Result<u64, ReadError> {
        self.inner.earliest(topic, partition).await
    }

    async fn latest(&self, topic: Topic, partition: u32) -> Result<u64, ReadError> {
        self.inner.latest(topic, partition).await
    }

    async fn release(&self, topic: Topic, upto: Position) -> Result<(), ReadError> {
        self.inner.release(topic, upto).await
    }
}
