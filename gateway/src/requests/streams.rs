//! A request that becomes a connection of streams by WebSocket (RFC 6455): each message is on record before it passes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use gateway_core::http::{Shown, listed};
use gateway_core::kubernetes::{NotChannel, Streams, exit_of};
use gateway_core::passage::request::{Inputs, to_running};
use gateway_core::target::StreamPlan;
use http::HeaderMap;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::Request;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tallyport_detect::Screen;
use tallyport_schemas::ResponseStatus;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tracing::debug_span;

use super::exchange::{Answer, Cut, Exchange, To};
use super::session::Session;

/// The longest message.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// The longest an agent takes until its connection is one of streams.
const SWITCH_TIMEOUT: Duration = Duration::from_secs(10);
/// A text that pauses so long is shown as far as it came: somebody types.
const PAUSE: Duration = Duration::from_millis(50);

/// The agent's side of a connection that may become one of streams.
pub(super) struct Upgrade {
    on: OnUpgrade,
    accept: String,
}

impl Upgrade {
    /// Of a request that asks for it.
    pub(super) fn of(request: &mut Request<Incoming>) -> Option<Self> {
        let key = request.headers().get(SEC_WEBSOCKET_KEY)?;
        let accept = derive_accept_key(key.as_bytes());
        Some(Self { on: hyper::upgrade::on(request), accept })
    }

    /// What the answer says beside the subprotocol.
    pub(super) fn fields(accept: &str, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, http::HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, http::HeaderValue::from_static("websocket"));
        if let Ok(accept) = http::HeaderValue::from_str(accept) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
    }

    pub(super) fn accept(&self) -> &str {
        &self.accept
    }
}

/// How the streams ended.
enum Over {
    /// The target said so.
    Ended,
    /// The agent left.
    Left,
}

impl Exchange {
    /// Tells the agent that streams begin, and carries what goes to and fro.
    pub(super) async fn stream<T: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        plan: &StreamPlan,
        protocol: String,
        io: T,
        inputs: Inputs,
    ) -> Result<(), Cut> {
        let Some(upgrade) = self.upgrade.take() else {
            return Err(Cut::Ended("the client's connection cannot become one of streams"));
        };
        self.session.streams.store(true, Ordering::Release);
        self.answer.switch(&self.session, protocol).await?;
        let switched = timeout(SWITCH_TIMEOUT, upgrade.on).await;
        let Ok(Ok(agent)) = switched else { return Err(Cut::Ended("the client left")) };
        let mut config = WebSocketConfig::default();
        config.max_message_size = Some(MAX_MESSAGE_BYTES);
        config.max_frame_size = Some(MAX_MESSAGE_BYTES);
        let agent = TokioIo::new(agent);
        let agent = WebSocketStream::from_raw_socket(agent, Role::Server, Some(config)).await;
        let target = WebSocketStream::from_raw_socket(io, Role::Client, Some(config)).await;
        let (mut to_agent, mut from_agent) = agent.split();
        let (mut to_target, mut from_target) = target.split();
        let screen = self.plan.screen.clone();
        let streams = || {
            if plan.raw {
                Streams::raw()
            } else {
                Streams::new(plan.stdin, plan.tty, screen.as_ref())
            }
        };
        let session = &self.session;
        let outcome = {
            let inbound = inbound(session, streams(), inputs, &mut from_agent, &mut to_target);
            let outbound = self.answer.outbound(
                session,
                (streams(), screen.as_ref()),
                &mut from_target,
                &mut to_agent,
            );
            tokio::select! {
                biased;
                () = session.over.cancelled() => Err(Cut::Ended("the session ended")),
                over = outbound => over,
                over = inbound => over,
            }
        };
        // Each side is told in its own way; whoever is gone hears nothing.
        let goodbye = async {
            let _gone = to_target.close().await;
            let why = match &outcome {
                Err(Cut::Channel(why)) => Some(why.to_string()),
                Err(Cut::Ended(why)) => Some((*why).to_owned()),
                _ => None,
            };
            // A clean end that says nothing is taken for success.
            if let Some(why) = why.filter(|_| !plan.raw) {
                let told = self.answer.tell_why(session, &why).await;
                if let Ok(bytes) = told {
                    let _gone = to_agent.send(Message::Binary(bytes)).await;
                }
            }
            // One that broke off is not told as one that ended.
            if !matches!(&outcome, Err(Cut::Wire(_) | Cut::Log)) {
                let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                let _gone = to_agent.send(Message::Close(Some(frame))).await;
            }
        };
        let _late = timeout(SWITCH_TIMEOUT, goodbye).await;
        match outcome? {
            Over::Ended => {
                self.answer.last(&self.session, Shown::nothing(), ResponseStatus::Ok).await
            }
            Over::Left => Err(Cut::Ended("the client left")),
        }
    }
}

/// From the agent to what runs.
async fn inbound<R, W>(
    session: &Session,
    streams: Streams,
    mut inputs: Inputs,
    from: &mut R,
    to: &mut W,
) -> Result<Over, Cut>
where
    R: futures::Stream<Item = Result<Message, SocketError>> + Unpin,
    W: futures::Sink<Message, Error = SocketError> + Unpin,
{
    loop {
        let bytes = match from.next().await {
            Some(Ok(Message::Binary(bytes))) => bytes,
            Some(Ok(Message::Text(text))) => Bytes::from(text),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(Over::Left),
        };
        streams.from_agent(&bytes).map_err(Cut::Channel)?;
        // Of nothing there is no record, and nothing to pass.
        if bytes.is_empty() {
            continue;
        }
        let input = inputs.next(bytes, &mut session.scribe.lock()).map_err(|error| {
            tracing::error!(%error, "input cannot be put on record");
            Cut::Log
        })?;
        let recorded = session.on_record(input, debug_span!("commit_intent")).await;
        let bytes = to_running(recorded.ok_or(Cut::Log)?);
        session.stats.lock().bytes_to_target += bytes.len() as u64;
        to.send(Message::Binary(bytes)).await.map_err(|error| Cut::broken(&error))?;
    }
}

impl Answer {
    /// Puts on record that streams begin, and says so.
    async fn switch(&mut self, session: &Session, protocol: String) -> Result<(), Cut> {
        let Some(answering) = &mut self.answering else { return Err(Cut::Log) };
        let masked = answering.part(Shown::switching(protocol), &mut session.scribe.lock());
        let part = self.recorded(session, masked).await?;
        self.tell(part, None, To::Over);
        Ok(())
    }

    /// From what runs to the agent.
    async fn outbound<R, W>(
        &mut self,
        session: &Session,
        (mut streams, screen): (Streams, Option<&Screen>),
        from: &mut R,
        to: &mut W,
    ) -> Result<Over, Cut>
    where
        R: futures::Stream<Item = Result<Message, SocketError>> + Unpin,
        W: futures::Sink<Message, Error = SocketError> + Unpin,
    {
        loop {
            let next = if streams.holds() {
                timeout(PAUSE, from.next()).await.ok()
            } else {
                Some(from.next().await)
            };
            let all = match next {
                None => streams.pause(),
                Some(Some(Ok(Message::Binary(bytes)))) => self.hear(&mut streams, &bytes),
                Some(Some(Ok(Message::Text(text)))) => self.hear(&mut streams, &Bytes::from(text)),
                Some(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => continue,
                Some(Some(Ok(Message::Close(_)))) => return Ok(Over::Ended),
                Some(None) => return Err(Cut::broken(&"it ended without a word")),
                Some(Some(Err(error))) => return Err(Cut::broken(&error)),
            };
            if let Some(screen) = screen {
                self.found = listed(screen, &streams.findings());
            }
            for shown in all.map_err(Cut::Channel)? {
                if shown.is_empty() {
                    continue;
                }
                let bytes = self.message(session, shown).await?;
                let limit = session.tunnel.inner.limits.stalled_reader_timeout;
                match timeout(limit, to.send(Message::Binary(bytes))).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Ok(Over::Left),
                    Err(_) => return Err(Cut::Stalled),
                }
            }
        }
    }

    fn hear(&mut self, streams: &mut Streams, bytes: &Bytes) -> Result<Vec<Shown>, NotChannel> {
        if let (Some((3, told)), Some(answering)) = (bytes.split_first(), &mut self.answering) {
            answering.tagged(
                exit_of(told).map_or_else(|| "failed".to_owned(), |exit| format!("exit {exit}")),
            );
        }
        streams.from_target(bytes)
    }

    /// Puts a message on record, and gives it.
    async fn message(&mut self, session: &Session, shown: Shown) -> Result<Bytes, Cut> {
        let Some(answering) = &mut self.answering else { return Err(Cut::Log) };
        let masked = answering.part(shown, &mut session.scribe.lock());
        Ok(self.recorded(session, masked).await?.bytes)
    }

    /// Why the streams end, in the form in which they say how a program ended.
    async fn tell_why(&mut self, session: &Session, why: &str) -> Result<Bytes, Cut> {
        self.message(session, Streams::ended(why)).await
    }
}
