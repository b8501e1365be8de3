//! One `CONNECT`: who is it, may they, and all of it on record before the answer.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;

use gateway_core::passage::{Note, Scribe};
use gateway_core::pg::session::TimeLimit;
use gateway_core::verdict::Judge;
use jiff::Timestamp;
use tallyport_access::policy::AskContext;
use tallyport_access::{Asked, AuthFailure, Identity};
use tallyport_schemas::{
    Body, Context, Decision, Draft, Effect, Recording, Session, SessionEnd, SessionId,
    SessionStats, TargetKind, TargetRef,
};
use tokio::time::Instant;
use tracing::Span;

use super::check::Came;
use super::entry::TargetEntry;
use super::inner::Inner;
use super::slots::Slot;
use crate::session::{Lifetime, SessionGrant, TokenWatch, Tunnel, ask_context};
use crate::tunnel::{ConnectRequest, Refusal};

/// The longest target name that is repeated in an event.
const MAX_NAME_CHARS: usize = 128;

pub(super) async fn open(inner: &Arc<Inner>, request: ConnectRequest) -> Result<Tunnel, Refusal> {
    if inner.is_closed() {
        return Err(shutting_down());
    }
    let path = format!("/{}", request.target);
    let came = Came {
        token: request.token.as_ref(),
        proof: request.proof.as_deref(),
        certificate: request.certificate.as_ref(),
        asked: Asked { method: "CONNECT", path: &path },
        front: request.front,
        peer: request.peer,
    };
    let checked = inner.check(came).await?;
    let session_id = SessionId::new();
    Span::current().record("session", tracing::field::display(session_id));
    let context = Context {
        session_id: Some(session_id),
        target: Some(inner.reference_of(&request.target)),
        ..checked.context(request.peer, request.trace_id)
    };
    let mut scribe = Scribe::new(context.into());
    let mut drafts = vec![scribe.draft(Body::Authentication(checked.event(request.front)))];
    let checked_at = checked.at;
    let wanted = Wanted { target: &request.target, kind: None, peer: request.peer, session_id };
    let answer = match checked.outcome {
        Err(failure) => Err(inner.turned_away(&failure)),
        Ok(identity) => admit(inner, &wanted, &identity, &mut scribe, &mut drafts)
            .map(|admitted| (identity, admitted)),
    };
    // A crash right here leaves the attempt on record or not; no tunnel is open either way.
    let recorded = inner.appender.commit(Note::new(drafts)).await;
    let _on_record = recorded.map_err(|error| log_unavailable(&error))?;
    let (identity, admitted) = answer?;
    let issuer = &identity.principal.issuer;
    let token_watch = TokenWatch::new(&inner.authenticator, issuer, request.token);
    let coming = Coming { identity: Arc::new(identity), peer: request.peer, session_id, scribe };
    Ok(Tunnel { token_watch, ..admitted.tunnel(inner, coming, checked_at) })
}

/// A session on its way in.
pub(super) struct Coming {
    pub identity: Arc<Identity>,
    pub peer: SocketAddr,
    pub session_id: SessionId,
    pub scribe: Scribe,
}

/// What somebody wants to open.
pub(super) struct Wanted<'a> {
    pub target: &'a str,
    /// Of another kind there is none.
    pub kind: Option<TargetKind>,
    pub peer: SocketAddr,
    pub session_id: SessionId,
}

/// Who may open a session.
pub(super) struct Admitted {
    entry: Arc<TargetEntry>,
    slot: Slot,
    /// What lets them, where policy demands a grant, and until when.
    grant: Option<(SessionGrant, Timestamp)>,
}

impl Admitted {
    /// The session, which ends as the token does that was checked at `checked_at`, or as the grant does.
    pub(super) fn tunnel(
        self,
        inner: &Arc<Inner>,
        coming: Coming,
        checked_at: (Timestamp, Instant),
    ) -> Tunnel {
        let Coming { identity, peer, session_id, scribe } = coming;
        let (expires_at, time_limit) = match &self.grant {
            Some((_, until)) if *until < identity.expires_at => (*until, TimeLimit::Grant),
            _ => (identity.expires_at, TimeLimit::Token),
        };
        Tunnel {
            token_watch: None,
            inner: Arc::clone(inner),
            entry: self.entry,
            lifetime: Lifetime::new(expires_at, checked_at.0, checked_at.1),
            time_limit,
            grant: self.grant.map(|(grant, _)| grant),
            identity,
            peer,
            session_id,
            scribe,
            open: None,
            tap: None,
            reads_only: false,
            _slot: self.slot,
        }
    }
}

/// What policy says at the door.
struct Door {
    decision: Decision,
    /// What lets them in, where policy demands a grant.
    grant: Option<(SessionGrant, Timestamp)>,
    /// It demands one, and none stands.
    needs_grant: bool,
}

/// Asks policy, and where it demands a grant, once more with the one that stands.
fn at_the_door(inner: &Inner, wanted: &Wanted<'_>, identity: &Identity, scribe: &Scribe) -> Door {
    let policy = inner.policy.current();
    let asker = policy.asker(identity);
    let reference = inner.reference_of(wanted.target);
    let asked = ask_context(wanted.session_id, wanted.peer, None);
    let verdict = Judge::connect(&asker, &reference, &asked, Recording::Full);
    let Some(demand) = &verdict.grant else {
        return Door { decision: verdict.decision, grant: None, needs_grant: false };
    };
    let Some((grant, until)) = inner.grant_for(scribe.context(), demand) else {
        return Door { decision: verdict.decision, grant: None, needs_grant: true };
    };
    let asked = AskContext { grant: Some(Arc::clone(&grant.given)), ..asked };
    let decision = Judge::connect(&asker, &reference, &asked, Recording::Full).decision;
    Door { decision, grant: Some((grant, until)), needs_grant: false }
}

/// Decides; the decision and, where it is no, the end of the attempt join `drafts`.
pub(super) fn admit(
    inner: &Inner,
    wanted: &Wanted<'_>,
    identity: &Identity,
    scribe: &mut Scribe,
    drafts: &mut Vec<Draft>,
) -> Result<Admitted, Refusal> {
    let Door { mut decision, grant, needs_grant } = at_the_door(inner, wanted, identity, scribe);
    let of_kind = |entry: &Arc<TargetEntry>| wanted.kind.is_none_or(|kind| entry.kind() == kind);
    let entry = inner.target(wanted.target).filter(of_kind);
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
        let max_on_target = entry.max_sessions;
        inner
            .slots
            .take(&identity.principal, wanted.target, max_on_target)
            .map(|slot| (entry, slot))
    });
    match slot {
        Some(Ok((entry, slot))) => {
            if let Some((SessionGrant { grant_id, .. }, expires_at)) = grant {
                let granted = Session::Granted { grant_id, expires_at };
                drafts.push(scribe.draft(Body::Session(granted)));
            }
            Ok(Admitted { entry, slot, grant })
        }
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
            Err(match inner.target(wanted.target).filter(of_kind) {
                Some(_) if needs_grant => refusal(
                    403,
                    "grant_required",
                    &format!(
                        "policy demands a grant for this target; ask for one: tallyport request {} --for 30m --reason \
                         \"what for\"",
                        wanted.target
                    ),
                ),
                // Of what there is not, nobody learns more than of what they may not see.
                Some(_) | None => refusal(
                    403,
                    "denied_by_policy",
                    "policy does not permit you to connect to a target of this name, or there is none",
                ),
            })
        }
    }
}

pub(super) fn shutting_down() -> Refusal {
    refusal(503, "shutting_down", "the gateway is shutting down; try again later")
}

pub(crate) fn log_unavailable(error: &impl Display) -> Refusal {
    tracing::error!(%error, "a request was refused: the log does not take its events");
    refusal(
        503,
        "log_unavailable",
        "the audit log is not available; nothing passes without a record, try again later",
    )
}

pub(super) fn turned_away_by_token(failure: &AuthFailure) -> Refusal {
    if failure.is_transient() {
        return Refusal::new(503, "issuer_unavailable", failure.to_string());
    }
    if failure.is_too_many_proofs() {
        return Refusal::new(429, "too_many_proofs", failure.to_string());
    }
    let code = if failure.needs_nonce() {
        "use_dpop_nonce"
    } else if failure.is_about_proof() {
        "invalid_dpop_proof"
    } else {
        "invalid_token"
    };
    Refusal::new(401, code, failure.to_string())
}

impl Inner {
    /// What events say of a target; of one that there is not, its name alone.
    pub(crate) fn reference_of(&self, name: &str) -> TargetRef {
        self.target(name).map_or_else(
            || TargetRef {
                name: name.chars().take(MAX_NAME_CHARS).collect(),
                kind: TargetKind::Postgresql,
                database: None,
            },
            |entry| entry.reference.clone(),
        )
    }
}

fn refusal(status: u16, code: &'static str, message: &str) -> Refusal {
    Refusal::new(status, code, message)
}
