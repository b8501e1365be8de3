//! Sessions that wait in the middle of an answer for whoever comes for the rest.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::InsideSession;
use super::parked::Who;

/// How long one waits for the next page, and in all.
const IDLE: Duration = Duration::from_secs(60);
const IN_ALL: Duration = Duration::from_secs(5 * 60);
/// Cursors of one caller and in all: each holds a session of a target, in a transaction.
const MAX_OF_ONE: usize = 2;
const MAX_IN_ALL: usize = 64;

/// All of one gateway.
#[derive(Clone, Default)]
pub(crate) struct Cursors(Arc<Mutex<HashMap<String, Cursor>>>);

/// A session whose portal has rows left.
pub(crate) struct Cursor {
    pub who: Who,
    /// What it belongs to: a cursor is of no use to another tool or target.
    pub of: String,
    pub session: InsideSession,
    began: Instant,
    /// Which wait this is.
    turn: u64,
}

impl Cursor {
    pub(crate) fn new(who: Who, of: String, session: InsideSession) -> Self {
        Self { who, of, session, began: Instant::now(), turn: 0 }
    }
}

impl Cursors {
    /// Takes a cursor out, for as long as its next page is read. None where it lapsed, never was, or is somebody else's: all the
    /// same to who asks.
    pub(crate) fn take(&self, id: &str, who: &Who, of: &str) -> Option<Cursor> {
        let mut cursors = self.0.lock();
        cursors.get(id).filter(|cursor| cursor.who == *who && cursor.of == of)?;
        cursors.remove(id)
    }

    /// Keeps a cursor under `id`; gives how long for, and what to run so that it ends then. The cursor comes back where too many
    /// are kept, or its time is over.
    pub(crate) fn keep(
        &self,
        id: &str,
        mut cursor: Cursor,
    ) -> Result<(Duration, impl Future<Output = ()> + Send + use<>), Box<Cursor>> {
        let mut cursors = self.0.lock();
        let of_one = cursors.values().filter(|other| other.who == cursor.who).count();
        let until = (Instant::now() + IDLE).min(cursor.began + IN_ALL);
        let left = until.saturating_duration_since(Instant::now());
        if of_one >= MAX_OF_ONE || cursors.len() >= MAX_IN_ALL || left.is_zero() {
            return Err(Box::new(cursor));
        }
        cursor.turn += 1;
        let (turn, all, name) = (cursor.turn, self.clone(), id.to_owned());
        cursors.insert(id.to_owned(), cursor);
        Ok((left, async move {
            sleep_until(until).await;
            let lapsed = {
                let mut cursors = all.0.lock();
                let is_it = cursors.get(&name).is_some_and(|cursor| cursor.turn == turn);
                if is_it { cursors.remove(&name) } else { None }
            };
            if let Some(cursor) = lapsed {
                cursor.session.close().await;
            }
        }))
    }
}
