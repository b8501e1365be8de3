//! `/v1/revocations`: access ends before its time, on every gateway.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use gateway_core::approval::{NotCounted, State as Stands};
use gateway_core::revocation::StandingRevocation;
use gateway_core::verdict;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tallyport_access::policy::Action;
use tallyport_schemas::{
    ApprovalId, Body, Decision, Draft, Effect, Principal, Revocation, RevocationId,
    RevocationOrder, Revoked,
};

use super::error::ApiError;
use super::extract::{Id, Sent};
use super::{answered, body, denied, recorded};
use crate::service::{Caller, Inner};

const MAX_NAME_BYTES: usize = 2_048;
/// Issuers that an error names.
const MAX_NAMED: usize = 10;
const FORM: &str = "{\"revoked\":{\"kind\":\"principal\",\"issuer\":\"https://idp\",\"subject\":\"agent-7\"},\"reason\":\"why\"}, \
                    where the kind is session (session_id), principal (issuer, subject), agent (subject, and issuer or \
                    none), issuer (issuer) or grant (grant_id), and `until` may say a time";

/// What is to end, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    #[serde(deserialize_with = "body::object")]
    revoked: Revoked,
    reason: String,
    #[serde(default)]
    until: Option<Timestamp>,
    /// Also of whom this gateway lets nobody in.
    #[serde(default)]
    unknown_issuer: bool,
}

#[derive(Serialize)]
struct List {
    revocations: Vec<RevocationView>,
}

/// One revocation that stands.
#[derive(Serialize)]
struct RevocationView {
    revocation_id: RevocationId,
    revoked: Revoked,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    revoked_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Principal>,
}

impl RevocationView {
    fn new(it: &StandingRevocation) -> Self {
        Self {
            revocation_id: it.order.revocation_id,
            revoked: it.order.revoked.clone(),
            reason: it.order.reason.clone(),
            until: it.order.until,
            revoked_at: it.revoked_at,
            by: it.context.principal.clone(),
        }
    }
}

/// `GET /v1/revocations`: what stands, oldest first, of the kinds that the caller may revoke.
pub(super) async fn list(
    State(inner): State<Arc<Inner>>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let asker = inner.policy.current().asker(caller.identity());
    let facts = caller.ask_context();
    let may =
        |kind: &str| verdict::access(&asker, Action::Revoke, kind, &facts).effect == Effect::Allow;
    let kinds: Vec<&str> =
        ["principal", "agent", "issuer"].into_iter().filter(|it| may(it)).collect();
    if kinds.is_empty() {
        let decision = verdict::access(&asker, Action::Revoke, "principal", &facts);
        return Err(refused(&inner, &caller, decision).await);
    }
    let known = inner.control.known();
    let standing = known.revocations.standing(Timestamp::now());
    let seen = standing.filter(|it| kinds.contains(&it.order.revoked.kind()));
    let revocations = seen.map(RevocationView::new).collect();
    Ok(answered(List { revocations }))
}

/// `POST /v1/revocations`: answered once it is in force here; what is live elsewhere ends as the log reaches it.
pub(super) async fn revoke(
    State(inner): State<Arc<Inner>>,
    caller: Caller,
    Sent(sent, _): Sent,
) -> Result<Response, ApiError> {
    let order: Order = body::read(&sent, FORM)?;
    body::reason(&order.reason)?;
    names_something(&order.revoked)?;
    if order.until.is_some_and(|until| until <= Timestamp::now()) {
        return Err(ApiError::bad_request(
            "`until` is over already; leave it out, or say a later time",
        ));
    }
    let decision = decide(&inner, &caller, Action::Revoke, order.revoked.kind());
    if decision.effect != Effect::Allow {
        return Err(refused(&inner, &caller, decision).await);
    }
    // An order that is not taken is on record as denied, whatever policy says.
    if let Err(error) = means_somebody(&inner, &order).await {
        return Err(denied(&inner, &caller, decision, error).await);
    }
    recorded(&inner, caller.context(), decision).await?;
    let order = RevocationOrder {
        revocation_id: RevocationId::new(),
        revoked: order.revoked,
        reason: order.reason,
        until: order.until,
    };
    let id = order.revocation_id;
    let body = Body::Revocation(Revocation::Revoked(Box::new(order)));
    inner.control.commit(Draft::new(caller.context().clone(), None, body)).await??;
    let known = inner.control.known();
    let view = known.revocations.get(id).map(RevocationView::new);
    Ok(answered(view.ok_or_else(ApiError::unknown_revocation)?))
}

/// Refuses what would end nothing.
async fn means_somebody(inner: &Inner, order: &Order) -> Result<(), ApiError> {
    match order.revoked {
        Revoked::Grant { grant_id } => can_end(inner, grant_id).await,
        _ if order.unknown_issuer => Ok(()),
        _ => can_be_somebody(inner, &order.revoked),
    }
}

/// Refuses names of which this gateway lets nobody in: an order for a name that is misspelt ends nothing, and would look
/// as if it did.
fn can_be_somebody(inner: &Inner, revoked: &Revoked) -> Result<(), ApiError> {
    let (issuer, subject) = match revoked {
        Revoked::Principal { issuer, subject } => (issuer, Some(subject)),
        Revoked::Issuer { issuer } => (issuer, None),
        // Actors may be of any issuer, as whoever is trusted says.
        Revoked::Agent { .. } | Revoked::Session { .. } | Revoked::Grant { .. } => return Ok(()),
    };
    let saml = inner.saml.as_deref();
    if !inner.authenticator.knows_issuer(issuer) {
        let people_of = saml.filter(|exchange| exchange.knows_provider(issuer));
        return Err(ApiError::nobody(&match (people_of, subject) {
            (Some(exchange), Some(subject)) => format!(
                "people of this SAML provider are principals of {own}: name {own}#{issuer}#{subject}",
                own = exchange.issuer()
            ),
            (Some(exchange), None) => format!(
                "people of this SAML provider are principals of {own}: revoke them one by one, as {own}#{issuer}#NAME, or take the \
                 provider out of the configuration",
                own = exchange.issuer()
            ),
            (None, _) => {
                let issuers = inner.authenticator.issuers().map(str::to_owned);
                let known = issuers.chain(inner.authenticator.domains());
                let known: Vec<String> = known.take(MAX_NAMED).collect();
                format!(
                    "no issuer that is trusted here has this name; there are {}",
                    known.join(", ")
                )
            }
        }));
    }
    let Some(subject) = subject else { return Ok(()) };
    if issuer.starts_with("spiffe://") && !subject.starts_with(&format!("{issuer}/")) {
        return Err(ApiError::nobody(&format!(
            "the subject of a workload is its whole SPIFFE ID: name {issuer}#{issuer}/PATH"
        )));
    }
    let by_assertion = saml.filter(|exchange| exchange.issuer() == issuer);
    if by_assertion.is_some_and(|exchange| {
        !subject.split_once('#').is_some_and(|(provider, _)| exchange.knows_provider(provider))
    }) {
        return Err(ApiError::nobody(&format!(
            "the subject of a person who came by SAML begins with their provider: name {issuer}#PROVIDER#NAME"
        )));
    }
    Ok(())
}

/// Refuses to end what nobody asked for, and what is over: an order that does nothing must not be on record as one that
/// did. Of two who order it at once, the second is told once it is on record.
async fn can_end(inner: &Inner, id: ApprovalId) -> Result<(), ApiError> {
    // It may have been asked for at another gateway a moment ago.
    inner.control.case_or_none(id).await?;
    let state = inner.control.case(id).map(|case| case.state(Timestamp::now()));
    match state {
        None => Err(NotCounted::Unknown.into()),
        Some(Stands::Pending | Stands::Approved) => Ok(()),
        Some(over) => Err(NotCounted::Over(over).into()),
    }
}

/// What a caller says along with lifting one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lift {
    reason: String,
}

/// `POST /v1/revocations/{id}/lift`.
pub(super) async fn lift(
    State(inner): State<Arc<Inner>>,
    caller: Caller,
    Id(id): Id,
    Sent(sent, _): Sent,
) -> Result<Response, ApiError> {
    let lift: Lift = body::read(&sent, "{\"reason\":\"why\"}")?;
    body::reason(&lift.reason)?;
    let revocation_id: RevocationId =
        id.parse().map_err(|error: tallyport_schemas::ParseIdError| {
            ApiError::bad_request(&error.to_string())
        })?;
    let view = inner.control.known().revocations.get(revocation_id).map(RevocationView::new);
    // Whoever may not lift anything learns nothing of what there is.
    let kind = view.as_ref().map_or("principal", |view| view.revoked.kind());
    permitted(&inner, &caller, Action::Restore, kind).await?;
    let view = view.ok_or_else(ApiError::unknown_revocation)?;
    let body = Body::Revocation(Revocation::Lifted { revocation_id, reason: lift.reason });
    inner.control.commit(Draft::new(caller.context().clone(), None, body)).await??;
    Ok(answered(view))
}

fn names_something(revoked: &Revoked) -> Result<(), ApiError> {
    let name = |what: &str, text: &str| body::required(what, text, MAX_NAME_BYTES);
    match revoked {
        Revoked::Session { .. } | Revoked::Grant { .. } => Ok(()),
        Revoked::Principal { issuer, subject }
        | Revoked::Agent { issuer: Some(issuer), subject } => {
            name("issuer", issuer)?;
            name("subject", subject)
        }
        Revoked::Agent { issuer: None, subject } => name("subject", subject),
        Revoked::Issuer { issuer } => name("issuer", issuer),
    }
}

/// Asks policy, and puts its answer on record, whichever it is.
async fn permitted(
    inner: &Inner,
    caller: &Caller,
    action: Action,
    kind: &str,
) -> Result<(), ApiError> {
    let decision = decide(inner, caller, action, kind);
    if decision.effect != Effect::Allow {
        return Err(refused(inner, caller, decision).await);
    }
    recorded(inner, caller.context(), decision).await
}

fn decide(inner: &Inner, caller: &Caller, action: Action, kind: &str) -> Decision {
    let asker = inner.policy.current().asker(caller.identity());
    verdict::access(&asker, action, kind, &caller.ask_context())
}

async fn refused(inner: &Inner, caller: &Caller, decision: Decision) -> ApiError {
    let why = decision.reasons.join("; ");
    match recorded(inner, caller.context(), decision).await {
        Ok(()) => ApiError::denied_by_policy(&why),
        Err(error) => error,
    }
}
