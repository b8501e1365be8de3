//! `/v1/approvals`: the inbox of reviewers, and their answers.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::Response;
use gateway_core::approval::{Case, GIVEN_BACK, NotCounted, State as Standing};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tallyport_schemas::{Approval, ApprovalId, Body, Decision, Draft, Effect};
use tokio::time::timeout;

use super::error::ApiError;
use super::extract::{Id, Sent};
use super::view::{ApprovalView, has_asked, may_answer, may_see};
use super::{answered, body, denied};
use crate::service::{Caller, Inner};

/// Requests in one answer, where the caller does not say, and at most.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1_000;
/// The longest a caller may wait for something new.
const MAX_WAIT_SECONDS: u64 = 30;

#[derive(Serialize)]
struct List {
    approvals: Vec<ApprovalView>,
    /// Changes with every event that may change the list: `after=` waits for that.
    seen: u64,
}

/// What `GET /v1/approvals` may say.
struct Wanted {
    all: bool,
    limit: usize,
    after: Option<u64>,
    wait: Duration,
}

impl Wanted {
    fn parse(query: &[(String, String)]) -> Result<Self, ApiError> {
        let mut wanted =
            Self { all: false, limit: DEFAULT_LIMIT, after: None, wait: Duration::ZERO };
        for (place, (name, value)) in query.iter().enumerate() {
            let again = query.iter().take(place).any(|(before, _)| before == name);
            let number = || value.parse::<u64>().ok();
            let taken = match name.as_str() {
                "state" if value == "all" || value == "open" => {
                    wanted.all = value == "all";
                    true
                }
                "limit" => number()
                    .and_then(|limit| usize::try_from(limit).ok())
                    .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                    .map(|limit| wanted.limit = limit)
                    .is_some(),
                "after" => number().map(|after| wanted.after = Some(after)).is_some(),
                "wait" => number()
                    .filter(|seconds| *seconds <= MAX_WAIT_SECONDS)
                    .map(|seconds| wanted.wait = Duration::from_secs(seconds))
                    .is_some(),
                _ => false,
            };
            if !taken || again {
                return Err(ApiError::bad_request(&format!(
                    "write state=open or state=all, limit=1..{MAX_LIMIT}, after=NUMBER with wait=0..{MAX_WAIT_SECONDS} seconds, each at most once"
                )));
            }
        }
        Ok(wanted)
    }
}

/// `GET /v1/approvals?state=open|all&limit=N&after=SEEN&wait=SECONDS`: newest first.
pub(super) async fn list(
    State(inner): State<Arc<Inner>>,
    caller: Caller,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, ApiError> {
    let wanted = Wanted::parse(&query)?;
    let mut changes = inner.control.changes();
    if let Some(after) = wanted.after {
        // Nothing new in time: the list as it is.
        let _waited = timeout(wanted.wait, changes.wait_for(|seen| *seen != after)).await;
        // Whose access was ended while they waited is told nothing more.
        inner.still_welcome(caller.identity()).map_err(|it| ApiError::refusal(&it, true))?;
    }
    let seen = *changes.borrow_and_update();
    let now = Timestamp::now();
    let book = inner.control.book();
    let identity = caller.identity();
    let approvals = book
        .cases()
        .rev()
        .filter(|case| wanted.all || !case.state(now).is_over())
        .filter(|case| may_see(case, identity))
        .take(wanted.limit)
        .map(|case| ApprovalView::seen_by(identity, case, now))
        .collect();
    Ok(answered(List { approvals, seen }))
}

/// `GET /v1/approvals/{id}`.
pub(super) async fn show(
    State(inner): State<Arc<Inner>>,
    caller: Caller,
    Id(id): Id,
) -> Result<Response, ApiError> {
    let id = parse_id(&id)?;
    view(&inner, &caller, id)
}

/// What a reviewer sends along.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Answer {
    /// That of the request, as the reviewer read it.
    digest: Option<String>,
    comment: Option<String>,
}

impl Answer {
    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let answer: Self = body::read(body, "{\"digest\":\"...\",\"comment\":\"...\"}")?;
        Self::checked(answer.digest, answer.comment)
    }

    pub(super) fn checked(
        digest: Option<String>,
        comment: Option<String>,
    ) -> Result<Self, ApiError> {
        if let Some(comment) = &comment {
            body::text("comment", comment, body::MAX_PROSE_BYTES)?;
        }
        Ok(Self { digest, comment: comment.filter(|comment| !comment.is_empty()) })
    }

    pub(super) fn must_name_its_digest(&self) -> Result<(), ApiError> {
        if self.digest.is_some() {
            return Ok(());
        }
        Err(ApiError::bad_request(
            "an approval names what it is for: send the `digest` of the request as you read it",
        ))
    }
}

/// What is answered, and by which way.
pub(super) struct Said {
    pub(super) agrees: bool,
    /// The webhook that vouches for the reviewer.
    pub(super) webhook: Option<String>,
}

impl Said {
    const fn with_a_token(agrees: bool) -> Self {
        Self { agrees, webhook: None }
    }

    pub(super) fn order(&self) -> Order<'_> {
        let action = if self.agrees { "approval:approve" } else { "approval:deny" };
        Order { action, webhook: self.webhook.as_deref() }
    }
}

/// What is to become of a request, as it is on record where it is refused.
pub(super) struct Order<'a> {
    action: &'static str,
    webhook: Option<&'a str>,
}

/// `POST /v1/approvals/{id}/approve` with the digest that was read.
pub(super) async fn approve(
    State(inner): State<Arc<Inner>>,
    caller: Caller,
    Id(id): Id,
    Sent(body, _): Sent,
) -> Result<Response, ApiError> {
    let answer = Answer::parse(&body)?;
    answer.must_name_its_digest()?;
    let approval_id = parse_id(&id)?;
    review(&inner, &caller, approval_id, answer, Said::with_a_token(true)).await?;
    view(&inner, &caller, approval_id)
}

/// `POST /v1/approvals/{id}/deny`.
pub(super) async fn deny(
    State(inner): State<Arc<Inner>>,
    caller: Caller,
    Id(id): Id,
    Sent(body, _): Sent,
) -> Result<Response, ApiError> {
    let answer = Answer::parse(&body)?;
    let approval_id = parse_id(&id)?;
    review(&inner, &caller, approval_id, answer, Said::with_a_token(false)).await?;
    view(&inner, &caller, approval_id)
}

/// `POST /v1/approvals/{id}/withdraw`, for whoever asked: the request is not wanted any more, or the grant is given back.
pub(super) async fn withdraw(
    State(inner): State<Arc<Inner>>,
    caller: Caller,
    Id(id): Id,
) -> Result<Response, ApiError> {
    give_back(&inner, &caller, parse_id(&id)?).await
}

/// Takes back what the caller asked for. An order that counts for nothing is on record as denied.
pub(crate) async fn give_back(
    inner: &Inner,
    caller: &Caller,
    approval_id: ApprovalId,
) -> Result<Response, ApiError> {
    if let Err(error) = take_back(inner, caller, approval_id).await {
        let order = Order { action: "approval:withdraw", webhook: None };
        return Err(note_refused(inner, caller, approval_id, order, error).await);
    }
    view(inner, caller, approval_id)
}

/// The same for a caller who need not know whether there was something to take back.
pub(crate) async fn take_back(
    inner: &Inner,
    caller: &Caller,
    approval_id: ApprovalId,
) -> Result<(), ApiError> {
    let context = seen(inner, caller, approval_id, |case| {
        if !has_asked(case, caller.identity()) {
            return Err(ApiError::not_yours());
        }
        match case.state(Timestamp::now()) {
            Standing::Pending | Standing::Approved => Ok(case.context().clone()),
            over => Err(NotCounted::Over(over).into()),
        }
    })??;
    let given_back = Approval::Withdrawn { approval_id, cause: GIVEN_BACK.to_owned() };
    inner.control.commit(Draft::new(context, None, Body::Approval(given_back))).await??;
    Ok(())
}

/// Puts an answer on the log, where it counts as the events before it let it. One that does not count is on record as
/// denied: who tried to give it, and why it was none.
pub(super) async fn review(
    inner: &Inner,
    caller: &Caller,
    approval_id: ApprovalId,
    answer: Answer,
    said: Said,
) -> Result<(), ApiError> {
    match counted(inner, caller, approval_id, answer, &said).await {
        Err(error) => Err(note_refused(inner, caller, approval_id, said.order(), error).await),
        Ok(()) => Ok(()),
    }
}

/// Puts on record that an answer or a withdrawal was refused; what the caller is told then.
pub(super) async fn note_refused(
    inner: &Inner,
    caller: &Caller,
    approval_id: ApprovalId,
    order: Order<'_>,
    error: ApiError,
) -> ApiError {
    let webhook = order.webhook.iter().map(|name| format!("webhook/{name}"));
    let asked = Decision {
        effect: Effect::Deny,
        actions: vec![order.action.to_owned()],
        resources: std::iter::once(format!("approval/{approval_id}")).chain(webhook).collect(),
        policy_ids: Vec::new(),
        policy_version: inner.policy.current().version().to_owned(),
        obligations: Vec::new(),
        reasons: Vec::new(),
        command_id: None,
    };
    denied(inner, caller, asked, error).await
}

async fn counted(
    inner: &Inner,
    caller: &Caller,
    approval_id: ApprovalId,
    answer: Answer,
    said: &Said,
) -> Result<(), ApiError> {
    let identity = caller.identity();
    let context = seen(inner, caller, approval_id, |case| {
        if !identity.delegation.is_empty() {
            return Err(ApiError::delegated());
        }
        may_answer(case, identity, Timestamp::now())?;
        if answer.digest.as_ref().is_some_and(|digest| *digest != case.request().digest) {
            return Err(ApiError::other_digest());
        }
        Ok(case.context().clone())
    })??;
    let (reviewer, comment) = (identity.principal.clone(), answer.comment);
    let webhook = said.webhook.clone();
    let approval = if said.agrees {
        Approval::Granted { approval_id, reviewer, comment, webhook }
    } else {
        Approval::Denied { approval_id, reviewer, comment, webhook }
    };
    // The event is about whoever asked; who answers is in it.
    let draft = Draft::new(context, None, Body::Approval(approval));
    inner.control.commit(draft).await??;
    Ok(())
}

pub(crate) fn view(inner: &Inner, caller: &Caller, id: ApprovalId) -> Result<Response, ApiError> {
    let identity = caller.identity();
    let view =
        seen(inner, caller, id, |case| ApprovalView::seen_by(identity, case, Timestamp::now()))?;
    Ok(answered(view))
}

/// Looks at a request that the caller may know of.
pub(crate) fn seen<T>(
    inner: &Inner,
    caller: &Caller,
    id: ApprovalId,
    look: impl FnOnce(&Case) -> T,
) -> Result<T, ApiError> {
    let case = inner.control.case(id).filter(|case| may_see(case, caller.identity()));
    case.map(|case| look(&case)).ok_or_else(ApiError::unknown)
}

pub(super) fn parse_id(id: &str) -> Result<ApprovalId, ApiError> {
    id.parse()
        .map_err(|error: tallyport_schemas::ParseIdError| ApiError::bad_request(&error.to_string()))
}
