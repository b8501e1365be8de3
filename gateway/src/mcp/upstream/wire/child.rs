//! One process of a server, and who waits for what of it. It is one caller's alone, so what it says can reach nobody else; of
//! that caller's requests each has its own number, by which its answer is known.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway_core::mcp::Id;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::alias::named;
use super::lines::{Line, Lines};
use super::process::{Started, log};
use super::{MAX_MESSAGE_BYTES, Scope, WireError, WireSession, message};
use crate::outgoing::Secrets;

/// The most requests that wait for one process.
const MAX_WAITING: usize = 256;
/// What may wait for whoever asked to take it, and the longest of what is no answer; what is more is left out.
const MAX_UNREAD: usize = 64;
const MAX_ASIDE_BYTES: usize = 256 * 1024;
/// Messages that wait to be written.
const MAX_UNWRITTEN: usize = 16;
/// What does not pass, in a row: no message, or for nobody.
const MAX_UNHEARD: usize = 100;
/// How long the rest of what an ended process said is waited for: what it started may hold the pipe.
const REST: Duration = Duration::from_millis(500);

/// One process.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) number: String,
    pub(super) scope: Scope,
    /// It has begun, or begins, a session.
    pub(super) in_session: bool,
    patience: Duration,
    lines: mpsc::Sender<Outgoing>,
    state: Mutex<State>,
    /// It is to end.
    pub(super) stop: CancellationToken,
    /// It has, and all that it started.
    pub(super) ended: CancellationToken,
}

#[derive(Debug)]
struct State {
    /// Oldest first.
    waiting: Vec<Waiting>,
    listener: Option<mpsc::Sender<Value>>,
    /// Its session, where it is kept for what its caller asks without one.
    kept: Option<WireSession>,
    used: Instant,
    heard: Instant,
    end: Option<End>,
}

#[derive(Debug)]
struct Waiting {
    id: Value,
    to: mpsc::Sender<Value>,
}

/// A message for it.
#[derive(Debug)]
pub(super) struct Outgoing {
    bytes: Bytes,
    written: oneshot::Sender<()>,
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nobody used it any more, or the gateway stops.
    Asked,
    /// By itself.
    Died,
    /// It did not answer.
    Hung,
    TooLarge,
    Garbage,
}

/// What comes of it for one request, or for whoever listens.
#[derive(Debug)]
pub(in crate::mcp::upstream) struct ChildAnswers {
    pub(super) session: Option<String>,
    awaited: Option<Awaited>,
}

/// Somebody waits, until this is dropped.
#[derive(Debug)]
pub(super) struct Awaited {
    child: Arc<Child>,
    /// Of the request; whoever listens has none.
    id: Option<Value>,
    since: Instant,
    from: mpsc::Receiver<Value>,
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.listener.is_none()
    }
}

impl Child {
    pub(super) fn new(
        number: String,
        scope: Scope,
        in_session: bool,
        (patience, stop): (Duration, CancellationToken),
    ) -> (Arc<Self>, mpsc::Receiver<Outgoing>) {
        let (lines, outgoing) = mpsc::channel(MAX_UNWRITTEN);
        let now = Instant::now();
        let state = State {
            waiting: Vec::new(),
            listener: None,
            kept: None,
            used: now,
            heard: now,
            end: None,
        };
        let ended = CancellationToken::new();
        let state = Mutex::new(state);
        let child = Self { number, scope, in_session, patience, lines, state, stop, ended };
        (Arc::new(child), outgoing)
    }

    pub(super) fn is_live(&self) -> bool {
        !self.stop.is_cancelled() && self.state.lock().end.is_none()
    }

    pub(super) fn kept(&self) -> Option<WireSession> {
        self.state.lock().kept.clone()
    }

    pub(super) fn keep(&self, session: &WireSession) {
        self.state.lock().kept = Some(session.clone());
    }

    /// Since when nobody uses it; nothing while somebody does.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state.lock();
        state.is_idle().then_some(state.used)
    }

    /// Ends it, where nobody uses it. Whoever wants to from now on, is told that it is over.
    pub(super) fn retire(&self, unused_for: Duration) -> bool {
        let mut state = self.state.lock();
        let is_idle = state.is_idle() && state.used.elapsed() >= unused_for;
        if is_idle {
            state.end.get_or_insert(End::Asked);
            self.stop.cancel();
        }
        is_idle
    }

    /// Says something to it.
    ///
    /// # Cancel safety
    /// A dropped call may have said it.
    pub(super) async fn say(
        &self,
        bytes: Bytes,
        awaited: Option<Awaited>,
    ) -> Result<ChildAnswers, WireError> {
        let (written, is_written) = oneshot::channel();
        let sent = self.lines.send(Outgoing { bytes, written }).await;
        sent.map_err(|_| self.error())?;
        is_written.await.map_err(|_| self.error())?;
        let session = self.in_session.then(|| self.number.clone());
        Ok(ChildAnswers { session, awaited })
    }

    /// Whatever it says of this request from now on is for whoever has what this gives.
    pub(super) fn wait(self: &Arc<Self>, id: &Id) -> Result<Awaited, WireError> {
        let (id, (to, from)) = (id.as_value(), mpsc::channel(MAX_UNREAD));
        let mut state = self.state.lock();
        if state.end.is_some() {
            drop(state);
            return Err(self.error());
        }
        if state.waiting.len() >= MAX_WAITING {
            return Err(WireError::Full);
        }
        let since = Instant::now();
        state.used = since;
        state.waiting.push(Waiting { id: id.clone(), to });
        Ok(Awaited { child: Arc::clone(self), id: Some(id.clone()), since, from })
    }

    /// Has what it says to no request; whoever listened before hears no more.
    pub(super) fn listen(self: &Arc<Self>) -> ChildAnswers {
        let (to, from) = mpsc::channel(MAX_UNREAD);
        self.state.lock().listener = Some(to);
        let (child, since) = (Arc::clone(self), Instant::now());
        ChildAnswers { session: None, awaited: Some(Awaited { child, id: None, since, from }) }
    }

    /// Gives a message to whoever waits for it; whether anybody does.
    fn hears(&self, message: Value) -> bool {
        let mut state = self.state.lock();
        let (says, id) = (message.get("method").is_some(), message.get("id"));
        if !says {
            let place = state.waiting.iter().position(|it| Some(&it.id) == id);
            // It has room: nothing but one answer is given to it.
            return place.is_some_and(|it| state.waiting.remove(it).to.try_send(message).is_ok());
        }
        let to = match named(&message) {
            Some(named) => state.waiting.iter().find(|it| it.id == *named).map(|it| &it.to),
            // In a session all is one client's; else only what cannot be meant for another.
            None => state.listener.as_ref().or_else(|| {
                let is_one_clients = self.in_session && state.kept.is_none();
                let is_plain = is_one_clients || state.waiting.len() == 1;
                state.waiting.first().map(|it| &it.to).filter(|_| is_plain)
            }),
        };
        // The last place is the answer's.
        to.is_some_and(|to| to.capacity() > 1 && to.try_send(message).is_ok())
    }

    /// What whoever waits is told of its end.
    fn error(&self) -> WireError {
        match self.state.lock().end {
            Some(End::Asked) => WireError::NoSession,
            Some(End::TooLarge) => WireError::TooLarge,
            Some(End::Garbage) => WireError::NoMessage("neither JSON nor for anybody"),
            _ => WireError::Died,
        }
    }

    /// Runs it to its end; says why that came.
    ///
    /// # Cancel safety
    /// A dropped call kills it.
    pub(super) async fn run(
        self: Arc<Self>,
        server: &str,
        (started, outgoing): (Started, mpsc::Receiver<Outgoing>),
        idle: Duration,
    ) -> End {
        let Started { mut process, stdin, stdout, stderr, secrets, is_screened } = started;
        let end = {
            let hearing = self.hear(server, stdout, &secrets);
            let logging = log(server, stderr, &secrets, is_screened);
            tokio::pin!(hearing, logging);
            let mut is_logged = false;
            let writing = write(stdin, outgoing);
            tokio::pin!(writing);
            loop {
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => break self.state.lock().end.unwrap_or(End::Asked),
                    end = &mut hearing => break end,
                    () = self.unused_for(idle) => break End::Asked,
                    // What it said before it ended counts.
                    () = process.ended() => break timeout(REST, hearing).await.unwrap_or(End::Died),
                    () = &mut writing => break timeout(REST, hearing).await.unwrap_or(End::Died),
                    () = &mut logging, if !is_logged => is_logged = true,
                }
            }
        };
        self.over(end);
        process.end().await;
        end
    }

    /// Nothing more comes of it.
    fn over(&self, end: End) {
        let mut state = self.state.lock();
        state.end = Some(end);
        // Whoever waits for it is told.
        state.waiting.clear();
        state.listener = None;
    }

    async fn unused_for(&self, idle: Duration) {
        while !self.retire(idle) {
            sleep_until(self.idle_since().unwrap_or_else(Instant::now) + idle).await;
        }
    }

    async fn hear(&self, server: &str, stdout: ChildStdout, secrets: &Secrets) -> End {
        let mut lines = Lines::new(BufReader::new(stdout), MAX_MESSAGE_BYTES);
        let mut unheard = 0;
        loop {
            let line = match lines.next().await {
                Ok(Some(Line::Whole(line))) => line,
                Ok(Some(Line::TooLong(_))) => return End::TooLarge,
                Ok(None) | Err(_) => return End::Died,
            };
            self.state.lock().heard = Instant::now();
            let is_heard = message(&line).is_ok_and(|mut message| {
                let is_too_long = line.len() > MAX_ASIDE_BYTES && message.get("method").is_some();
                secrets.hide(&mut message);
                !is_too_long && self.hears(message)
            });
            unheard = if is_heard { 0 } else { unheard + 1 };
            if unheard == 1 {
                tracing::warn!(
                    server,
                    "a server says what is no message, or for nobody; it does not pass"
                );
            }
            if unheard > MAX_UNHEARD {
                return End::Garbage;
            }
        }
    }
}

async fn write(mut stdin: ChildStdin, mut outgoing: mpsc::Receiver<Outgoing>) {
    while let Some(Outgoing { bytes, written }) = outgoing.recv().await {
        let line = async {
            stdin.write_all(&bytes).await?;
            stdin.write_all(b"\n").await?;
            stdin.flush().await
        };
        if line.await.is_err() {
            return;
        }
        // Whoever said it may have gone.
        let _gone = written.send(());
    }
}

impl ChildAnswers {
    /// As HTTP would have it.
    pub(super) const fn status(&self) -> u16 {
        if self.awaited.is_some() { 200 } else { 202 }
    }

    /// The next message; none where there are no more.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Value>, WireError> {
        let Some(awaited) = &mut self.awaited else { return Ok(None) };
        match awaited.from.recv().await {
            Some(message) => Ok(Some(message)),
            None if awaited.id.is_none() => Ok(None),
            None => Err(awaited.child.error()),
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut state = self.child.state.lock();
        state.used = now;
        let Some(id) = &self.id else {
            // Somebody else may listen by now.
            if state.listener.as_ref().is_some_and(mpsc::Sender::is_closed) {
                state.listener = None;
            }
            return;
        };
        let waited = state.waiting.len();
        state.waiting.retain(|it| it.id != *id);
        let is_unanswered = state.waiting.len() < waited;
        // One that says nothing at all for as long as an answer may take will not say anything.
        if is_unanswered && state.heard < self.since && self.since.elapsed() >= self.child.patience
        {
            state.end.get_or_insert(End::Hung);
            self.child.stop.cancel();
        }
    }
}
