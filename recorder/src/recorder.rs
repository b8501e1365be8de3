//! Starts, watches and stops the tasks of all partitions.

use std::sync::Arc;
use std::time::Duration;

use tallyport_eventlog::{Log, Position};
use tokio::select;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::added;
use crate::config::RecorderConfig;
use crate::error::{LakeError, RecorderError};
use crate::lag;
use crate::lake::Lake;
use crate::meters::Meters;
use crate::partition::{PartitionTask, TOPIC};
use crate::progress::{PartitionProgress, Progress, Reporter, WaitError, wait_until};
use crate::release::ReleaseGate;
use crate::start::StartPoint;

/// Records a log into a lake.
#[derive(Debug)]
pub struct Recorder;

/// A recorder at work. Dropping it asks it to stop without waiting for that.
#[derive(Debug)]
pub struct RunningRecorder {
    progress: watch::Receiver<Progress>,
    supervisor: JoinHandle<Result<(), RecorderError>>,
    lake: Arc<Lake>,
    stop: DropGuard,
}

/// Asks the lake whether it is there. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LakeProbe(Arc<Lake>);

impl Recorder {
    /// Opens the lake, compares its positions with the log, and follows the log until `shutdown` is cancelled.
    ///
    /// # Errors
    /// When the lake cannot be opened, the log cannot be read, or they contradict each other.
    ///
    /// # Cancel safety
    /// A dropped call leaves at most empty tables.
    pub async fn start(
        config: RecorderConfig,
        log: Arc<dyn Log>,
        shutdown: CancellationToken,
    ) -> Result<RunningRecorder, RecorderError> {
        config.check()?;
        let partitions = chosen_partitions(&config, log.partitions(TOPIC))?;
        let config = Arc::new(config);
        let lake = Arc::new(Lake::open(&config, &partitions, log.id()).await?);
        let mut starts = Vec::new();
        for partition in partitions {
            let accept = config.accept_missing_history;
            let start = StartPoint::find(log.as_ref(), &lake, partition, accept).await?;
            make_room(log.as_ref(), partition, start).await;
            starts.push((partition, start));
        }
        let partitions = starts
            .iter()
            .map(|(id, start)| PartitionProgress::new(*id, start.next, start.log_end))
            .collect();
        let (all, progress) = watch::channel(Progress { partitions });
        let stop = shutdown.child_token();
        let give_up = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for (partition, start) in starts {
            let task = PartitionTask {
                partition,
                log: Arc::clone(&log),
                lake: Arc::clone(&lake),
                config: Arc::clone(&config),
                reporter: Reporter::new(partition, all.clone()),
                meters: Meters::new(partition),
                gate: ReleaseGate::new(config.retention, Instant::now().into_std(), start.position),
                start,
                doubt: false,
                stop: stop.clone(),
                give_up: give_up.clone(),
            };
            tasks.spawn(task.run());
        }
        // Who records chosen ones alone leaves the others to others.
        if config.partitions.is_none() {
            let (log, stop) = (Arc::clone(&log), stop.clone());
            tasks.spawn(async move {
                let added = added::watch(log.as_ref());
                stop.run_until_cancelled_owned(added).await.map_or(Ok(()), Err)
            });
        }
        let watching = stop.clone().run_until_cancelled_owned(lag::watch(log, all));
        tasks.spawn(async move {
            watching.await;
            Ok(())
        });
        let drain_timeout = config.drain_timeout;
        let probed = Arc::clone(&lake);
        let supervisor = Supervisor { tasks, lake, stop: stop.clone(), give_up, drain_timeout };
        let supervisor = tokio::spawn(supervisor.run());
        Ok(RunningRecorder { progress, supervisor, lake: probed, stop: stop.drop_guard() })
    }
}

impl RunningRecorder {
    /// How far it is; changes wake the receiver.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// What asks the lake whether it is there.
    #[must_use]
    pub fn lake_probe(&self) -> LakeProbe {
        LakeProbe(Arc::clone(&self.lake))
    }

    /// Waits until everything of `partition` before `offset` is in the lake.
    ///
    /// # Errors
    /// When it is not in time, or the recorder ends first.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn wait_until(
        &self,
        partition: u32,
        offset: u64,
        at_most: Duration,
    ) -> Result<(), WaitError> {
        wait_until(self.progress(), partition, offset, at_most).await
    }

    /// Waits until it ends: after its shutdown was asked for, or because something is wrong for good.
    ///
    /// # Errors
    /// What is wrong. [`RecorderError::is_integrity`] says whether log and lake contradict each other.
    ///
    /// # Cancel safety
    /// Cancel safe. It must not be called again after it returned.
    pub async fn ended(&mut self) -> Result<(), RecorderError> {
        match (&mut self.supervisor).await {
            Ok(ended) => ended,
            Err(error) => Err(RecorderError::Task(error.to_string())),
        }
    }

    /// Records what is on the log now, waits for that, and ends.
    ///
    /// # Errors
    /// When it had ended with an error, or not all could be recorded within the configured time. What is not
    /// recorded stays on the log.
    ///
    /// # Cancel safety
    /// A dropped call goes on stopping.
    pub async fn stop(self) -> Result<(), RecorderError> {
        let Self { progress: _, supervisor, lake: _, stop } = self;
        drop(stop);
        supervisor.await.map_err(|error| RecorderError::Task(error.to_string()))?
    }
}

impl LakeProbe {
    /// Reads the newest version of the lake's table of events. It writes nothing.
    ///
    /// # Errors
    /// When the lake cannot be read.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn read(&self) -> Result<(), LakeError> {
        self.0.events.touch().await
    }
}

/// Owns the tasks: the first that fails stops the others in order, and its error is the recorder's.
struct Supervisor {
    tasks: JoinSet<Result<(), RecorderError>>,
    lake: Arc<Lake>,
    stop: CancellationToken,
    give_up: CancellationToken,
    drain_timeout: Duration,
}

impl Supervisor {
    async fn run(mut self) -> Result<(), RecorderError> {
        let mut first_error = None;
        let mut deadline = None;
        loop {
            let out_of_time = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            select! {
                ended = self.tasks.join_next() => match ended {
                    None => break,
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(error))) => {
                        tracing::error!(%error, integrity = error.is_integrity(), "the recorder ends");
                        first_error.get_or_insert(error);
                        self.stop.cancel();
                    }
                    Some(Err(error)) => {
                        first_error.get_or_insert(RecorderError::Task(error.to_string()));
                        self.stop.cancel();
                    }
                },
                () = self.stop.cancelled(), if deadline.is_none() => {
                    deadline = Some(Instant::now() + self.drain_timeout);
                }
                () = out_of_time, if !self.give_up.is_cancelled() => self.give_up.cancel(),
            }
        }
        if timeout(self.drain_timeout, self.lake.close()).await.is_err() {
            tracing::warn!(
                "a checkpoint was still being written at the end; the next one replaces it"
            );
        }
        first_error.map_or(Ok(()), Err)
    }
}

/// Whoever starts after the recorder has to append: a log that is full when it is opened gives what the lake has at once.
async fn make_room(log: &dyn Log, partition: u32, start: StartPoint) {
    let Some(offset) = start.position.filter(|_| log.is_short_of_room()) else { return };
    match log.release(TOPIC, Position { partition, offset }).await {
        Ok(()) => tracing::info!(
            partition,
            offset,
            "the log was short of room at the start: what the lake has was released"
        ),
        Err(error) => {
            tracing::warn!(partition, offset, %error, "the log is short of room and was not released; it is tried again")
        }
    }
}

fn chosen_partitions(config: &RecorderConfig, count: u32) -> Result<Vec<u32>, RecorderError> {
    let Some(chosen) = &config.partitions else { return Ok((0..count).collect()) };
    let mut chosen = chosen.clone();
    chosen.sort_unstable();
    chosen.dedup();
    match chosen.last() {
        Some(last) if *last >= count => Err(RecorderError::Config(format!(
            "partition {last} does not exist: the log has {count}, numbered from 0"
        ))),
        _ => Ok(chosen),
    }
}
