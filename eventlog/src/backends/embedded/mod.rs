//! The log of one machine: one directory, SQLite in write-ahead mode, one writer at a time.
//!
//! What it promises beyond [`Log`]: offsets are dense from 0, one partition per topic, an append is all or nothing, and
//! what is read back from the disk was checked against a CRC-32 that was stored with it. What one commit puts on a topic
//! is stored as compressed blocks; what was appended last is read from memory.
//!
//! An append does its work on the thread that polls it, down to the sync of the disk. [`crate::Appender`] gives it a
//! thread of its own ([`Log::append_blocks`]) and groups what its sessions commit: between them and the disk there is
//! one change of threads each way.
//!
//! | file | what it is |
//! |---|---|
//! | `LOCK` | held (`flock`) by the process that has the log open |
//! | `events.db`, `-wal` | the SQLite database, no other program's while it is open |
//! | `acknowledged` | the next offsets as of the last acknowledged append: shows a loss, see [`mark`] |

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout_at;

use super::{no_such_partition, read_deadline};
use crate::{AppendError, EmbeddedOptions, Entry, Log, LogId, Position, ReadError, Record, Topic};

mod block;
mod dir;
mod failure;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod mark;
mod placing;
mod reader;
mod recent;
mod schema;
mod store;
mod usage;
mod writer;

#[cfg(test)]
mod tests;

use reader::Readers;
use writer::Writer;

/// One partition per topic.
const PARTITIONS: u32 = 1;

/// The embedded log. Dropping it closes the database and frees the directory.
#[derive(Debug)]
pub struct EmbeddedLog {
    id: LogId,
    writer: Arc<Writer>,
    readers: Arc<Readers>,
}

/// The embedded log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// Another process, or this one, has it open.
    #[error(
        "the log in {} is in use{}; stop the service that has it open, or give this one another \
         directory", dir.display(), holder.map_or_else(String::new, |pid| format!(" by process {pid}"))
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The process that has it open, as far as it can be told.
        holder: Option<u32>,
    },
    /// The directory or a file in it cannot be made or opened.
    #[error(
        "{action} {} failed: {source}; the service's user must own the directory", path.display()
    )]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// SQLite cannot open the database, or not as it must be.
    #[error(
        "the log database {} cannot be opened: {reason}; keep a copy before you repair or replace it",
        path.display()
    )]
    Database {
        /// The database file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl EmbeddedLog {
    /// Opens the log in a directory, made when it is absent.
    ///
    /// # Errors
    /// See [`EmbeddedError`]. A log that lost its tail in a crash opens; what was acknowledged before the cut is kept.
    ///
    /// # Cancel safety
    /// A dropped call may leave a made directory behind, and nothing else.
    pub async fn open(options: EmbeddedOptions) -> Result<Self, EmbeddedError> {
        let path = options.dir.clone();
        let opened = tokio::task::spawn_blocking(move || Self::open_blocking(&options)).await;
        opened.unwrap_or_else(|stopped| {
            Err(EmbeddedError::Database { path, reason: stopped.to_string() })
        })
    }

    fn open_blocking(options: &EmbeddedOptions) -> Result<Self, EmbeddedError> {
        let dir = dir::LogDir::open(&options.dir)?;
        let database = dir.database();
        let store = store::Store::open(&dir, options.max_bytes)?;
        let id = store.id().clone();
        let readers = Readers::new(database, Arc::clone(store.recent()), store.lost().clone());
        let writer = Arc::new(Writer::new(store, dir));
        Ok(Self { id, writer, readers: Arc::new(readers) })
    }
}

#[async_trait]
impl Log for EmbeddedLog {
    fn id(&self) -> &LogId {
        &self.id
    }

    async fn append(&self, batch: Vec<Record>) -> Result<Vec<Position>, AppendError> {
        batch.iter().try_for_each(Record::check_size)?;
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.writer.append(&batch)
    }

    fn append_blocks(&self) -> bool {
        true
    }

    fn upkeep(&self) {
        self.writer.checkpoint();
    }

    fn is_short_of_room(&self) -> bool {
        self.writer.is_short_of_room()
    }

    fn partitions(&self, _topic: Topic) -> u32 {
        PARTITIONS
    }

    fn lost(&self, topic: Topic) -> Vec<(u64, u64)> {
        self.readers.lost(topic).to_vec()
    }

    async fn read(
        &self,
        topic: Topic,
        from: Position,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Vec<Entry>, ReadError> {
        check_partition(topic, from.partition)?;
        let deadline = read_deadline(wait);
        let mut kept = self.writer.kept(topic);
        loop {
            let span = *kept.borrow_and_update();
            check_kept(from, span.earliest)?;
            if from.offset < span.next {
                let read = self.readers.read(topic, from.offset..span.next, max_bytes).await;
                // Released while it was read: what is missing then is no damage.
                check_kept(from, kept.borrow().earliest)?;
                let entries = read?;
                if !entries.is_empty() {
                    return Ok(entries);
                }
            }
            let Ok(Ok(())) = timeout_at(deadline, kept.changed()).await else {
                return Ok(Vec::new());
            };
        }
    }

    async fn earliest(&self, topic: Topic, partition: u32) -> Result<u64, ReadError> {
        check_partition(topic, partition)?;
        Ok(self.writer.kept(topic).borrow().earliest)
    }

    async fn latest(&self, topic: Topic, partition: u32) -> Result<u64, ReadError> {
        check_partition(topic, partition)?;
        Ok(self.writer.kept(topic).borrow().next)
    }

    async fn release(&self, topic: Topic, upto: Position) -> Result<(), ReadError> {
        check_partition(topic, upto.partition)?;
        writer::release(&self.writer, topic, upto.offset).await
    }
}

fn check_partition(topic: Topic, partition: u32) -> Result<(), ReadError> {
    if partition < PARTITIONS {
        Ok(())
    } else {
        Err(no_such_partition(topic, partition, PARTITIONS))
    }
}

fn check_kept(from: Position, earliest: u64) -> Result<(), ReadError> {
    if from.offset < earliest {
        return Err(ReadError::Truncated {
            partition: from.partition,
            wanted: from.offset,
            earliest,
        });
    }
    Ok(())
}
