//! Whose turn it is: how many questions run at once, of everybody and of one principal.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::PollSemaphore;

use crate::config::Limits;
use crate::error::QueryError;
use crate::reader::Reader;

/// One principal has at most one in so many of all turns: whoever asks what, some are left for the others.
const OWN_SHARE: usize = 4;

/// The turns of one service. They are given in the order in which they were asked for.
pub(crate) struct Turns {
    limits: Limits,
    all: Arc<Semaphore>,
    /// By issuer and subject. A principal without a question, running or waiting, has no entry that lives.
    own: Mutex<HashMap<(String, String), Weak<Semaphore>>>,
}

/// The right to run one question, until it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Turn {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// The turn of a question that runs. All that may hold a thread for it holds this, however long after its end.
#[derive(Debug)]
pub(crate) struct Held {
    _turn: Turn,
    joins: Arc<Semaphore>,
}

impl Held {
    /// With so many places for joins at once.
    pub(crate) fn new(turn: Turn, joins: usize) -> Self {
        Self { _turn: turn, joins: Arc::new(Semaphore::new(joins)) }
    }

    /// Nobody's.
    #[cfg(test)]
    pub(crate) fn alone(joins: usize) -> Self {
        let permit = || Arc::new(Semaphore::new(1)).try_acquire_owned().expect("it is new");
        Self::new(Turn { _own: permit(), _all: permit() }, joins)
    }

    /// Where a join waits for its place.
    pub(crate) fn joins(&self) -> PollSemaphore {
        PollSemaphore::new(Arc::clone(&self.joins))
    }
}

impl Turns {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, all: Arc::new(Semaphore::new(limits.max_concurrent)), own: Mutex::default() }
    }

    /// Waits for a turn of `reader`, at most `max_queue_wait`. What waits for one of its own turns waits for none of
    /// the others', so a principal has no more places in the common queue than it may have turns.
    pub(crate) async fn next(&self, reader: &Reader) -> Result<Turn, QueryError> {
        let until = Instant::now() + self.limits.max_queue_wait;
        let max = own_share(self.limits.max_concurrent);
        let own = timeout_at(until, self.own(reader, max).acquire_owned()).await;
        let own = own.map_err(|_| QueryError::BusyYourself { max })?;
        let busy = QueryError::Busy { max: self.limits.max_concurrent };
        let all = timeout_at(until, Arc::clone(&self.all).acquire_owned()).await;
        let all = all.map_err(|_| busy)?;
        match (own, all) {
            (Ok(own), Ok(all)) => Ok(Turn { _own: own, _all: all }),
            _ => Err(QueryError::Stopping),
        }
    }

    fn own(&self, reader: &Reader, max: usize) -> Arc<Semaphore> {
        let mut own = self.own.lock();
        own.retain(|_, turns| turns.strong_count() > 0);
        let (issuer, subject) = reader.principal();
        let known = own.entry((issuer.to_owned(), subject.to_owned())).or_default();
        known.upgrade().unwrap_or_else(|| {
            let turns = Arc::new(Semaphore::new(max));
            *known = Arc::downgrade(&turns);
            turns
        })
    }
}

/// How many of `max_concurrent` turns one principal may have.
fn own_share(max_concurrent: usize) -> usize {
    (max_concurrent / OWN_SHARE).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_all_turns_where_there_are_two() {
        for (all, own) in [(1, 1), (2, 1), (3, 1), (4, 1), (7, 1), (8, 2), (9, 2), (64, 16)] {
            assert_eq!(own_share(all), own, "{all}");
        }
    }
}
