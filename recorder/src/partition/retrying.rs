//! What is done again until the lake takes it.

use std::time::Duration;

use tokio::select;

use super::PartitionTask;
use crate::error::{LakeError, RecorderError};
use crate::lake::{Change, Outcome, Table};
use crate::pauses::Pauses;
use crate::progress::Outage;
use crate::rows::Rows;

/// The positions that a batch moves.
#[derive(Clone, Copy)]
pub(super) struct Moved<'a> {
    pub(super) app_id: &'a str,
    pub(super) from: Option<u64>,
    pub(super) to: u64,
    pub(super) beside: Option<(&'a str, u64)>,
}

impl PartitionTask {
    /// Writes the rows and moves the positions.
    pub(super) async fn put(
        &self,
        table: &Table,
        rows: &Rows,
        moved: Moved<'_>,
    ) -> Result<Outcome, RecorderError> {
        let mut pauses = Pauses::default();
        loop {
            let adds = self.retrying(|| table.write(rows)).await?;
            let Moved { app_id, from, to, beside } = moved;
            let change = Change { app_id, from, to, beside, adds: &adds };
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
        self.wait(pauses.next()).await
    }

    pub(super) async fn wait(&self, time: Duration) -> Result<(), RecorderError> {
        select! {
            () = self.give_up.cancelled() => Err(self.unfinished()),
            () = tokio::time::sleep(time) => Ok(()),
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
