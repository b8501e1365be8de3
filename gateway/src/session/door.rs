//! The first packets of a tunnel: a session, a cancellation, or neither.

use std::sync::Arc;

use bytes::BytesMut;
use gateway_core::passage::{Bench, Masked, Note, Response, own};
use gateway_core::pg::session::{Ending, Machine, greet};
use gateway_core::pg::startup::{
    self, Accepted, CancelKey, MAX_STARTUP_BYTES, Packet, StartupMessage,
};
use gateway_core::pg::write::ErrorReply;
use gateway_core::sql::SessionState;
use jiff::Timestamp;
use parking_lot::Mutex;
use tallyport_schemas::{ContentError, Context, Session, SessionEnd, SessionStats};
use tokio::io::{AsyncReadExt as _, ReadHalf};
use tokio::time::timeout;
use tracing::Instrument as _;

use super::live::Live;
use super::{AgentWriter, BenchMaker, SessionInfo, Tunnel};
use crate::meters;
use crate::service::Postgres;
use crate::tunnel::TunnelIo;
use crate::upstream::{DialError, Upstream};

/// SSLRequest, GSSENCRequest, one of them again, and the StartupMessage.
const MAX_PACKETS: usize = 4;

/// A session that did not come to be.
struct TurnedAway {
    reply: Option<Box<ErrorReply>>,
    cause: &'static str,
    message: String,
    /// How it was ended, where somebody ended it, or its time.
    ending: Option<Box<Ending>>,
}

impl TurnedAway {
    fn telling(reply: ErrorReply, cause: &'static str, message: impl ToString) -> Self {
        Self { reply: Some(Box::new(reply)), cause, message: message.to_string(), ending: None }
    }

    fn silently(cause: &'static str, message: impl ToString) -> Self {
        Self { reply: None, cause, message: message.to_string(), ending: None }
    }

    fn ended(ending: Ending) -> Self {
        let message = "its access ended while it was on its way in".to_owned();
        Self {
            reply: ending.farewell().map(Box::new),
            cause: "ended",
            message,
            ending: Some(Box::new(ending)),
        }
    }

    fn log(error: impl ToString) -> Self {
        Self::silently("log_unavailable", error)
    }
}

/// Reads the first packets and opens the session; `None` when there is none, and then that is on record.
pub(super) async fn enter(
    mut tunnel: Tunnel,
    target: Arc<Postgres>,
    reader: &mut ReadHalf<Box<dyn TunnelIo>>,
    agent: &mut AgentWriter,
) -> Option<Box<Live>> {
    let mut buffer = BytesMut::new();
    let wait = tunnel.inner.limits.startup_timeout;
    let first = timeout(wait, first_packet(&mut tunnel, reader, &mut buffer, agent)).await;
    let outcome = match first {
        Err(_) => Err(TurnedAway::silently(
            "startup_timeout",
            "the client sent no start-up packet in time",
        )),
        Ok(Err(away)) => Err(away),
        Ok(Ok(Packet::Cancel(key))) => {
            cancel(&mut tunnel, &target, key).await;
            return None;
        }
        Ok(Ok(Packet::Startup(message))) => {
            let opening = open(&mut tunnel, &target, &message, agent);
            opening.instrument(tracing::debug_span!("session_open")).await
        }
        Ok(Ok(Packet::Ssl | Packet::GssEnc)) => {
            Err(TurnedAway::silently("protocol_error", "too many start-up packets"))
        }
    };
    match outcome {
        Ok(opened) => Some(Box::new(opened.live(tunnel, target, &buffer))),
        Err(away) => {
            turn_away(&mut tunnel, away, agent).await;
            None
        }
    }
}

/// Answers what asks for encryption, and gives the packet that says what is wanted.
async fn first_packet(
    tunnel: &mut Tunnel,
    reader: &mut ReadHalf<Box<dyn TunnelIo>>,
    buffer: &mut BytesMut,
    agent: &mut AgentWriter,
) -> Result<Packet, TurnedAway> {
    let mut packets = 0;
    loop {
        let packet = startup::read_packet(buffer).map_err(|error| {
            let reply = ErrorReply::fatal("08P01", format!("tallyport: {error}"));
            TurnedAway::telling(reply, "protocol_error", &error)
        })?;
        match packet {
            Some((packet, used)) => {
                let _packet = buffer.split_to(used);
                packets += 1;
                if !matches!(packet, Packet::Ssl | Packet::GssEnc) || packets >= MAX_PACKETS {
                    return Ok(packet);
                }
                let refusal = greet::no_encryption(&mut tunnel.scribe);
                pass(tunnel, refusal, agent).await?;
            }
            None => {
                let read = reader.read_buf(buffer).await;
                if buffer.len() > MAX_STARTUP_BYTES * MAX_PACKETS || !matches!(read, Ok(1..)) {
                    let message = "the client left before its start-up packet";
                    return Err(TurnedAway::silently("client_gone", message));
                }
            }
        }
    }
}

/// A session whose target is ready.
struct Opened {
    machine: Machine,
    upstream: Upstream,
    benches: BenchMaker,
    registered: Arc<super::LiveSession>,
}

impl Opened {
    fn live(mut self, mut tunnel: Tunnel, target: Arc<Postgres>, unread: &[u8]) -> Live {
        tunnel.open = Some(tunnel.entry.meters.opened());
        self.machine.agent_bytes(unread);
        let said_already = std::mem::take(&mut self.upstream.leftover);
        self.machine.target_bytes(&said_already);
        Live::new((tunnel, target), self.machine, self.upstream, self.benches, self.registered)
    }
}

async fn open(
    tunnel: &mut Tunnel,
    postgres: &Postgres,
    message: &StartupMessage,
    agent: &mut AgentWriter,
) -> Result<Opened, TurnedAway> {
    let target = Arc::clone(postgres.dialer.target());
    let accepted = startup::accept(message, &target.databases)
        .map_err(|rejected| TurnedAway::telling(rejected.reply(), "startup_refused", &rejected))?;
    let reference = target.reference(Some(&accepted.database));
    let context =
        Context { target: Some(reference.clone()), ..Context::clone(tunnel.scribe.context()) };
    tunnel.scribe.set_context(context.into());

    may_go_on(tunnel)?;
    let cache = tunnel.inner.catalog(postgres, &accepted.database);
    let benches = BenchMaker {
        policy: tunnel.inner.policy.clone(),
        masking: tunnel.inner.masking.clone(),
        catalog: cache,
        identity: Arc::clone(&tunnel.identity),
        target: Arc::clone(&target),
        reference: reference.clone(),
        session_id: tunnel.session_id,
        peer: tunnel.peer,
        given: tunnel.grant.as_ref().map(|grant| Arc::clone(&grant.given)),
        current: Mutex::new(None),
    };
    let bench = benches.opening().await.map_err(|error| {
        tracing::warn!(target = target.name, %error, "session refused: no catalog");
        let reply = ErrorReply::fatal("08001", "tallyport: the target cannot be reached, or does not tell its catalog; try again later");
        TurnedAway::telling(reply, "target_unreachable", &error)
    })?;

    let upstream = dial(tunnel, postgres, &bench, &accepted).await?;
    let info = SessionInfo {
        session_id: tunnel.session_id,
        principal: tunnel.identity.principal.clone(),
        target: reference,
        application: accepted.setting("application_name").map(str::to_owned),
        peer: tunnel.peer,
        opened_at: Timestamp::now(),
        expires_at: tunnel.lifetime.expires_at(),
    };
    let grant_id = tunnel.grant.as_ref().map(|grant| grant.grant_id);
    let identity = Arc::clone(&tunnel.identity);
    let registered = tunnel.inner.registry.admit(info, identity, grant_id, Some(upstream.key));
    // What was revoked while it was on its way in: from here on the registry is told.
    tunnel.inner.control.end_if_barred(&registered);
    let welcome = greet::welcome(&accepted, &upstream.settings, registered.key, &mut tunnel.scribe);
    let welcomed = tokio::select! {
        biased;
        ending = registered.asked_to_end() => {
            Err(TurnedAway::ended(ending.unwrap_or(Ending::Closed(SessionEnd::Shutdown))))
        }
        passed = pass(tunnel, welcome, agent) => passed,
    };
    if let Err(away) = welcomed {
        tunnel.inner.registry.dismiss(&registered);
        return Err(away);
    }
    let scribe = gateway_core::passage::Scribe::new(tunnel.scribe.context().clone());
    let scribe = std::mem::replace(&mut tunnel.scribe, scribe);
    let state =
        SessionState::at_startup(bench.catalog().search_path(), |name| accepted.setting(name));
    let machine =
        Machine::new(target.limits, scribe, state, upstream.settings.iter().cloned().collect())
            .started_with(accepted.settings)
            .looking(target.screen.clone())
            .reading(tunnel.reads_only);
    Ok(Opened { machine, upstream, benches, registered })
}

/// Whoever was let in may have taken their time: while nothing bars them, the target's credential may be read.
fn may_go_on(tunnel: &Tunnel) -> Result<(), TurnedAway> {
    let barred = tunnel.inner.control.barred(&tunnel.whom());
    barred.map_or(Ok(()), |ending| Err(TurnedAway::ended(ending)))
}

/// Puts the opening on record, then dials.
async fn dial(
    tunnel: &mut Tunnel,
    postgres: &Postgres,
    bench: &Bench,
    accepted: &Accepted,
) -> Result<Upstream, TurnedAway> {
    let opened = Session::Opened {
        expires_at: Some(tunnel.lifetime.expires_at()),
        application: accepted.setting("application_name").map(str::to_owned),
        parameters: accepted.settings.clone(),
    };
    let asked = tunnel.ask_context();
    let leave = match own::connect(bench, &asked, &mut tunnel.scribe, opened) {
        Ok(leave) => leave,
        Err((note, denial)) => {
            let _on_record = tunnel.inner.appender.commit(note).await.map_err(TurnedAway::log)?;
            let reply =
                ErrorReply { severity: gateway_core::pg::write::Severity::Fatal, ..denial.reply() };
            return Err(TurnedAway::telling(
                reply,
                "denied_by_policy",
                "policy does not permit this database",
            ));
        }
    };
    let leave = tunnel.inner.appender.commit(leave).await.map_err(TurnedAway::log)?;
    // The log may have taken its time.
    may_go_on(tunnel)?;
    let mut settings = accepted.settings.clone();
    if accepted.setting("search_path").is_none() {
        // Names mean what was judged, and not what the default of role or database became since the catalog was read.
        settings.insert("search_path".to_owned(), bench.catalog().search_path_setting());
    }
    let dialled = postgres.dialer.dial(&leave, &accepted.database, &settings);
    let dialled = dialled.instrument(tracing::debug_span!("dial")).await;
    dialled.map_err(|error: DialError| {
        tracing::warn!(target = postgres.dialer.target().name, %error, "target not reached");
        TurnedAway::telling(error.reply(), "target_unreachable", &error)
    })
}

/// A CancelRequest: only of the principal whose session it is.
async fn cancel(tunnel: &mut Tunnel, target: &Postgres, key: CancelKey) {
    let policy = tunnel.inner.policy.current();
    let found = tunnel.inner.registry.of_principal(&key, &tunnel.identity.principal);
    let Some(session) =
        found.filter(|session| session.info.target.name == target.dialer.target().name)
    else {
        let reason = "no live session of this principal on this target has this key";
        let note: Note = own::cancel_refused(&mut tunnel.scribe, reason, policy.version());
        if let Err(error) = tunnel.inner.appender.commit(note).await {
            tracing::warn!(%error, "a refused cancellation is not on record");
        }
        return;
    };
    if session.cancel_hold() {
        let what = format!("cancel what session {} waits to run", session.info.session_id);
        let note = own::cancel_held(&mut tunnel.scribe, policy.version(), what);
        if let Err(error) = tunnel.inner.appender.commit(note).await {
            tracing::warn!(%error, "a cancellation is not on record");
        }
        return;
    }
    // Every session of this kind has one.
    let Some(backend) = session.backend else { return };
    let what = format!("cancel what session {} runs", session.info.session_id);
    let inner = Arc::clone(&tunnel.inner);
    inner.cancel_backend(target, backend, "tallyport:cancel", what, &mut tunnel.scribe).await;
}

/// Puts gateway-made bytes on record, then sends them.
async fn pass(
    tunnel: &Tunnel,
    bytes: Result<Option<Masked<Response>>, ContentError>,
    agent: &mut AgentWriter,
) -> Result<(), TurnedAway> {
    let Some(response) = bytes.map_err(|error| TurnedAway::silently("record_failed", error))?
    else {
        return Ok(());
    };
    let response = tunnel.inner.appender.commit(response).await.map_err(TurnedAway::log)?;
    agent.send(response, false).await.map_err(|error| TurnedAway::silently("client_gone", error))
}

async fn turn_away(tunnel: &mut Tunnel, away: TurnedAway, agent: &mut AgentWriter) {
    meters::turned_away(away.cause);
    let stats = SessionStats::default();
    let end = match &away.ending {
        Some(ending) => ending.event(stats),
        None => Session::Lost { cause: away.cause.to_owned(), message: away.message, stats },
    };
    // In the middle of a greeting nothing else could be read.
    let reply = away.reply.as_deref().filter(|_| agent.is_listening());
    let last = greet::turned_away(reply, end, &mut tunnel.scribe);
    if let Err(failed) = pass(tunnel, last, agent).await {
        tracing::warn!(
            cause = away.cause,
            why = failed.cause,
            "the end of a session is not on record"
        );
    }
}
