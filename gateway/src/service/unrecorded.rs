//! The check of a token that goes on record in one with what is asked by it: one append less on a request's way.

use std::sync::Arc;

use gateway_core::passage::{Authorized, Note};
use parking_lot::Mutex;
use tallyport_eventlog::{Appender, CommitError, Durable};
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
struct Along {
    known: watch::Sender<Option<bool>>,
    is_recorded: bool,
}

/// A check is not on record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotRecorded {
    #[error(transparent)]
    Log(#[from] CommitError),
    #[error("what it went along with is not on record, or nobody knows whether it is")]
    Along,
}

impl Unrecorded {
    pub(super) fn new(note: Note) -> Arc<Self> {
        Arc::new(Self { note: Mutex::new(Some(note)), known: watch::Sender::new(None) })
    }

    /// For whatever goes on record first; none where something did.
    fn along(&self) -> Option<(Note, Along)> {
        let note = self.note.lock().take()?;
        Some((note, Along { known: self.known.clone(), is_recorded: false }))
    }

    /// Puts a call on record, in one with the check where nothing else has it in hand, else after it.
    ///
    /// # Errors
    /// Where one of them is not on record.
    ///
    /// # Cancel safety
    /// As [`Self::settle`].
    pub(crate) async fn commit_with<T: Send>(
        &self,
        appender: &Appender,
        call: Authorized<T>,
    ) -> Result<Durable<Authorized<T>>, NotRecorded> {
        let Some((note, along)) = self.along() else {
            self.settle(appender).await?;
            return Ok(appender.commit(call).await?);
        };
        let call = appender.commit(call.after(note)).await?;
        along.recorded();
        Ok(call)
    }

    /// Waits until it is on record, and puts it there where nothing else does.
    ///
    /// # Errors
    /// Where it is not.
    ///
    /// # Cancel safety
    /// A dropped call may leave it on record, or not; nobody is told anything then.
    pub(crate) async fn settle(&self, appender: &Appender) -> Result<(), NotRecorded> {
        let Some((note, along)) = self.along() else {
            let mut known = self.known.subscribe();
            let is_recorded =
                known.wait_for(Option::is_some).await.is_ok_and(|it| *it == Some(true));
            return if is_recorded { Ok(()) } else { Err(NotRecorded::Along) };
        };
        let _on_record = appender.commit(note).await?;
        along.recorded();
        Ok(())
    }
}

impl Along {
    /// It is on record.
    fn recorded(mut self) {
        self.is_recorded = true;
    }
}

impl Drop for Along {
    fn drop(&mut self) {
        self.known.send_replace(Some(self.is_recorded));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gateway_core::passage::call::OwnRequest;
    use tallyport_eventlog::AppenderOptions;
    use tallyport_eventlog::backends::memory::MemoryLog;
    use tallyport_schemas::{Body, CommandId, Context, Draft, Integrity, ProducerId};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn it_is_on_record_only_where_something_took_it_there() {
        let id = ProducerId::parse("test/gateway").unwrap();
        let log = Arc::new(MemoryLog::new());
        let options = AppenderOptions::default();
        let appender = Appender::start(log, id, "gateway", options).await.unwrap();
        let body = Integrity::ProducerStarted { version: "1".to_owned(), role: "test".to_owned() };
        let draft = Draft::new(Context::default().into(), None, Body::Integrity(body));
        let new = || Unrecorded::new(Note::new(vec![draft.clone()]));
        let alone = new();
        assert!(alone.settle(&appender).await.is_ok() && alone.settle(&appender).await.is_ok());
        assert!(alone.along().is_none(), "it is there once");
        for is_recorded in [true, false] {
            let check = new();
            let (_note, along) = check.along().unwrap();
            let settled = check.settle(&appender);
            tokio::pin!(settled);
            let waits = timeout(Duration::from_millis(20), &mut settled).await;
            assert!(waits.is_err(), "nobody knows yet");
            if is_recorded {
                along.recorded();
            } else {
                drop(along);
            }
            assert_eq!(settled.await.is_ok(), is_recorded);
            // A call that comes second goes on record only after it.
            let call = OwnRequest::Discover.authorized(
                CommandId::new(),
                "v",
                &Context::default().into(),
                None,
                None,
            );
            let committed = check.commit_with(&appender, call.unwrap()).await;
            assert_eq!(committed.is_ok(), is_recorded);
        }
    }
}
