//! A running session: two directions over one machine.
//!
//! Towards the target a unit is judged, committed, sent. Back, a batch is masked, committed, sent; while a batch waits
//! for the log or for a slow agent nothing more is read from the target, so memory stays bounded and backpressure
//! reaches PostgreSQL.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_core::passage::Bench;
use gateway_core::pg::session::{AgentStep, Court, Ending, Machine, Violation};
use gateway_core::pg::write::ErrorReply;
use parking_lot::Mutex;
use tallyport_eventlog::CommitError;
use tallyport_schemas::{ApprovalId, SessionEnd};
use tokio::io::{AsyncReadExt as _, ReadHalf};
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::Instrument as _;

use super::read_buffer::ReadBuffer;
use super::trace::Statements;
use super::{AgentWriter, BenchMaker, LiveSession, Tunnel};
use crate::service::Postgres;
use crate::targets::CatalogLoadError;
use crate::tunnel::TunnelIo;
use crate::upstream::{TargetWriter, Upstream};

/// The longest a target is waited for to answer what was sent before the client said goodbye.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(10);

/// A session whose target is ready.
pub(super) struct Live {
    pub tunnel: Tunnel,
    target: Arc<Postgres>,
    pub machine: Mutex<Machine>,
    pub registered: Arc<LiveSession>,
    pub(super) benches: BenchMaker,
    upstream: Option<Upstream>,
    started: Instant,
    /// The target owes nothing any more.
    pub(super) drained: Notify,
    /// There is something to answer without the target.
    pub(super) answer: Notify,
    /// Approvals that were asked for here.
    pub(super) asked: Mutex<BTreeSet<ApprovalId>>,
    pub(super) statements: Statements,
}

/// Why a direction stopped.
pub(super) enum Stop {
    /// The client said goodbye, and that went to the target.
    Goodbye,
    /// As this says.
    Ended(Ending),
}

impl From<Violation> for Stop {
    fn from(violation: Violation) -> Self {
        Self::Ended(Ending::Lost {
            cause: violation.code().to_owned(),
            message: violation.to_string(),
            farewell: Some(violation.reply()),
        })
    }
}

impl From<CommitError> for Stop {
    fn from(error: CommitError) -> Self {
        let reply = ErrorReply::fatal(
            "58030",
            "tallyport: the audit log did not take the record; the session was ended",
        )
        .hint("Nothing passes without a record. Try again later.");
        Self::Ended(Ending::Lost {
            cause: "log_unavailable".to_owned(),
            message: error.to_string(),
            farewell: Some(reply),
        })
    }
}

impl From<CatalogLoadError> for Stop {
    fn from(error: CatalogLoadError) -> Self {
        let reply = ErrorReply::fatal(
            "08006",
            "tallyport: the target's catalog cannot be read; the session was ended",
        );
        Self::Ended(Ending::Lost {
            cause: "catalog_unavailable".to_owned(),
            message: error.to_string(),
            farewell: Some(reply),
        })
    }
}

impl Stop {
    pub(super) fn target_gone() -> Self {
        Self::Ended(Ending::Closed(SessionEnd::Target))
    }

    /// What the agent did not take: it left, or it reads no more.
    pub(super) fn unsent(error: &std::io::Error) -> Self {
        if error.kind() != std::io::ErrorKind::TimedOut {
            return Self::client_gone();
        }
        Self::Ended(Ending::Lost {
            cause: "reader_stalled".to_owned(),
            message: "the client took nothing of its answer for too long".to_owned(),
            farewell: None,
        })
    }

    pub(super) fn client_gone() -> Self {
        Self::Ended(Ending::Lost {
            cause: "client_gone".to_owned(),
            message: "the client's connection ended without a goodbye".to_owned(),
            farewell: None,
        })
    }
}

impl Live {
    pub(super) fn new(
        (tunnel, target): (Tunnel, Arc<Postgres>),
        machine: Machine,
        upstream: Upstream,
        benches: BenchMaker,
        registered: Arc<LiveSession>,
    ) -> Self {
        Self {
            tunnel,
            target,
            machine: Mutex::new(machine),
            registered,
            benches,
            upstream: Some(upstream),
            started: Instant::now(),
            drained: Notify::new(),
            answer: Notify::new(),
            asked: Mutex::default(),
            statements: Statements::new(),
        }
    }

    /// Runs until one side, time, or somebody ends it; its end is on record when this returns.
    ///
    /// A task has room for all that it will ever do at once, for as long as it lives: what is large and moved, or comes
    /// last, is boxed.
    pub(super) async fn serve(
        mut self: Box<Self>,
        mut reader: ReadHalf<Box<dyn TunnelIo>>,
        agent: &mut AgentWriter,
    ) {
        let Some(upstream) = self.upstream.take() else { return };
        let Upstream { reader: mut target_reader, writer: mut target, .. } = upstream;
        let ending = {
            let mut inbound = pin!(self.inbound(&mut reader, &mut target));
            let mut outbound = pin!(self.outbound(&mut target_reader, agent));
            let either = async {
                tokio::select! {
                    stop = &mut inbound => stop,
                    stop = &mut outbound => stop,
                }
            };
            let first = tokio::select! {
                // Whatever else happens at the same moment: whoever is out is out.
                biased;
                ending = self.tunnel.ended_outside(&self.registered) => Stop::Ended(ending),
                stop = either => stop,
            };
            match first {
                Stop::Ended(ending) => ending,
                Stop::Goodbye => {
                    // What was asked before the goodbye is still answered; the target closes when it is done.
                    let rest = async {
                        tokio::select! {
                            biased;
                            ending = self.tunnel.ended_outside(&self.registered) => ending,
                            _ = &mut outbound => Ending::Closed(SessionEnd::Client),
                        }
                    };
                    timeout(GOODBYE_TIMEOUT, rest)
                        .await
                        .unwrap_or(Ending::Closed(SessionEnd::Client))
                }
            }
        };
        Box::pin(self.finish(ending, (&mut target_reader, &mut target), agent)).await;
    }

    async fn inbound(
        &self,
        reader: &mut ReadHalf<Box<dyn TunnelIo>>,
        target: &mut TargetWriter,
    ) -> Stop {
        match self.forward_all(reader, target).await {
            Ok(stop) | Err(stop) => stop,
        }
    }

    async fn forward_all(
        &self,
        reader: &mut ReadHalf<Box<dyn TunnelIo>>,
        target: &mut TargetWriter,
    ) -> Result<Stop, Stop> {
        let appender = &self.tunnel.inner.appender;
        let mut buffer = ReadBuffer::new();
        loop {
            let bench = self.benches.newest().await?;
            let mut step = self.agent_step(&bench)?;
            if let AgentStep::Hold(held) = step {
                // Rare and large: it is not to be part of every session's memory.
                step = Box::pin(self.hold(held, reader, &mut buffer)).await?;
            }
            match step {
                // What is held comes back as something else.
                AgentStep::Hold(_) => {}
                AgentStep::NeedMore => match reader.read_buf(buffer.emptied()).await {
                    Ok(1..) => {
                        self.statements.arrived();
                        self.machine.lock().agent_bytes(buffer.bytes());
                    }
                    Ok(0) | Err(_) => return Ok(Stop::client_gone()),
                },
                AgentStep::Wait => self.wait_until_drained().await,
                AgentStep::Forward(forward) => {
                    let terminates = forward.after.terminates;
                    if forward.after.changes_catalog {
                        self.benches.catalog.touch();
                    }
                    // A crash right here leaves an intent on record that never reached the target.
                    let span = self.statements.commit_intent(&self.tunnel, &forward.after);
                    let durable = appender.commit(forward.unit).instrument(span).await?;
                    // What came on record while it was asked to end goes nowhere any more.
                    if let Some(ending) = self.registered.ordered_end() {
                        return Err(Stop::Ended(ending));
                    }
                    self.machine.lock().forwarded(forward.after, self.now_us())?;
                    self.answer.notify_one();
                    self.statements.sent();
                    target.send(durable).await.map_err(|_| Stop::target_gone())?;
                    if terminates {
                        return Ok(Stop::Goodbye);
                    }
                }
                AgentStep::Refuse(refuse) => {
                    let terminates = refuse.after.terminates;
                    let span = self.statements.commit_intent(&self.tunnel, &refuse.after);
                    let _on_record = appender.commit(refuse.note).instrument(span).await?;
                    self.statements.refused();
                    self.machine.lock().noted(refuse.after, self.now_us())?;
                    self.answer.notify_one();
                    if terminates {
                        return Ok(Stop::Ended(Ending::Closed(SessionEnd::Client)));
                    }
                }
            }
        }
    }

    pub(super) fn agent_step(&self, bench: &Arc<Bench>) -> Result<AgentStep, Violation> {
        let context = self.tunnel.ask_context();
        let _judging = self.statements.judge().entered();
        let court = Court { bench, context: &context, now_us: self.now_us() };
        self.machine.lock().agent_step(&court)
    }

    async fn wait_until_drained(&self) {
        loop {
            let mut drained = pin!(self.drained.notified());
            // Registered before the look, so that a change in between is not missed.
            drained.as_mut().enable();
            if self.machine.lock().is_drained() {
                return;
            }
            drained.await;
        }
    }

    /// Cancels what the target runs for this session.
    pub(super) async fn cancel_target(&self, rule: &str) {
        let what = format!("cancel what session {} runs", self.tunnel.session_id);
        let inner = &self.tunnel.inner;
        let Some(backend) = self.registered.backend else { return };
        let request = {
            let mut machine = self.machine.lock();
            inner.cancel_request(backend, rule, what, machine.scribe())
        };
        if let Some(request) = request {
            inner.send_cancel(&self.target, backend, request).await;
        }
    }

    pub(super) fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
