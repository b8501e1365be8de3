//! Whether the log is still the one that was recorded, looked at while it is followed.

use std::time::Duration;

use tokio::select;

use super::{PartitionTask, TOPIC};
use crate::error::{IntegrityError, RecorderError};
use crate::pauses::Pauses;
use crate::progress::{Condition, Outage};
use crate::start::check_last;

/// How often a log has to say that it ends before what is recorded: a broker that has just taken a partition over may not
/// know its end yet.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

impl PartitionTask {
    /// Looks how far the log goes.
    ///
    /// # Errors
    /// When it ends before what is recorded.
    pub(super) async fn look_at_end(&self) -> Result<(), RecorderError> {
        if let Some(end) = self.end().await? {
            self.reporter.update(|one| {
                one.log_end = end;
                one.condition = Condition::Recording;
            });
        }
        Ok(())
    }

    /// What is on the log when the stop is asked for; nothing more when the log does not say.
    pub(super) async fn last_goal(&self) -> Result<u64, RecorderError> {
        Ok(self.end().await?.unwrap_or(self.start.next))
    }

    /// The log's end; `None` when it does not say.
    ///
    /// # Errors
    /// When it stays before what is recorded: the log was reset, or another one has its name now. What that has before the
    /// position would never be read.
    pub(super) async fn end(&self) -> Result<Option<u64>, RecorderError> {
        let recorded = self.start.position.unwrap_or_default();
        for look in 1.. {
            let end = select! {
                biased;
                () = self.give_up.cancelled() => return Err(self.unfinished()),
                end = self.log.latest(TOPIC, self.partition) => end,
            };
            match end {
                Err(_) => break,
                Ok(end) if end >= recorded => return Ok(Some(end)),
                Ok(latest) if look >= LOOKS => {
                    let partition = self.partition;
                    let reset = IntegrityError::LakeAheadOfLog { partition, recorded, latest };
                    return Err(reset.into());
                }
                Ok(_) => self.wait(BETWEEN_LOOKS).await?,
            }
        }
        Ok(None)
    }

    /// After somebody else recorded: where that came to. A copy of the log has its name, and went another way since: what it
    /// put there is not what is here.
    ///
    /// # Errors
    /// When the log has something else there, or ends before it.
    pub(super) async fn must_be_of_this_log(
        &mut self,
        of: (&str, &str),
    ) -> Result<u64, RecorderError> {
        let found = self.retrying(|| self.lake.events.positions(of)).await?;
        (self.start.position, self.start.last) = found;
        self.doubt = true;
        self.end().await?;
        self.settle_doubt().await?;
        Ok(self.start.position.unwrap_or_default())
    }

    /// Before a batch is put on top of what is recorded: whether the log still has what was recorded last, where there may
    /// be another one in its place.
    ///
    /// # Errors
    /// When it has something else there.
    pub(super) async fn settle_doubt(&mut self) -> Result<(), RecorderError> {
        let mut pauses = Pauses::default();
        let (position, last) = (self.start.position, self.start.last);
        while self.doubt {
            let checked = select! {
                biased;
                () = self.give_up.cancelled() => return Err(self.unfinished()),
                checked = check_last(self.log.as_ref(), self.partition, position, last) => checked,
            };
            match checked {
                Ok(()) => self.doubt = false,
                Err(RecorderError::Log(error)) => {
                    self.reporter.retrying(Outage::Log, &error.to_string());
                    tracing::warn!(partition = self.partition, %error, "the log cannot be read; trying again");
                    self.pause(&mut pauses).await?;
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }
}
