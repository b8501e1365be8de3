//! Follows one partition of the log into the lake.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tallyport_eventlog::{Entry, Log, Position, ReadError, Topic};
use tallyport_schemas::lake::app_id;
use tokio::select;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::batch::Pending;
use crate::config::RecorderConfig;
use crate::dead_letter;
use crate::error::{IntegrityError, LakeError, RecorderError};
use crate::lake::{Lake, Outcome, dead_letters_app_id, last_app_id};
use crate::meters::Meters;
use crate::pauses::Pauses;
use crate::progress::{Condition, Outage, Reporter};
use crate::release::ReleaseGate;
use crate::rows::Rows;
use crate::start::StartPoint;

mod retrying;
mod same_log;

use retrying::Moved;

/// What is recorded: every event is on this topic.
pub(crate) const TOPIC: Topic = Topic::Audit;

/// Bytes asked for at once; a single larger record comes alone.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// Pause after a read that did not fill up: to decode a few events by themselves costs many times what they cost in
/// company, and a commit waits for its age anyway.
const GATHER_PAUSE: Duration = Duration::from_millis(100);

/// The longest read of a quiet log: releases and the log's end are looked at in between.
const READ_WAIT: Duration = Duration::from_secs(1);

/// The task of one partition.
#[derive(Debug)]
pub(crate) struct PartitionTask {
    pub(crate) partition: u32,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) lake: Arc<Lake>,
    pub(crate) config: Arc<RecorderConfig>,
    pub(crate) reporter: Reporter,
    pub(crate) meters: Meters,
    pub(crate) gate: ReleaseGate,
    pub(crate) start: StartPoint,
    /// Nothing was read for a while: another log may have come into the place of this one.
    pub(crate) doubt: bool,
    /// Asks to record what is on the log now and to end.
    pub(crate) stop: CancellationToken,
    /// Asks to end at once.
    pub(crate) give_up: CancellationToken,
}

impl PartitionTask {
    /// Runs until it is asked to stop or something is wrong for good.
    pub(crate) async fn run(mut self) -> Result<(), RecorderError> {
        let ended = self.follow().await;
        self.reporter.update(|one| one.condition = Condition::Stopped);
        ended
    }

    async fn follow(&mut self) -> Result<(), RecorderError> {
        let mut goal = None;
        loop {
            let pending = self.collect(&mut goal).await?;
            if !pending.is_empty() {
                let span = tracing::debug_span!("recorder_commit", partition = self.partition);
                self.record(pending).instrument(span).await?;
                self.release().await;
            }
            if goal.is_some_and(|goal| self.start.next >= goal) {
                return Ok(());
            }
        }
    }

    /// Reads and decodes until there is enough for a commit, the oldest record is old enough, or all is read that
    /// was on the log when the stop was asked for.
    async fn collect(&mut self, goal: &mut Option<u64>) -> Result<Pending, RecorderError> {
        let mut pending = self.pending(self.start.next);
        let mut due: Option<Instant> = None;
        let mut pauses = Pauses::default();
        loop {
            if goal.is_none() && self.stop.is_cancelled() {
                *goal = Some(self.last_goal().await?);
            }
            let stopping = goal.is_some();
            let now = Instant::now();
            let full = pending.is_full(&self.config.commit);
            let reached = goal.is_some_and(|goal| pending.next >= goal);
            if full || reached || due.is_some_and(|due| due <= now) {
                return Ok(pending);
            }
            let at_most = due.map_or(READ_WAIT, |due| READ_WAIT.min(due - now));
            let wait = if stopping { Duration::ZERO } else { self.gate.wait(now, at_most) };
            let from = Position { partition: self.partition, offset: pending.next };
            let read = select! {
                biased;
                () = self.stop.cancelled(), if !stopping => continue,
                () = self.give_up.cancelled() => return Err(self.unfinished()),
                read = self.log.read(TOPIC, from, READ_BYTES, wait) => read,
            };
            match read {
                Ok(entries) if entries.is_empty() => {
                    self.doubt = true;
                    if stopping {
                        // Nothing is left below the goal: offsets may have holes.
                        self.start.next = self.start.next.max(goal.unwrap_or_default());
                        return Ok(pending);
                    }
                    self.release().await;
                    self.look_at_end().await?;
                }
                Ok(entries) => {
                    pauses = Pauses::default();
                    let bytes: usize = entries.iter().map(|entry| entry.value.len()).sum();
                    pending = absorb(pending, entries, self.config.commit.max_rows).await?;
                    due = due.or(Some(now + self.config.commit.max_age));
                    self.report(&pending).await?;
                    if bytes < READ_BYTES / 2 && !stopping {
                        self.gather(due).await;
                    }
                }
                Err(error) if pending.is_empty() => {
                    if let Some(next) = self.after_read_error(error, &mut pauses).await? {
                        self.start.next = next;
                        pending = self.pending(next);
                    }
                }
                // What was read is recorded first; the next read says the same again.
                Err(_) => return Ok(pending),
            }
        }
    }

    fn pending(&self, from: u64) -> Pending {
        Pending::new(self.partition, from, self.config.commit.max_bytes)
    }

    /// Lets more events come, unless the commit is due or the end is asked for.
    async fn gather(&self, due: Option<Instant>) {
        let left = due.map_or(GATHER_PAUSE, |due| due.saturating_duration_since(Instant::now()));
        select! {
            () = self.stop.cancelled() => {}
            () = self.give_up.cancelled() => {}
            () = tokio::time::sleep(GATHER_PAUSE.min(left)) => {}
        }
    }

    /// Waits after an outage of the log; ends on a hole, or says where it goes on behind an accepted one.
    async fn after_read_error(
        &mut self,
        error: ReadError,
        pauses: &mut Pauses,
    ) -> Result<Option<u64>, RecorderError> {
        match error {
            ReadError::Truncated { earliest, .. } => {
                let recorded = self.start.next;
                if !self.config.accept_missing_history {
                    let partition = self.partition;
                    let hole = IntegrityError::LogTruncated { partition, recorded, earliest };
                    return Err(hole.into());
                }
                tracing::error!(
                    partition = self.partition,
                    recorded,
                    earliest,
                    "records are missing and were accepted as missing"
                );
                Ok(Some(earliest))
            }
            ReadError::Damaged { partition, offset, reason } => {
                Err(IntegrityError::LogDamaged { partition, offset, reason }.into())
            }
            ReadError::Unavailable { reason } => {
                self.reporter.retrying(Outage::Log, &format!("the log cannot be read: {reason}"));
                tracing::warn!(partition = self.partition, %reason, "the log cannot be read; trying again");
                self.doubt = true;
                self.pause(pauses).await?;
                self.end().await?;
                Ok(None)
            }
        }
    }

    /// Puts the records into the lake: first what cannot be decoded, then the events and the position.
    async fn record(&mut self, pending: Pending) -> Result<(), RecorderError> {
        let (began, next, last) = (Instant::now(), pending.next, pending.last);
        self.settle_doubt().await?;
        let dead = u64::try_from(pending.dead.len()).unwrap_or(u64::MAX);
        self.record_dead_letters(&pending).await?;
        // A crash right here: the dead letters' own position says what is there, and they are not written again.
        let rows = blocking(move || pending.into_events()).await?.map_err(LakeError::Encode)?;
        let from = self.start.position;
        let (app_id, last_id) = (app_id(self.partition), last_app_id(self.partition));
        let beside = last.map(|last| (last_id.as_str(), last));
        let moved = Moved { app_id: &app_id, from, to: next, beside };
        let outcome = self.put(&self.lake.events, &rows, moved).await?;
        let reached = match outcome {
            Outcome::Committed(version) => {
                tracing::debug!(
                    partition = self.partition,
                    version,
                    next,
                    rows = rows.len(),
                    "committed"
                );
                self.meters.committed(began.elapsed(), rows.len() as u64, dead);
                next
            }
            Outcome::Elsewhere(found) => {
                self.adopt(found, next)?;
                self.must_be_of_this_log((&app_id, &last_id)).await?
            }
        };
        self.start.position = Some(reached);
        if outcome != Outcome::Elsewhere(Some(reached)) {
            self.start.last = last.filter(|_| reached == next);
        }
        self.start.next = reached;
        self.gate.committed(Instant::now(), reached);
        self.reporter.update(|one| {
            one.recorded = reached;
            one.log_end = one.log_end.max(reached);
            one.lag = Duration::ZERO;
            one.oldest = None;
            one.last_commit = Some(SystemTime::now());
            one.dead_letters += dead;
        });
        Ok(())
    }

    /// What a position other than expected means.
    fn adopt(&self, found: Option<u64>, next: u64) -> Result<u64, RecorderError> {
        match (found, self.start.position) {
            // A commit of unknown outcome was made after all, or another recorder made the same one.
            (Some(position), _) if position == next => Ok(position),
            (Some(position), ours) if ours.is_none_or(|ours| position > ours) => {
                tracing::warn!(
                    partition = self.partition,
                    position,
                    "another recorder is recording this partition; going on from its position"
                );
                Ok(position)
            }
            (found, ours) => Err(IntegrityError::PositionWentBack {
                partition: self.partition,
                table: self.lake.events.name(),
                ours: ours.unwrap_or_default(),
                found,
            }
            .into()),
        }
    }

    /// Writes the dead letters that are not in their table yet.
    ///
    /// Their position moves only with them, so it may be behind that of the events. It is ahead when a crash or
    /// another recorder came between the two commits: what it covers is left out.
    async fn record_dead_letters(&self, pending: &Pending) -> Result<(), RecorderError> {
        let table = &self.lake.dead_letters;
        let app_id = dead_letters_app_id(self.partition);
        let last = pending.dead.last().map(|letter| letter.entry.position.offset);
        let Some(last) = last else { return Ok(()) };
        loop {
            let position = self.retrying(|| table.position(&app_id)).await?;
            let covered = position.unwrap_or_default();
            if covered > last {
                return Ok(());
            }
            let due = pending.dead.iter().filter(|letter| letter.entry.position.offset >= covered);
            let letters: Vec<_> = due.cloned().collect();
            tracing::warn!(
                partition = self.partition,
                count = letters.len(),
                last,
                "records that are no events go to the table of dead letters"
            );
            let rows = Rows::of(dead_letter::batch(&letters).map_err(LakeError::Encode)?);
            let moved = Moved { app_id: &app_id, from: position, to: pending.next, beside: None };
            match self.put(table, &rows, moved).await? {
                Outcome::Committed(_) => return Ok(()),
                Outcome::Elsewhere(found) if found < position => {
                    return Err(IntegrityError::PositionWentBack {
                        partition: self.partition,
                        table: table.name(),
                        ours: covered,
                        found,
                    }
                    .into());
                }
                // Somebody moved it on: look again at what is left.
                Outcome::Elsewhere(_) => {}
            }
        }
    }

    /// Tells the log what it need not keep. An error only delays it.
    async fn release(&mut self) {
        let short_of_room = self.log.is_short_of_room();
        let Some(offset) = self.gate.due(Instant::now(), short_of_room) else { return };
        let upto = Position { partition: self.partition, offset };
        if let Err(error) = self.log.release(TOPIC, upto).await {
            tracing::warn!(partition = self.partition, offset, %error, "the log was not released; a later commit does it");
        }
    }

    async fn report(&self, pending: &Pending) -> Result<(), RecorderError> {
        self.look_at_end().await?;
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let age_ms = pending.oldest_ms.map_or(0, |oldest| {
            u64::try_from(i128::try_from(now_ms).unwrap_or(i128::MAX) - i128::from(oldest))
                .unwrap_or_default()
        });
        self.reporter.update(|one| {
            one.lag = Duration::from_millis(age_ms);
            one.oldest = pending.oldest_ms.and_then(|ms| u64::try_from(ms).ok()).map(since_epoch);
        });
        Ok(())
    }
}

fn since_epoch(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}

/// Decodes off the runtime's threads: a read of [`READ_BYTES`] takes them many milliseconds. What is beyond
/// `max_rows` is read again for the next batch.
async fn absorb(
    mut pending: Pending,
    mut entries: Vec<Entry>,
    max_rows: usize,
) -> Result<Pending, RecorderError> {
    entries.truncate(max_rows.saturating_sub(pending.rows()));
    let absorbed = blocking(move || pending.absorb(entries).map(|()| pending)).await?;
    Ok(absorbed?)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RecorderError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| RecorderError::Task(error.to_string()))
}
