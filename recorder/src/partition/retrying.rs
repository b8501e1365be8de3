//! What is done again until the lake takes it.

use tokio::select;

use super::PartitionTask;
use crate::error::{LakeError, RecorderError};
use crate::lake::{Change, Outcome, Table};
use crate::pauses::Pauses;
use crate::progress::Outage;
use crate::rows::Rows;

impl PartitionTask {
    /// Writes the rows and moves the position from the one to the other.
    pub(super) async fn put(
        &self,
        table: &Table,
        rows: &Rows,
        app_id: &str,
        (from, to): (Option<u64>, u64),
    ) -> Result<Outcome, RecorderError> {
        let mut pauses = Pauses::default();
        loop {
            let adds = self.retrying(|| table.write(rows)).await?;
            let change = Change { app_id, from, to, adds: &adds };
            // What comes back may be a copy of before: without the files that were just written.
            let anew = |error: &LakeError| {
                matches!(error, LakeError::Gone { .. } | LakeError::FilesGone { .. })
            };
            match self.trying(|| table.commit(&change), anew).await? {
                Ok(outcome) => return Ok(outcome),
                Err(gone) => self.failed(gone, &mut pauses).await?,
            }
            // Not before it is there: each try would leave files that no commit names.
            self.retrying(|| table.touch()).await?;
        }
    }

    /// Does `work` until it succeeds, fails for good, or time is over.
    pub(super) async fn retrying<T, F>(&self, work: impl Fn() -> F) -> Result<T, RecorderError>
    where
        F: Future<Output = Result<T, LakeError>>,
    {
        Ok(self.trying(work, |_| false).await??)
    }

    /// The same, and gives back errors of a kind.
    async fn trying<T, F>(
        &self,
        work: impl Fn() -> F,
        is_given_back: impl Fn(&LakeError) -> bool,
    ) -> Result<Result<T, LakeError>, RecorderError>
    where
        F: Future<Output = Result<T, LakeError>>,
    {
        let mut pauses = Pauses::default();
        loop {
            let done = select! {
                biased;
                () = self.give_up.cancelled() => return Err(self.unfinished()),
                done = work() => done,
            };
            match done {
                Ok(value) => {
                    self.reporter.recording();
                    return Ok(Ok(value));
                }
                Err(error) if is_given_back(&error) => return Ok(Err(error)),
                Err(error) => self.failed(error, &mut pauses).await?,
            }
        }
    }

    pub(super) async fn pause(&self, pauses: &mut Pauses) -> Result<(), RecorderError> {
        select! {
            () = self.give_up.cancelled() => Err(self.unfinished()),
            () = tokio::time::sleep(pauses.next()) => Ok(()),
        }
    }

    /// Tells of an error, and waits where that may help.
    async fn failed(&self, error: LakeError, pauses: &mut Pauses) -> Result<(), RecorderError> {
        self.meters.failed();
        if !error.may_pass() {
            return Err(error.into());
        }
        self.reporter.retrying(Outage::Lake, &error.to_string());
        tracing::warn!(partition = self.partition, %error, "the lake cannot be written; trying again");
        self.pause(pauses).await
    }

    pub(super) const fn unfinished(&self) -> RecorderError {
        RecorderError::Unfinished { partition: self.partition }
    }
}
