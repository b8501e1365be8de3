//! Whether the service can answer: what its own look at the lake, once a second, and its followers of the log found.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::engine::Engine;
use crate::error::QueryError;

/// How the service finds lake and log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryState {
    /// Whether the last look at the lake's newest snapshot succeeded.
    pub lake_readable: bool,
    /// How long ago a look succeeded; absent before the first.
    pub lake_read_ago: Option<Duration>,
    /// The newest version of the lake's table; absent while there is none.
    pub snapshot_version: Option<u64>,
    /// Whether every follower of the log could read it when it last tried.
    pub tail_following: bool,
    /// Offsets held in memory because the lake has not got them yet.
    pub tail_events: u64,
}

/// Tells how a running service does. Cheap to clone.
#[derive(Clone)]
pub struct QueryProbe(pub(crate) Arc<Engine>);

impl QueryProbe {
    /// How it is now.
    #[must_use]
    pub fn state(&self) -> QueryState {
        self.0.state()
    }
}

impl std::fmt::Debug for QueryProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("QueryProbe").field(&self.state()).finish()
    }
}

/// The last look at the lake.
#[derive(Debug, Default)]
pub(crate) struct LastLook(Mutex<Look>);

#[derive(Clone, Copy, Debug, Default)]
struct Look {
    readable: bool,
    read_at: Option<Instant>,
    version: Option<u64>,
}

impl LastLook {
    pub(crate) fn note(&self, outcome: Result<Option<u64>, &QueryError>) {
        let mut look = self.0.lock();
        look.readable = outcome.is_ok();
        if let Ok(version) = outcome {
            look.version = version;
            look.read_at = Some(Instant::now());
        }
    }

    pub(crate) fn state(&self, tail_following: bool, tail_events: u64) -> QueryState {
        let look = *self.0.lock();
        QueryState {
            lake_readable: look.readable,
            lake_read_ago: look.read_at.map(|at| at.elapsed()),
            snapshot_version: look.version,
            tail_following,
            tail_events,
        }
    }
}
