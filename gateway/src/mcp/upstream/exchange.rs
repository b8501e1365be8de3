//! One request to a server, from its record to the record of its end. No byte goes to the server, and none of what it says
//! to the client, before the event that records it is durable.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use gateway_core::mcp::{RpcError, Screened, Screening};
use gateway_core::passage::Authorized;
use gateway_core::passage::call::{Answered, Call, OwnRequest, to_client, to_server};
use serde_json::Value;
use tallyport_schemas::{CommandId, Recording, SharedContext};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tracing::{Instrument as _, debug_span};

use super::Upstream;
use super::own;
use super::question::{Admitted, Allowed};
use super::running::Method;
use super::sessions::Answerer;
use super::welcome::Welcome;
use super::wire::{Alias, Answers, Scope, WireError, WireSession};
use crate::service::{Inner, NotRecorded};

/// The most messages that a server may say before its answer; a stream that only listens has no end to count to.
const MAX_ASIDES: usize = 10_000;
/// The most of them that do not pass.
const MAX_UNHEARD: usize = 100;

/// One request.
pub(super) struct Exchange {
    pub(super) inner: Arc<Inner>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) context: SharedContext,
    pub(super) command_id: CommandId,
    pub(super) recording: Recording,
    /// The tool that it calls.
    pub(super) tool: Option<String>,
    /// What the answer is known by; nothing is awaited where absent.
    pub(super) id: Option<Alias>,
    /// For whom it is asked.
    pub(super) scope: Scope,
    /// Who asks; nobody but the gateway where absent.
    pub(super) welcome: Option<Welcome>,
    /// What of a client's the server may ask for, in a session: none where there is no client who could answer.
    pub(super) asks_for: Option<Arc<Answerer>>,
    /// The session that it is in.
    pub(super) session: Option<WireSession>,
    /// The server says something when there is something to say.
    pub(super) is_stream: bool,
    /// Takes out of the answer what is not for whoever asks.
    pub(super) amend: Option<Amend>,
}

pub(super) type Amend = Arc<dyn Fn(&mut Value) + Send + Sync>;

/// How it ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: StatusCode,
    /// For the client; empty where nothing was awaited.
    pub(super) message: Bytes,
    /// The session that the server began.
    pub(super) session: Option<String>,
    /// The server knows the session no more.
    pub(super) no_session: bool,
    /// It came to its end.
    pub(super) is_whole: bool,
}

/// Why it did not come to its end.
enum Cut {
    Wire(WireError),
    /// What ended it, in words for the client.
    Ended(String),
    /// Nothing more can be put on record.
    Log,
}

impl Exchange {
    /// Does it. `to` has what the server says before its answer.
    ///
    /// # Errors
    /// Where the log takes nothing: then nothing may be told but that.
    ///
    /// # Cancel safety
    /// Not cancel safe: its end would not be on record. `gone` ends it, and says why.
    pub(super) async fn run(
        self,
        call: Authorized<Call>,
        manner: Method<'_>,
        to: &mpsc::Sender<Bytes>,
        gone: impl Future<Output = &'static str>,
    ) -> Result<Ended, RpcError> {
        // A crash right here leaves nothing on the way.
        let recording = async {
            match self.welcome.as_ref().and_then(|it| it.caller.unrecorded()) {
                Some(check) => check.commit_with(&self.inner.appender, call).await,
                None => self.inner.appender.commit(call).await.map_err(NotRecorded::from),
            }
        };
        let call = recording.instrument(debug_span!("commit_intent")).await;
        let call = call.map_err(|error| not_on_record(&error))?;
        let bytes = to_server(call);
        let began = Instant::now();
        let turned_away = async {
            match &self.welcome {
                Some(welcome) => welcome.ends(&self.inner, &self.context).await,
                None => std::future::pending().await,
            }
        };
        let outcome = tokio::select! {
            biased;
            why = gone => Err(Cut::Ended(why.to_owned())),
            why = turned_away => Err(Cut::Ended(why)),
            outcome = self.talk(bytes, manner, to, began) => outcome,
        };
        self.end(outcome, began).await
    }

    /// Of what its principal asked for.
    pub(super) fn of(
        admitted: &Admitted,
        allowed: &Allowed,
        command_id: CommandId,
        id: Option<Alias>,
    ) -> Self {
        Self {
            inner: Arc::clone(&admitted.inner),
            upstream: Arc::clone(&admitted.upstream),
            context: allowed.context.clone(),
            command_id,
            recording: allowed.recording,
            tool: None,
            id,
            scope: Scope::of(&admitted.welcome.caller),
            welcome: Some(admitted.welcome.clone()),
            asks_for: None,
            session: None,
            is_stream: false,
            amend: None,
        }
    }

    /// Whether the client is there, and can do what the server asks of it.
    fn may_ask(&self, message: &Value) -> bool {
        self.asks_for.as_ref().is_some_and(|client| client.may_be_asked(message))
    }

    /// Tells the server that nobody will answer: it would wait for that.
    fn tell_unable(&self, asks: bool, message: &Value) {
        if let (true, Some(_), Some(id)) = (asks, &self.session, message.get("id")) {
            self.say(OwnRequest::Unable { id: id.clone() });
        }
    }

    fn say(&self, what: OwnRequest<'static>) {
        let of = (&self.context, &self.scope, self.session.as_ref());
        self.inner.spawn(own::said(&self.inner, &self.upstream, of, what));
    }

    /// Sends it, and hears the server out.
    async fn talk(
        &self,
        bytes: Bytes,
        manner: Method<'_>,
        to: &mpsc::Sender<Bytes>,
        began: Instant,
    ) -> Result<Heard, Cut> {
        let patience = self.upstream.config.timeout;
        let wire = &self.upstream.wire;
        let id = self.id.as_ref().map(Alias::at_server);
        let sent = wire.send(bytes, manner, (&self.scope, id)).instrument(debug_span!("target"));
        let mut answers =
            match timeout(patience, sent).await.map_err(|_| Cut::Wire(WireError::Late))?? {
                Some(answers) => answers,
                None => return Ok(Heard { status: 204, session: None, answer: None }),
            };
        let (status, session) = (answers.status(), answers.session());
        let (mut asides, mut unheard) = (0, 0);
        loop {
            let Some(mut message) = self.hear(&mut answers, patience).await? else {
                return match &self.id {
                    // A stream that only listens ends when its server will.
                    Some(_) if !self.is_stream => Err(Cut::Wire(WireError::Cut)),
                    _ => Ok(Heard { status, session, answer: None }),
                };
            };
            let says = message.get("method").is_some();
            if !says && id.is_some_and(|id| message.get("id") == Some(id.as_value())) {
                return Ok(Heard { status, session, answer: Some(message) });
            }
            let asks = says && message.get("id").is_some();
            let may_pass = says && self.id.as_ref().is_none_or(|id| id.rename(&mut message));
            if !may_pass || (asks && !self.may_ask(&message)) {
                tracing::warn!(
                    server = self.upstream.config.name,
                    "the server says what nobody asked for; it does not pass"
                );
                unheard += 1;
                if unheard > MAX_UNHEARD {
                    return Err(Cut::Wire(WireError::TooLarge));
                }
                self.tell_unable(asks, &message);
                continue;
            }
            asides += 1;
            if asides > MAX_ASIDES && !self.is_stream {
                return Err(Cut::Wire(WireError::TooLarge));
            }
            self.aside(message, to, began).await?;
        }
    }

    async fn hear(&self, answers: &mut Answers, patience: Duration) -> Result<Option<Value>, Cut> {
        if self.is_stream {
            return Ok(answers.next().await?);
        }
        Ok(timeout(patience, answers.next()).await.map_err(|_| Cut::Wire(WireError::Late))??)
    }

    /// Puts on record what the server says beside its answer, and lets it pass.
    async fn aside(
        &self,
        message: Value,
        to: &mpsc::Sender<Bytes>,
        began: Instant,
    ) -> Result<(), Cut> {
        let screened = self.screening().screen(self.tool.as_deref(), message);
        let is_withheld = screened.is_withheld();
        let reply = self.answered(began).aside(screened).map_err(|error| {
            tracing::warn!(server = self.upstream.config.name, %error, "a message of the server cannot be put on record");
            Cut::Wire(WireError::TooLarge)
        })?;
        let recording = self.inner.appender.commit(reply).instrument(debug_span!("commit_outcome"));
        let reply = recording.await.map_err(|error| {
            let _told = not_on_record(&error);
            Cut::Log
        })?;
        if !is_withheld {
            // Gone: the end of it follows.
            let _gone = to.send(to_client(reply)).await;
        }
        Ok(())
    }

    /// Puts on record how it ended, and says so.
    async fn end(self, outcome: Result<Heard, Cut>, began: Instant) -> Result<Ended, RpcError> {
        let answered = self.answered(began);
        self.upstream.meters.answered(began.elapsed());
        let (mut no_session, mut is_whole) = (false, true);
        let (status, session, reply) = match outcome {
            Ok(Heard { status, session, answer: Some(mut message) }) => {
                if let Some(amend) = &self.amend {
                    amend(&mut message);
                }
                if let Some(id) = &self.id {
                    id.rename_answer(&mut message);
                }
                self.upstream.gate.did(true);
                let reply = answered.reply(self.screening().screen(self.tool.as_deref(), message));
                (status, session, reply)
            }
            Ok(Heard { status, session, answer: None }) => {
                self.upstream.gate.did(true);
                (status, session, answered.taken())
            }
            Err(Cut::Log) => return Err(log_unavailable()),
            Err(cut) => {
                is_whole = false;
                self.tell_cancelled(&cut);
                no_session = matches!(&cut, Cut::Wire(WireError::NoSession));
                let error = self.told(&cut);
                (
                    200,
                    None,
                    answered
                        .interrupted(Screened::own(&error, self.id.as_ref().map(Alias::at_client))),
                )
            }
        };
        let reply = reply.map_err(|error| {
            tracing::error!(%error, "an answer cannot be put on record");
            RpcError::internal()
        })?;
        let recording = self.inner.appender.commit(reply).instrument(debug_span!("commit_outcome"));
        let reply = recording.await.map_err(|error| not_on_record(&error))?;
        let message = if self.id.is_some() { to_client(reply) } else { Bytes::new() };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
        Ok(Ended { status, message, session, no_session, is_whole })
    }

    /// Tells the server that nobody waits for it any more, where it does not see that by itself.
    fn tell_cancelled(&self, cut: &Cut) {
        let is_late = match cut {
            Cut::Ended(_) => false,
            Cut::Wire(WireError::Late) => true,
            Cut::Wire(_) | Cut::Log => return,
        };
        let in_session = self.session.is_some();
        if let (true, Some(id)) =
            (self.upstream.wire.wants_to_be_told(in_session, is_late), &self.id)
        {
            self.say(OwnRequest::Cancelled { id: id.at_server().as_value().clone() });
        }
    }

    /// What is told of a request that did not come to its end: nothing of the server but that it failed.
    fn told(&self, cut: &Cut) -> RpcError {
        let name = &self.upstream.config.name;
        let error = match cut {
            Cut::Ended(why) => return RpcError::ended(why.clone()),
            Cut::Log => return log_unavailable(),
            Cut::Wire(error) => error,
        };
        if let Some(code) = error.code() {
            self.upstream.meters.failed(code);
        }
        if error.is_of_server(&self.scope) {
            self.upstream.gate.did(false);
        }
        if error.is_failure() {
            tracing::warn!(server = name, %error, "a request to an MCP server failed");
        }
        RpcError::ended(error.told(name))
    }

    fn answered(&self, began: Instant) -> Answered<'_> {
        let duration_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        Answered {
            context: &self.context,
            command_id: self.command_id,
            recording: self.recording,
            duration_us,
        }
    }

    fn screening(&self) -> &Screening {
        &self.upstream.config.screening
    }
}

/// What the server said at last.
struct Heard {
    status: u16,
    session: Option<String>,
    answer: Option<Value>,
}

impl From<WireError> for Cut {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

pub(super) fn not_on_record(error: &impl std::fmt::Display) -> RpcError {
    tracing::error!(%error, "a request to an MCP server is not on record, and does not pass");
    log_unavailable()
}

fn log_unavailable() -> RpcError {
    RpcError::ended(
        "the audit log is not available; nothing passes without a record, try again later",
    )
}
