//! The one thread that writes: it groups what waits into one transaction and answers when that is durable.

use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use super::EmbeddedError;
use super::dir::LogDir;
use super::failure::CommitFailure;
use super::store::{Span, Store};
use crate::backends::PerTopic;
use crate::{AppendError, Position, ReadError, Record, Topic};

/// Commands that may wait; a further one waits with its caller.
const QUEUE: usize = 64;
/// Bytes after which a transaction is not filled further.
const MAX_GROUP_BYTES: u64 = 4 * 1024 * 1024;
/// How long a drop waits for the writer to finish what it does and to close the database.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) enum Command {
    Append { batch: Vec<Record>, reply: AppendReply },
    Release { topic: Topic, upto: u64, reply: oneshot::Sender<Result<(), ReadError>> },
}

type AppendReply = oneshot::Sender<Result<Vec<Position>, AppendError>>;

/// The handle of the writer thread; dropping it lets the thread finish and waits for that.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Command>>,
    kept: watch::Receiver<PerTopic<Span>>,
    closed: Mutex<std_mpsc::Receiver<()>>,
}

impl Writer {
    pub(super) fn start(store: Store, dir: LogDir) -> Result<Self, EmbeddedError> {
        let database = dir.database();
        let (queue, commands) = mpsc::channel(QUEUE);
        let (publish, kept) = watch::channel(store.kept());
        let (closing, closed) = std_mpsc::channel();
        let run = move || {
            // In this order: the database is closed, the directory is free, the drop may go on.
            let _closing: std_mpsc::Sender<()> = closing;
            let _dir = dir;
            Loop { store, kept: publish }.run(commands);
        };
        let started = thread::Builder::new().name("log-writer".to_owned()).spawn(run);
        started.map_err(|source| EmbeddedError::Io {
            action: "starting the writer of",
            path: database,
            source,
        })?;
        Ok(Self { queue: Some(queue), kept, closed: Mutex::new(closed) })
    }

    pub(super) async fn send(&self, command: Command) -> Result<(), Closed> {
        let queue = self.queue.as_ref().ok_or(Closed)?;
        queue.send(command).await.map_err(|_| Closed)
    }

    /// What is durable and kept; changes after every commit and release.
    pub(super) fn kept(&self) -> watch::Receiver<PerTopic<Span>> {
        self.kept.clone()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        // The thread never sends: it hangs up once the directory is free.
        if self.closed.lock().recv_timeout(CLOSE_WAIT) == Err(std_mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("the log's writer still hangs in the disk; its directory stays locked");
        }
    }
}

/// The writer thread has ended.
#[derive(Debug)]
pub(super) struct Closed;

struct Loop {
    store: Store,
    kept: watch::Sender<PerTopic<Span>>,
}

/// Appends that go into one transaction.
#[derive(Default)]
struct Group {
    batches: Vec<Vec<Record>>,
    replies: Vec<AppendReply>,
    bytes: u64,
}

impl Loop {
    fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(first) = self.next(&mut commands) {
            let mut group = Group::default();
            let mut next = Some(first);
            while let Some(command) = next {
                self.take(command, &mut group);
                next = if group.bytes < MAX_GROUP_BYTES { commands.try_recv().ok() } else { None };
            }
            self.commit(group);
            self.store.checkpoint(false);
            self.store.note_usage();
        }
    }

    /// The next command. Freed space is swept up while there is none.
    fn next(&mut self, commands: &mut mpsc::Receiver<Command>) -> Option<Command> {
        while self.store.has_leftovers() {
            match commands.try_recv() {
                Ok(command) => return Some(command),
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
                Err(mpsc::error::TryRecvError::Empty) => {}
            }
            match self.store.sweep() {
                Ok(_) => {
                    self.store.checkpoint(false);
                    self.store.note_usage();
                }
                Err(error) => {
                    tracing::warn!(%error, "released events could not be deleted; it is tried again later");
                    break;
                }
            }
        }
        commands.blocking_recv()
    }

    fn take(&mut self, command: Command, group: &mut Group) {
        match command {
            // Its caller has gone: nobody waits for it, and it was told that the outcome is unknown.
            Command::Append { reply, .. } if reply.is_closed() => {}
            Command::Append { batch, reply } => {
                let bytes = batch.iter().map(|record| record.bytes() as u64).sum::<u64>();
                let rows = (group.batches.iter().map(Vec::len).sum::<usize>() + batch.len()) as u64;
                match self.store.check_room(group.bytes + bytes, rows) {
                    Ok(()) => {
                        group.bytes += bytes;
                        group.batches.push(batch);
                        group.replies.push(reply);
                    }
                    Err(failure) => {
                        let _gone = reply.send(Err(failure.into()));
                    }
                }
            }
            Command::Release { topic, upto, reply } => {
                let released = self.store.release(topic, upto);
                self.kept.send_replace(self.store.kept());
                let _gone = reply.send(released.map_err(|error| ReadError::Unavailable {
                    reason: format!("nothing was released: {error}"),
                }));
            }
        }
    }

    fn commit(&mut self, group: Group) {
        if group.batches.is_empty() {
            return;
        }
        let batches: Vec<&[Record]> = group.batches.iter().map(Vec::as_slice).collect();
        match self.store.commit(&batches) {
            Ok(positions) => {
                self.kept.send_replace(self.store.kept());
                for (reply, positions) in group.replies.into_iter().zip(positions) {
                    let _gone = reply.send(Ok(positions));
                }
            }
            Err(failure) => {
                self.kept.send_replace(self.store.kept());
                let error = AppendError::from(failure);
                for reply in group.replies {
                    let _gone = reply.send(Err(error.clone()));
                }
            }
        }
    }
}

impl From<CommitFailure> for AppendError {
    fn from(CommitFailure { certain, reason }: CommitFailure) -> Self {
        if certain { Self::Refused { reason } } else { Self::Unknown { reason } }
    }
}
