//! One suite for every backend: what [`Log`] promises, as far as a caller can see it. For tests only.
//!
//! Durability against crashes and power is each backend's own matter and has tests of its own.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Entry, Log, Position, Record, Topic};

mod appends;
mod reads;
mod upkeep;

/// Makes logs of one backend.
#[async_trait]
pub trait Fixture: Debug + Send + Sync {
    /// A new, empty log.
    ///
    /// # Errors
    /// When it cannot be made.
    async fn fresh(&self) -> Result<Arc<dyn Log>, Violation>;

    /// Closes a log and opens the same one again; `None` where the backend forgets.
    ///
    /// # Errors
    /// When it cannot be opened.
    async fn reopen(&self, log: Arc<dyn Log>) -> Result<Option<Arc<dyn Log>>, Violation>;

    /// Whether [`Log::release`] drops records.
    fn releases(&self) -> bool {
        true
    }
}

/// A backend does not keep a promise.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Violation(String);

impl Violation {
    /// With what was seen.
    #[must_use]
    pub fn new(seen: impl Display) -> Self {
        Self(seen.to_string())
    }

    fn in_case(self, case: &str) -> Self {
        Self(format!("{case}: {}", self.0))
    }
}

impl From<crate::AppendError> for Violation {
    fn from(error: crate::AppendError) -> Self {
        Self::new(error)
    }
}

impl From<crate::ReadError> for Violation {
    fn from(error: crate::ReadError) -> Self {
        Self::new(error)
    }
}

type Outcome = Result<(), Violation>;

macro_rules! ensure {
    ($held:expr, $($seen:tt)+) => {
        if !$held {
            return Err(Violation::new(format!($($seen)+)));
        }
    };
}
use ensure;

macro_rules! run {
    ($fixture:expr, $($module:ident :: $case:ident),+ $(,)?) => {
        $(
            let started = std::time::Instant::now();
            $module::$case($fixture).await.map_err(|violation| violation.in_case(stringify!($case)))?;
            eprintln!("conformance {:?}: {} ok ({} ms)", $fixture, stringify!($case), started.elapsed().as_millis());
        )+
    };
}

/// Runs every case; each on a fresh log.
///
/// # Errors
/// The first promise that is not kept, with the case that shows it.
///
/// # Cancel safety
/// A dropped call leaves the logs it made.
pub async fn run_all(fixture: &dyn Fixture) -> Result<(), Violation> {
    run!(
        fixture,
        appends::gives_back_what_was_appended,
        appends::takes_nothing_and_empty_values,
        appends::takes_large_values,
        appends::refuses_what_is_too_large_and_goes_on,
        appends::keeps_the_order_of_a_batch,
        appends::many_writers_keep_order_and_lose_nothing,
        appends::a_dropped_append_leaves_the_log_whole,
        reads::starts_anywhere,
        reads::keeps_to_its_budget,
        reads::wakes_on_an_append,
        reads::waits_no_longer_than_asked,
        reads::waits_beyond_the_end,
        reads::a_dropped_read_changes_nothing,
        reads::many_readers_see_the_same,
        reads::says_when_there_is_no_such_partition,
        upkeep::an_empty_log_ends_where_it_begins,
        upkeep::the_end_moves_with_appends,
        upkeep::release_drops_what_is_before,
        upkeep::a_reopened_log_is_the_same,
    );
    Ok(())
}

/// Long enough that it never decides about a healthy log.
const PATIENCE: Duration = Duration::from_secs(30);
/// Plenty for one read.
const MAX_READ_BYTES: usize = 16 * 1024 * 1024;

fn record(topic: Topic, key: &str, value: impl Into<Bytes>) -> Record {
    Record { topic, key: Bytes::copy_from_slice(key.as_bytes()), value: value.into() }
}

/// Everything on a topic, by partition.
async fn everything(log: &dyn Log, topic: Topic) -> Result<BTreeMap<u32, Vec<Entry>>, Violation> {
    let mut found = BTreeMap::new();
    for partition in 0..log.partitions(topic) {
        let mut offset = log.earliest(topic, partition).await?;
        let latest = log.latest(topic, partition).await?;
        let mut entries = Vec::new();
        while offset < latest {
            let from = Position { partition, offset };
            let more = log.read(topic, from, MAX_READ_BYTES, PATIENCE).await?;
            let Some(last) = more.last() else {
                return Err(Violation::new(format!(
                    "nothing at {from:?} though the end is {latest}"
                )));
            };
            offset = last.position.offset + 1;
            entries.extend(more);
        }
        check_ascending(partition, &entries)?;
        found.insert(partition, entries);
    }
    Ok(found)
}

fn check_ascending(partition: u32, entries: &[Entry]) -> Outcome {
    for pair in entries.windows(2) {
        if let [one, next] = pair {
            let ascends = one.position.offset < next.position.offset;
            ensure!(ascends, "{:?} is followed by {:?}", one.position, next.position);
        }
    }
    let elsewhere = entries.iter().find(|entry| entry.position.partition != partition);
    ensure!(elsewhere.is_none(), "{elsewhere:?} was read from partition {partition}");
    Ok(())
}

fn count(found: &BTreeMap<u32, Vec<Entry>>) -> usize {
    found.values().map(Vec::len).sum()
}
