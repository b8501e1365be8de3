//! One `CONNECT`: who is it, may they, and all of it on record before the answer.

use std::sync::Arc;

use gateway_core::passage::{Note, Scribe};
use gateway_core::verdict::Judge;
use jiff::Timestamp;
use tallyport_access::{AuthFailure, Identity, authentication_event};
use tallyport_eventlog::CommitError;
use tallyport_schemas::{
    Body, Context, Decision, Draft, Effect, Endpoint, Recording, Session, SessionEnd, SessionId,
    SessionStats, TargetKind, TargetRef,
};
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use super::inner::{Inner, TargetEntry};
use super::slots::Slot;
use crate::session::{Lifetime, Tunnel, ask_context};
use crate::tunnel::{ConnectRequest, Refusal};

/// The longest target name that is repeated in an event.
const MAX_NAME_CHARS: usize = 128;

pub(super) async fn open(inner: &Arc<Inner>, request: ConnectRequest) -> Result<Tunnel, Refusal> {
    if inner.is_closed() {
        return Err(refusal(503, "shutting_down", "the gateway is shutting down; try again later"));
    }
    let outcome = match &request.token {
        Some(token) => {
            let verified = inner.authenticator.verify(token.expose());
            verified.instrument(tracing::debug_span!("authentication")).await
        }
        None => Err(AuthFailure::missing()),
    };
    let checked_at = (Timestamp::now(), Instant::now());
    inner.authentications.checked(&outcome);
    if let Err(failure) = &outcome
        && !inner.strangers.may_record(request.front, failure, request.peer)
    {
        // A flood of bad tokens must not fill the log: it is counted, and the count goes on record.
        return Err(turned_away_by_token(failure));
    }
    let session_id = SessionId::new();
    Span::current().record("session", tracing::field::display(session_id));
    let context = context_of(&request, outcome.as_ref().ok(), session_id);
    let mut scribe = Scribe::new(context.into());
    let checked = authentication_event(&outcome, request.front);
    let mut drafts = vec![scribe.draft(Body::Authentication(checked))];
    let answer = match outcome {
        Err(failure) => Err(turned_away_by_token(&failure)),
        Ok(identity) => admit(inner, &request, &identity, session_id, &mut scribe, &mut drafts)
            .map(|admitted| (identity, admitted)),
    };
    // A crash right here leaves the attempt on record or not; no tunnel is open either way.
    let recorded = inner.appender.commit(Note::new(drafts)).await;
    let _on_record = recorded.map_err(|error| log_unavailable(&error))?;
    let (identity, (entry, slot)) = answer?;
    Ok(Tunnel {
        inner: Arc::clone(inner),
        entry,
        lifetime: Lifetime::new(identity.expires_at, checked_at.0, checked_at.1),
        identity: Arc::new(identity),
        peer: request.peer,
        session_id,
        scribe,
        open: None,
        _slot: slot,
    })
}

type Admitted = (Arc<TargetEntry>, Slot);

/// Decides; the decision and, where it is no, the end of the attempt join `drafts`.
fn admit(
    inner: &Inner,
    request: &ConnectRequest,
    identity: &Identity,
    session_id: SessionId,
    scribe: &mut Scribe,
    drafts: &mut Vec<Draft>,
) -> Result<Admitted, Refusal> {
    let policy = inner.policy.current();
    let asker = policy.asker(identity);
    let reference = reference_of(&request.target);
    let asked = ask_context(session_id, request.peer);
    let mut decision = Judge::connect(&asker, &reference, &asked, Recording::Full).decision;
    let entry = inner.target(&request.target);
    if entry.is_none() && decision.effect == Effect::Allow {
        decision = Decision {
            effect: Effect::Deny,
            reasons: vec!["there is no target of this name".to_owned()],
            ..decision
        };
    }
    let allowed = decision.effect == Effect::Allow;
    drafts.push(scribe.draft(Body::Decision(decision)));
    let slot = entry.filter(|_| allowed).map(|entry| {
        let max_on_target = entry.dialer.target().max_sessions;
        inner
            .slots
            .take(&identity.principal, &request.target, max_on_target)
            .map(|slot| (entry, slot))
    });
    match slot {
        Some(Ok(admitted)) => Ok(admitted),
        Some(Err(full)) => {
            let lost = Session::Lost {
                cause: full.cause().to_owned(),
                message: full.message(),
                stats: SessionStats::default(),
            };
            drafts.push(scribe.draft(Body::Session(lost)));
            Err(full.refusal())
        }
        None => {
            let closed =
                Session::Closed { end: SessionEnd::Refused, stats: SessionStats::default() };
            drafts.push(scribe.draft(Body::Session(closed)));
            Err(match inner.target(&request.target) {
                None => refusal(
                    404,
                    "unknown_target",
                    "there is no target of this name, or you may not know of it",
                ),
                Some(_) => refusal(
                    403,
                    "denied_by_policy",
                    "policy does not permit you to connect to this target",
                ),
            })
        }
    }
}

pub(super) fn log_unavailable(error: &CommitError) -> Refusal {
    tracing::error!(%error, "a request was refused: the log does not take its events");
    refusal(
        503,
        "log_unavailable",
        "the audit log is not available; nothing passes without a record, try again later",
    )
}

pub(super) fn turned_away_by_token(failure: &AuthFailure) -> Refusal {
    if failure.is_transient() {
        return Refusal { status: 503, code: "issuer_unavailable", message: failure.to_string() };
    }
    Refusal { status: 401, code: "invalid_token", message: failure.to_string() }
}

fn context_of(
    request: &ConnectRequest,
    identity: Option<&Identity>,
    session_id: SessionId,
) -> Context {
    let mut context = Context {
        session_id: Some(session_id),
        target: Some(reference_of(&request.target)),
        client: Some(Endpoint::from(request.peer)),
        trace_id: Some(request.trace_id),
        ..Context::default()
    };
    if let Some(identity) = identity {
        context.principal = Some(identity.principal.clone());
        context.delegation.clone_from(&identity.delegation);
        context.agent = identity.agent.clone();
    }
    context
}

fn reference_of(name: &str) -> TargetRef {
    let name = name.chars().take(MAX_NAME_CHARS).collect();
    TargetRef { name, kind: TargetKind::Postgresql, database: None }
}

fn refusal(status: u16, code: &'static str, message: &str) -> Refusal {
    Refusal { status, code, message: message.to_owned() }
}
