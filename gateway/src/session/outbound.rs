//! From the target to the agent: what came goes on record in batches, and each passes once its record is durable.
//!
//! One batch may wait for its record while the next one is read and judged; they pass in their order.

use std::pin::Pin;

use futures::FutureExt as _;
use futures::future::{BoxFuture, MaybeDone, maybe_done};
use gateway_core::pg::session::{MaskedResponse, TargetStep, Violation};
use tallyport_eventlog::{CommitError, Durable};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tracing::Instrument as _;

use super::live::{Live, Stop};
use super::read_buffer::ReadBuffer;
use super::{AgentWriter, Outcome};

/// A batch whose record has its place in the log and is not known to be durable yet.
struct Recording<'a> {
    commit: MaybeDone<BoxFuture<'a, Result<Durable<MaskedResponse>, CommitError>>>,
    wire_bytes: usize,
    /// The commands that end in it, where somebody wants to be told.
    outcomes: Vec<Outcome>,
    /// It ends inside a message that comes in pieces.
    ends_inside: bool,
}

impl Recording<'_> {
    async fn done(this: &mut Option<Self>) {
        match this {
            Some(recording) => Pin::new(&mut recording.commit).await,
            None => std::future::pending().await,
        }
    }
}

impl Live {
    pub(super) async fn outbound<R: AsyncRead + Unpin>(
        &self,
        reader: &mut R,
        agent: &mut AgentWriter,
    ) -> Stop {
        let mut recording = None;
        let stop = match self.answer_all(reader, agent, &mut recording).await {
            Ok(stop) | Err(stop) => stop,
        };
        // What came before the reason to stop still passes, in its order.
        match self.deliver(agent, &mut recording).await {
            Ok(()) => stop,
            Err(unsent) => unsent,
        }
    }

    async fn answer_all<'a, R: AsyncRead + Unpin>(
        &'a self,
        reader: &mut R,
        agent: &mut AgentWriter,
        recording: &mut Option<Recording<'a>>,
    ) -> Result<Stop, Stop> {
        let mut buffer = ReadBuffer::new();
        loop {
            self.drain_decoded(agent, recording).await?;
            if Recording::done(recording).now_or_never().is_some() {
                self.deliver(agent, recording).await?;
            }
            // What the target has ready joins the batch. When it has nothing right now, the batch goes out, or grows on
            // while the one before it waits for its record.
            let read = match reader.read_buf(buffer.emptied()).now_or_never() {
                Some(read) => read,
                None => {
                    if recording.is_none() {
                        self.flush(agent, recording).await?;
                    }
                    tokio::select! {
                        () = Recording::done(recording) => {
                            self.deliver(agent, recording).await?;
                            continue;
                        }
                        read = reader.read_buf(buffer.emptied()) => read,
                        () = self.answer.notified() => continue,
                    }
                }
            };
            match read {
                Ok(1..) => self.machine.lock().target_bytes(buffer.bytes()),
                Ok(0) | Err(_) => {
                    self.flush(agent, recording).await?;
                    return Ok(Stop::target_gone());
                }
            }
        }
    }

    /// Goes on with all that is decoded; full batches go out on the way.
    async fn drain_decoded<'a>(
        &'a self,
        agent: &mut AgentWriter,
        recording: &mut Option<Recording<'a>>,
    ) -> Result<(), Stop> {
        let mut refreshed = false;
        loop {
            let (step, ends_inside, cancels, drained) = {
                let mut machine = self.machine.lock();
                let step = machine.target_step(self.now_us());
                (step, machine.is_inside_answer(), machine.take_cancel(), machine.is_drained())
            };
            if drained {
                self.drained.notify_waiters();
            }
            if let Some(rule) = cancels {
                self.cancel_target(rule).await;
            }
            match step {
                Ok(TargetStep::NeedMore) => return Ok(()),
                Ok(TargetStep::Batch(batch)) => {
                    self.record(batch, ends_inside, agent, recording).await?;
                }
                Err(Violation::UnknownOrigin { .. }) if !refreshed => {
                    // The table may be younger than the snapshot: one look, then it counts as unknown.
                    refreshed = true;
                    let bench = self.benches.refreshed().await?;
                    self.machine.lock().renew(&bench);
                }
                Err(violation) => return Err(violation.into()),
            }
        }
    }

    async fn flush<'a>(
        &'a self,
        agent: &mut AgentWriter,
        recording: &mut Option<Recording<'a>>,
    ) -> Result<(), Stop> {
        let (batch, ends_inside) = {
            let mut machine = self.machine.lock();
            (machine.flush()?, machine.is_inside_answer())
        };
        match batch {
            Some(batch) => self.record(batch, ends_inside, agent, recording).await,
            None => Ok(()),
        }
    }

    /// Gives `batch` its place in the log, and lets pass what was there before it.
    async fn record<'a>(
        &'a self,
        batch: MaskedResponse,
        ends_inside: bool,
        agent: &mut AgentWriter,
        recording: &mut Option<Recording<'a>>,
    ) -> Result<(), Stop> {
        let wire_bytes = batch.wire_bytes();
        let outcomes = match &self.tunnel.tap {
            Some(_) => batch.summaries().map(Outcome::from).collect(),
            None => Vec::new(),
        };
        // A crash right here leaves an outcome on record that the agent never saw.
        let commit = self.tunnel.inner.appender.commit(batch);
        let commit = commit.instrument(self.statements.commit_outcome()).boxed();
        let commit = maybe_done(commit);
        let mut next = Some(Recording { commit, wire_bytes, outcomes, ends_inside });
        let _perhaps_done_already = Recording::done(&mut next).now_or_never();
        self.deliver(agent, recording).await?;
        *recording = next;
        Ok(())
    }

    /// Waits until what is being recorded is durable, and sends it.
    async fn deliver(
        &self,
        agent: &mut AgentWriter,
        recording: &mut Option<Recording<'_>>,
    ) -> Result<(), Stop> {
        if recording.is_none() {
            return Ok(());
        }
        Recording::done(recording).await;
        let Some(mut recorded) = recording.take() else { return Ok(()) };
        let Some(durable) = Pin::new(&mut recorded.commit).take_output() else { return Ok(()) };
        let durable = durable?;
        // What came on record while it was asked to end goes nowhere any more.
        if let Some(ending) = self.registered.ordered_end() {
            return Err(Stop::Ended(ending));
        }
        if let Some(tap) = &self.tunnel.tap {
            tap.ended(std::mem::take(&mut recorded.outcomes));
        }
        let sent = agent.send(durable, recorded.ends_inside).await;
        sent.map_err(|error| Stop::unsent(&error))?;
        let mut machine = self.machine.lock();
        machine.sent_to_agent(recorded.wire_bytes);
        self.statements.answered(machine.is_drained());
        Ok(())
    }
}
