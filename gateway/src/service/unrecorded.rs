//! The check of a token that goes on record in one with what is asked by it: one append less on a request's way.

use std::sync::Arc;

use gateway_core::passage::Note;
use parking_lot::Mutex;
use tallyport_eventlog::{Appender, CommitError};
use tokio::sync::watch;

/// A check that is not on record yet. Nothing may be told before it is.
#[derive(Debug)]
pub(crate) struct Unrecorded {
    note: Mutex<Option<Note>>,
    /// Whether it is on record, once that is known.
    known: watch::Sender<Option<bool>>,
}

/// It goes on record with something else. Dropped before that, it did not.
#[derive(Debug)]
pub(crate) struct Along {
    known: watch::Sender<Option<bool>>,
    is_recorded: bool,
}

impl Unrecorded {
    pub(super) fn new(note: Note) -> Arc<Self> {
        Arc::new(Self { note: Mutex::new(Some(note)), known: watch::Sender::new(None) })
    }

    /// For whatever goes on record first; none where something did.
    pub(crate) fn along(&self) -> Option<(Note, Along)> {
        let note = self.note.lock().take()?;
        Some((note, Along { known: self.known.clone(), is_recorded: false }))
    }

    /// Waits until it is on record, and puts it there where nothing else does. What it went along with tells by itself that it is not on
    /// record.
    ///
    /// # Errors
    /// Where the log takes nothing.
    ///
    /// # Cancel safety
    /// A dropped call may leave it on record, or not; nobody is told anything then.
    pub(crate) async fn settle(&self, appender: &Appender) -> Result<(), CommitError> {
        let Some((note, along)) = self.along() else {
            let mut known = self.known.subscribe();
            let _known = known.wait_for(Option::is_some).await;
            return Ok(());
        };
        let _on_record = appender.commit(note).await?;
        along.recorded();
        Ok(())
    }
}

impl Along {
    /// It is on record.
    pub(crate) fn recorded(mut self) {
        self.is_recorded = true;
    }
}

impl Drop for Along {
    fn drop(&mut self) {
        self.known.send_replace(Some(self.is_recorded));
    }
}
