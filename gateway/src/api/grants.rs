//! `POST /v1/grants`: access to a target for a time is asked for; `/v1/approvals` has what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use gateway_core::approval::{NotCounted, access_digest};
use gateway_core::verdict::{Judge, Verdict};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tallyport_access::policy::{AskContext, GrantDemand};
use tallyport_schemas::{
    Approval, ApprovalId, ApprovalRequest, ApprovalScope, Asked, AskedAccess, Body, Context,
    Decision, Draft, Effect, Recording, SharedContext,
};

use super::error::ApiError;
use super::extract::Sent;
use super::{approvals, body, recorded};
use crate::front::TargetName;
use crate::service::{Caller, Inner, TargetEntry};

const SHORTEST_SECONDS: u64 = 60;
const FORM: &str = "{\"target\":\"orders\",\"seconds\":1800,\"reason\":\"what for\"}";

/// What somebody wants.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    target: String,
    seconds: u64,
    reason: String,
}

impl Wish {
    pub(crate) const fn new(target: String, seconds: u64, reason: String) -> Self {
        Self { target, seconds, reason }
    }
}

/// `POST /v1/grants`. The answer is the request as `/v1/approvals/{id}` shows it: pending, or approved where nobody has to
/// agree. The same wish again finds the request that waits.
pub(super) async fn request(
    State(inner): State<Arc<Inner>>,
    caller: Caller,
    Sent(sent, _): Sent,
) -> Result<Response, ApiError> {
    ask_for(&inner, &caller, body::read(&sent, FORM)?).await
}

/// Asks for it, or finds what was asked for.
pub(crate) async fn ask_for(
    inner: &Inner,
    caller: &Caller,
    wish: Wish,
) -> Result<Response, ApiError> {
    body::reason(&wish.reason)?;
    if wish.seconds < SHORTEST_SECONDS {
        return Err(ApiError::bad_request("a grant is for 60 seconds at least"));
    }
    if TargetName::parse(&wish.target).is_none() {
        return Err(ApiError::bad_request("a target's name has a-z, 0-9, `-`, `_` and `.` alone"));
    }
    let Some(entry) = inner.target(&wish.target) else {
        return Err(no_such_target(inner, caller, &wish.target).await);
    };
    let reference = entry.reference.clone();
    let context = Context { target: Some(reference), ..Context::clone(caller.context()) };
    let context = SharedContext::from(context);
    let terms = terms(inner, caller, &entry, &context).await?;
    let longest = terms.demand.longest();
    if Duration::from_secs(wish.seconds) > longest {
        return Err(ApiError::bad_request(&format!(
            "policy allows a grant of at most {} here",
            in_units(longest)
        )));
    }
    let access = AskedAccess { seconds: wish.seconds, reason: wish.reason };
    ask(inner, caller, context, access, terms).await
}

/// Of what there is not, nobody learns more than of what they may not see; that they tried is on record, too.
async fn no_such_target(inner: &Inner, caller: &Caller, name: &str) -> ApiError {
    let reference = inner.reference_of(name);
    let asker = inner.policy.current().asker(caller.identity());
    let asked = Judge::connect(&asker, &reference, &caller.ask_context(), Recording::Full).decision;
    let reasons = vec!["there is no target of this name".to_owned()];
    let decision = Decision { effect: Effect::Deny, reasons, ..asked };
    let context = Context { target: Some(reference), ..Context::clone(caller.context()) };
    let recorded = recorded(inner, &SharedContext::from(context), decision).await;
    recorded.err().unwrap_or_else(ApiError::no_such_target)
}

/// What policy says of it.
struct Terms {
    demand: GrantDemand,
    verdict: Verdict,
}

async fn terms(
    inner: &Inner,
    caller: &Caller,
    entry: &TargetEntry,
    context: &SharedContext,
) -> Result<Terms, ApiError> {
    let facts = caller.ask_context();
    let (mut verdict, demand) = at_the_doors(inner, caller, entry, &facts);
    match demand {
        None if verdict.is_allowed() => return Err(ApiError::no_grant_needed()),
        None => {}
        // With the grant that it demands: what is still denied then, no grant would let in.
        Some(demand) => {
            let given = GrantDemand::given(demand.requirements(), demand.longest());
            let facts = AskContext { grant: Some(Arc::new(given)), ..facts };
            (verdict, _) = at_the_doors(inner, caller, entry, &facts);
            if verdict.is_allowed() {
                return Ok(Terms { demand, verdict });
            }
        }
    }
    // Nobody asks for what nobody may give them; that they tried is on record.
    recorded(inner, context, verdict.decision).await?;
    Err(ApiError::no_such_target())
}

/// Whether a caller may open sessions to a target.
pub(crate) enum Door {
    /// At any time.
    Open,
    /// With a grant; until when the one lets them that stands.
    ByGrant { until: Option<Timestamp> },
    /// Whoever agrees.
    Shut,
}

/// What a caller would meet at a target. Nothing of it is on record: nobody goes in.
pub(crate) fn door(inner: &Inner, caller: &Caller, entry: &TargetEntry) -> Door {
    let facts = caller.ask_context();
    let (verdict, demand) = at_the_doors(inner, caller, entry, &facts);
    let Some(demand) = demand else {
        return if verdict.is_allowed() { Door::Open } else { Door::Shut };
    };
    let given = GrantDemand::given(demand.requirements(), demand.longest());
    let facts = AskContext { grant: Some(Arc::new(given)), ..facts };
    if !at_the_doors(inner, caller, entry, &facts).0.is_allowed() {
        return Door::Shut;
    }
    let target = Some(entry.reference.clone());
    let context = Context { target, ..Context::clone(caller.context()) };
    Door::ByGrant { until: inner.grant_for(&context, &demand).map(|(_, until)| until) }
}

/// What policy says at the doors of a session, the target's and that of its default database where it has databases: the first
/// denial, if there is one, and what they demand.
fn at_the_doors(
    inner: &Inner,
    caller: &Caller,
    entry: &TargetEntry,
    facts: &AskContext,
) -> (Verdict, Option<GrantDemand>) {
    let asker = inner.policy.current().asker(caller.identity());
    let at = |reference| Judge::connect(&asker, &reference, facts, Recording::Full);
    let mut outer = at(entry.reference.clone());
    let Some(postgres) = entry.postgres() else {
        let demand = outer.grant.take();
        return (outer, demand);
    };
    let target = postgres.dialer.target();
    let mut inward = at(target.reference(Some(&target.databases.default)));
    let demand = match (outer.grant.take(), inward.grant.take()) {
        (Some(one), Some(other)) => Some(one.and(&other)),
        (one, other) => one.or(other),
    };
    (if outer.is_allowed() { inward } else { outer }, demand)
}

async fn ask(
    inner: &Inner,
    caller: &Caller,
    context: SharedContext,
    access: AskedAccess,
    Terms { demand, verdict }: Terms,
) -> Result<Response, ApiError> {
    let policy_version = verdict.decision.policy_version.clone();
    let digest = access_digest(&context, &access, &demand.to_string(), &policy_version);
    let now = Timestamp::now();
    {
        let book = inner.control.book();
        if let Some((case, _)) = book.standing(&digest, None, now) {
            let id = case.request().approval_id;
            drop(book);
            return approvals::view(inner, caller, id);
        }
        book.may_ask(&caller.identity().principal, now)?;
    }
    let within = SignedDuration::try_from(demand.within()).unwrap_or_default();
    let approval_id = ApprovalId::new();
    let effect = if demand.requirements().is_empty() { Effect::Allow } else { Effect::Pause };
    let decision = Decision { effect, ..verdict.decision };
    let request = ApprovalRequest {
        approval_id,
        digest,
        session_bound: false,
        scope: ApprovalScope::Period,
        requirements: demand.requirements().to_vec(),
        policy_ids: decision.policy_ids.clone(),
        policy_version,
        reasons: vec![format!("sql:connect needs a grant of {demand}")],
        asked: Asked::Access(access),
        expires_at: now.checked_add(within).unwrap_or(now),
    };
    recorded(inner, &context, decision).await?;
    let requested = Approval::Requested(Box::new(request));
    match inner.control.commit(Draft::new(context, None, Body::Approval(requested))).await? {
        Ok(()) => approvals::view(inner, caller, approval_id),
        // Asked for twice at once: both are told of the one that counts.
        Err(NotCounted::AskedAlready(first)) => approvals::view(inner, caller, first),
        Err(not_counted) => Err(not_counted.into()),
    }
}

/// As `--for` takes it.
fn in_units(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}
