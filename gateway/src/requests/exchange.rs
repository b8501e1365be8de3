//! What was let through, from its record to the record of its end. No byte goes to the target, and none of its answer to the
//! agent, before the event that records it is durable.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway_core::http::{NotShown, Plan, Show, Shown, hidden};
use gateway_core::kubernetes::NotChannel;
use gateway_core::passage::request::{Answering, Closing, Part, Wanted, to_client};
use gateway_core::passage::{Authorized, CHUNK_BYTES, Masked};
use gateway_core::target::Manner;
use tallyport_eventlog::Durable;
use tallyport_schemas::{CommandId, ContentError, Finding, ResponseStatus};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug_span};

use super::body::Piece;
use super::decide::Allowed;
use super::request::Told;
use super::session::Session;
use super::streams::Upgrade;
use super::wire::{Begun, Opened, WireError};
use crate::gate::Pass;

/// Pieces that wait for the agent to take them.
const AHEAD: usize = 2;
/// The longest that streams take to end once their session has.
const STREAMS_END: Duration = Duration::from_secs(5);
/// A text that pauses so long is shown as far as it came.
const PAUSE: Duration = Duration::from_millis(200);

/// One request that may go.
pub(super) struct Exchange {
    pub(super) session: Arc<Session>,
    pub(super) command_id: CommandId,
    pub(super) plan: Plan,
    manner: Manner,
    request: Option<Authorized<Wanted>>,
    /// The agent's side of what becomes streams.
    pub(super) upgrade: Option<Upgrade>,
    _pass: Pass,
    pub(super) answer: Answer,
}

/// What the agent was told by now, and what is still to be put on record.
pub(super) struct Answer {
    pub(super) answering: Option<Answering>,
    show: Option<Show>,
    /// What was found in streams.
    pub(super) found: Vec<Finding>,
    /// How often the gateway's credential was taken out.
    echoed: Option<Finding>,
    to: To,
    began: Instant,
}

/// The way to the agent.
pub(super) enum To {
    /// It was told nothing.
    Nothing(oneshot::Sender<Told>),
    /// More follows.
    Pieces(mpsc::Sender<Piece>),
    /// It is told nothing more.
    Over,
}

/// Why it did not come to its end.
pub(super) enum Cut {
    Wire(WireError),
    Hidden(NotShown),
    /// What may not pass in a stream.
    Channel(NotChannel),
    /// What ended it, in words for the agent.
    Ended(&'static str),
    /// It takes nothing.
    Stalled,
    /// Nothing more can be put on record.
    Log,
}

impl Exchange {
    pub(super) fn new(
        session: Arc<Session>,
        plan: Plan,
        (manner, upgrade): (Manner, Option<Upgrade>),
        command_id: CommandId,
        allowed: Allowed,
        told: oneshot::Sender<Told>,
    ) -> Self {
        let Allowed { request, pass, recording } = allowed;
        let answer = Answer {
            answering: Some(Answering::new(command_id, recording)),
            show: None,
            found: Vec::new(),
            echoed: None,
            to: To::Nothing(told),
            began: Instant::now(),
        };
        Self {
            session,
            command_id,
            plan,
            manner,
            request: Some(request),
            upgrade,
            _pass: pass,
            answer,
        }
    }

    /// Does it, to the record of its end. `gone`: nobody waits for the answer any more.
    pub(super) async fn run(mut self, gone: CancellationToken) {
        let Some(request) = self.request.take() else { return };
        let session = Arc::clone(&self.session);
        // A crash right here leaves nothing on the way.
        let Some(request) = session.on_record(request, debug_span!("commit_intent")).await else {
            return self.answer.tell_unrecorded(&session);
        };
        session.stats.lock().commands += 1;
        session.tunnel.entry.meters.allowed.increment(1);
        self.answer.began = Instant::now();
        // Streams tell it in their own way.
        let streams = matches!(self.manner, Manner::Streams(_));
        let over = async {
            session.over.cancelled().await;
            if streams {
                sleep(STREAMS_END).await;
            }
        };
        let outcome = tokio::select! {
            biased;
            () = gone.cancelled() => Err(Cut::Ended("the client left")),
            () = over => Err(Cut::Ended("the session ended")),
            outcome = self.talk(request) => outcome,
        };
        if let Err(cut) = outcome {
            self.cut(cut).await;
        }
    }

    /// Sends it, and shows the answer as it comes.
    async fn talk(&mut self, request: Durable<Authorized<Wanted>>) -> Result<(), Cut> {
        let target = Arc::clone(&self.session.target);
        let patience = target.config.timeout;
        if let Manner::Streams(plan) = self.manner.clone() {
            let opened = target.wire.open(request, self.command_id, &plan.protocols);
            let opened = opened.instrument(debug_span!("target"));
            let opened = timeout(patience, opened).await.unwrap_or(Err(WireError::Late));
            target.note(opened.as_ref().err());
            return match opened? {
                (Opened::Refused(begun), _) => self.relay(begun).await,
                (Opened::Streams { protocol, io }, inputs) => {
                    self.stream(&plan, protocol, *io, inputs).await
                }
            };
        }
        let sent = target.wire.send(request).instrument(debug_span!("target"));
        let begun = timeout(patience, sent).await;
        let begun = begun.unwrap_or(Err(WireError::Late));
        target.note(begun.as_ref().err());
        self.relay(begun?).await
    }

    /// Shows an answer as it comes.
    async fn relay(&mut self, mut begun: Begun) -> Result<(), Cut> {
        let target = Arc::clone(&self.session.target);
        let patience = target.config.timeout;
        let plan = std::mem::take(&mut self.plan);
        self.answer.echoed = begun.echoed();
        let show = Show::begin(plan, &*target.protocol, begun.status, &begun.fields)?;
        self.answer.show = Some(show);
        let mut pending = Shown::nothing();
        loop {
            let next = self.next(&mut begun, patience).await;
            self.answer.echoed = begun.echoed();
            let next = next?;
            let Some(show) = &mut self.answer.show else { return Err(Cut::Log) };
            let shown = match next {
                Next::Piece(piece) => show.feed(&piece)?,
                Next::Pause => show.pause()?,
                Next::End => break,
            };
            pending.join(shown.unwrap_or_else(Shown::nothing));
            let is_due = pending.len() >= CHUNK_BYTES || self.manner == Manner::Follow;
            if is_due && !pending.is_empty() {
                let part = std::mem::replace(&mut pending, Shown::nothing());
                self.answer.part(&self.session, part).await?;
            }
        }
        let Some(show) = &mut self.answer.show else { return Err(Cut::Log) };
        pending.join(show.finish()?);
        self.answer.last(&self.session, pending, ResponseStatus::Ok).await
    }

    async fn next(&self, begun: &mut Begun, patience: Duration) -> Result<Next, Cut> {
        let follows = self.manner == Manner::Follow;
        let holds = follows && self.answer.show.as_ref().is_some_and(Show::holds);
        let next = match (holds, follows) {
            (true, _) => match timeout(PAUSE, begun.next()).await {
                Ok(next) => next,
                Err(_) => return Ok(Next::Pause),
            },
            // It says something when there is something to say.
            (false, true) => begun.next().await,
            (false, false) => timeout(patience, begun.next()).await.unwrap_or(Err(WireError::Late)),
        };
        Ok(next?.map_or(Next::End, Next::Piece))
    }

    /// Puts on record that it did not come to its end, and says so where that can still be said.
    async fn cut(mut self, cut: Cut) {
        let name = &self.session.target.reference().name;
        let (status, code, message) = match &cut {
            Cut::Log => return self.answer.tell_unrecorded(&self.session),
            Cut::Ended(why) => (503, "session_ended", (*why).to_owned()),
            Cut::Stalled => {
                (503, "reader_stalled", "nothing of the answer was taken for too long".to_owned())
            }
            Cut::Hidden(why) => {
                tracing::warn!(target = name, %why, "an answer is kept back");
                let message = format!(
                    "tallyport kept the answer back: {why}. Whether {name} did what was asked is not known; this is on record as \
                     command {}",
                    self.command_id
                );
                (502, "answer_withheld", message)
            }
            Cut::Channel(why) => {
                tracing::warn!(target = name, %why, "streams are ended");
                (400, "stream_ended", why.to_string())
            }
            Cut::Wire(WireError::Late) => {
                let message = format!(
                    "{name} took longer than it may; whether it did what was asked is not known"
                );
                (504, "target_timeout", message)
            }
            Cut::Wire(error) => {
                tracing::warn!(target = name, %error, "a request to a target failed");
                let message = if error.may_have_arrived() {
                    format!(
                        "{name} gave no whole answer; whether it did what was asked is not known"
                    )
                } else {
                    format!("{name} cannot be used now; try again later")
                };
                (502, "target_unavailable", message)
            }
        };
        let told = match &self.answer.to {
            To::Nothing(_) => Shown::own(&*self.session.target.protocol, status, code, &message),
            // In the middle of an answer nothing else can be told.
            To::Pieces(_) | To::Over => Shown::nothing(),
        };
        let session = Arc::clone(&self.session);
        let was_told = matches!(self.answer.to, To::Nothing(_));
        let status = if was_told && matches!(cut, Cut::Hidden(_)) {
            ResponseStatus::Error
        } else {
            ResponseStatus::Interrupted
        };
        if self.answer.last(&session, told, status).await.is_err() {
            self.answer.tell_unrecorded(&session);
        }
    }
}

enum Next {
    Piece(Bytes),
    Pause,
    End,
}

impl Answer {
    /// Puts the next of the answer on record, and lets it pass.
    pub(super) async fn part(&mut self, session: &Session, shown: Shown) -> Result<(), Cut> {
        let Some(answering) = &mut self.answering else { return Err(Cut::Log) };
        let masked = answering.part(shown, &mut session.scribe.lock());
        let part = self.recorded(session, masked).await?;
        if let To::Pieces(to) = &self.to {
            return stalled(session, to, part.bytes).await;
        }
        let (to, rest) = mpsc::channel(AHEAD);
        self.tell(part, Some(rest), To::Pieces(to));
        Ok(())
    }

    /// Puts its end on record, and lets it pass.
    pub(super) async fn last(
        &mut self,
        session: &Session,
        shown: Shown,
        status: ResponseStatus,
    ) -> Result<(), Cut> {
        let Some(answering) = self.answering.take() else { return Err(Cut::Log) };
        let (masked_values, mut findings) = match &self.show {
            Some(show) => (show.masked_values(), show.findings()),
            None => (hidden(&self.found), std::mem::take(&mut self.found)),
        };
        let echoed = self.echoed.as_ref().map_or(0, |it| it.count);
        findings.extend(self.echoed.take());
        let closing = Closing {
            status,
            masked_values: masked_values + echoed,
            findings,
            duration_us: u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
        };
        session.target.meters.answered(self.began.elapsed());
        let masked = answering.last(shown, closing, &mut session.scribe.lock());
        let part = self.recorded(session, masked).await?;
        match std::mem::replace(&mut self.to, To::Over) {
            To::Pieces(to) => {
                if !part.bytes.is_empty() {
                    stalled(session, &to, part.bytes).await?;
                }
                // Without its end the agent does not take it for whole.
                if status == ResponseStatus::Ok {
                    let _gone = to.send(Piece::End).await;
                }
            }
            to @ To::Nothing(_) => {
                self.to = to;
                self.tell(part, None, To::Over);
            }
            To::Over => {}
        }
        Ok(())
    }

    pub(super) async fn recorded(
        &self,
        session: &Session,
        masked: Result<Masked<Part>, ContentError>,
    ) -> Result<Part, Cut> {
        let masked = masked.map_err(|error| {
            tracing::error!(%error, "an answer cannot be put on record");
            Cut::Log
        })?;
        let recorded = session.on_record(masked, debug_span!("commit_outcome")).await;
        let masked = recorded.ok_or(Cut::Log)?;
        let part = to_client(masked);
        session.stats.lock().bytes_to_agent += part.bytes.len() as u64;
        Ok(part)
    }

    pub(super) fn tell(&mut self, part: Part, rest: Option<mpsc::Receiver<Piece>>, next: To) {
        let (To::Nothing(told), Some(answered)) =
            (std::mem::replace(&mut self.to, next), part.head)
        else {
            return;
        };
        // Gone: the end of it follows.
        let _gone = told.send(Told { answered, first: part.bytes, rest });
    }

    fn tell_unrecorded(&mut self, session: &Session) {
        if let To::Nothing(told) = std::mem::replace(&mut self.to, To::Over) {
            let _gone = told.send(Told::unrecorded(session));
        }
    }
}

/// Sends what an agent must take in time.
async fn stalled(session: &Session, to: &mpsc::Sender<Piece>, bytes: Bytes) -> Result<(), Cut> {
    let limit = session.tunnel.inner.limits.stalled_reader_timeout;
    match timeout(limit, to.send(Piece::Data(bytes))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Cut::Ended("the client left")),
        Err(_) => Err(Cut::Stalled),
    }
}

impl Cut {
    /// The target's side of streams broke off.
    pub(super) fn broken(error: &impl ToString) -> Self {
        Self::Wire(WireError::Cut(error.to_string()))
    }
}

impl From<WireError> for Cut {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<NotShown> for Cut {
    fn from(why: NotShown) -> Self {
        Self::Hidden(why)
    }
}
