//! Writing: one at a time, on the thread of whoever appends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;

use super::dir::LogDir;
use super::store::{Span, Store};
use crate::backends::PerTopic;
use crate::{AppendError, Position, ReadError, Record, Topic};

/// How long a release waits for an append that is at the disk.
const RELEASE_WAIT: Duration = Duration::from_secs(5);

/// The store behind its lock. The directory is free once this is dropped.
#[derive(Debug)]
pub(super) struct Writer {
    store: Mutex<Store>,
    kept: PerTopic<watch::Sender<Span>>,
    /// As the store said last: who asks does not wait for the disk.
    short_of_room: AtomicBool,
    /// Dropped last: the database is closed before another process may open it.
    _dir: LogDir,
}

impl Writer {
    pub(super) fn new(mut store: Store, dir: LogDir) -> Self {
        let PerTopic { audit, control } = store.kept();
        let kept =
            PerTopic { audit: watch::Sender::new(audit), control: watch::Sender::new(control) };
        let short_of_room = AtomicBool::new(store.is_short_of_room());
        Self { store: Mutex::new(store), kept, short_of_room, _dir: dir }
    }

    /// One transaction; durable when it returns `Ok`. Blocks on the disk.
    pub(super) fn append(&self, batch: &[Record]) -> Result<Vec<Position>, AppendError> {
        let bytes = batch.iter().map(|record| record.bytes() as u64).sum();
        let mut store = self.store.lock();
        if let Err(full) = store.check_room(bytes, batch.len() as u64) {
            self.note_room(&mut store);
            return Err(full.into());
        }
        let committed = store.commit(batch);
        self.tell(store.kept());
        Ok(committed?)
    }

    /// What may wait until those who appended have their answer.
    pub(super) fn checkpoint(&self) {
        let mut store = self.store.lock();
        store.checkpoint(false);
        store.note_usage();
        self.note_room(&mut store);
    }

    /// Whether what is kept elsewhere has to go now for appends to pass.
    pub(super) fn is_short_of_room(&self) -> bool {
        self.short_of_room.load(Ordering::Relaxed)
    }

    fn note_room(&self, store: &mut Store) {
        self.short_of_room.store(store.is_short_of_room(), Ordering::Relaxed);
    }

    /// Forgets the offsets below `upto`, then frees their space slice by slice, so that appends come in between.
    pub(super) fn release(&self, topic: Topic, upto: u64) -> Result<(), ReadError> {
        let unavailable = |reason: String| ReadError::Unavailable { reason };
        let busy =
            || unavailable("nothing was released: an append is still at the disk".to_owned());
        let mut store = self.store.try_lock_for(RELEASE_WAIT).ok_or_else(busy)?;
        let released = store.release(topic, upto);
        self.tell(store.kept());
        released.map_err(|error| unavailable(format!("nothing was released: {error}")))?;
        while store.has_leftovers() {
            if let Err(error) = store.sweep() {
                tracing::warn!(%error, "released events could not be deleted; it is tried again later");
                break;
            }
            store.checkpoint(false);
            store.note_usage();
            self.note_room(&mut store);
            // An append that waits has the next turn. One that hangs at the disk must not hold this thread too.
            MutexGuard::unlock_fair(store);
            let Some(next) = self.store.try_lock_for(RELEASE_WAIT) else { break };
            store = next;
        }
        Ok(())
    }

    /// Wakes those who follow a topic that has something new, and nobody else: most appends are to one of them.
    fn tell(&self, kept: PerTopic<Span>) {
        for topic in Topic::ALL {
            let now = *kept.get(topic);
            self.kept.get(topic).send_if_modified(|span| std::mem::replace(span, now) != now);
        }
    }

    /// What is durable and kept of a topic; changes after every commit and release.
    pub(super) fn kept(&self, topic: Topic) -> watch::Receiver<Span> {
        self.kept.get(topic).subscribe()
    }
}

/// Runs what blocks where that does no harm, for as long as the caller waits.
pub(super) async fn release(
    writer: &Arc<Writer>,
    topic: Topic,
    upto: u64,
) -> Result<(), ReadError> {
    let writer = Arc::clone(writer);
    let released = tokio::task::spawn_blocking(move || writer.release(topic, upto)).await;
    released.unwrap_or_else(|ended| {
        Err(ReadError::Unavailable { reason: format!("nothing was released: {ended}") })
    })
}
