//! `request_access` and `approval_status`.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tallyport_schemas::ApprovalId;

use super::arguments::{ApprovalStatus, BadArguments, RequestAccess, read};
use super::{Answer, Call, told};
use crate::api::{ApiError, approvals, grants};
use crate::inside::who;

/// The longest that a change of an approval is waited for.
const MAX_WAIT: Duration = Duration::from_secs(25);

pub(super) async fn request(
    call: Call<'_>,
    arguments: Map<String, Value>,
) -> Result<Answer, BadArguments> {
    let asked: RequestAccess = read(arguments)?;
    let seconds = asked.minutes.saturating_mul(60);
    let wish = grants::Wish::new(asked.target, seconds, asked.reason);
    Ok(said(grants::ask_for(call.inner, call.caller, wish).await).await)
}

pub(super) async fn status(
    call: Call<'_>,
    arguments: Map<String, Value>,
) -> Result<Answer, BadArguments> {
    let asked: ApprovalStatus = read(arguments)?;
    let id: ApprovalId = asked
        .approval_id
        .parse()
        .map_err(|_| BadArguments("`approval_id` is none: it is as a tool gave it".to_owned()))?;
    if asked.withdraw {
        let given_back = approvals::give_back(call.inner, call.caller, id).await;
        call.inner.parked.give_up(&who(call.caller), id);
        return Ok(said(given_back).await);
    }
    let wait = Duration::from_secs(asked.wait_seconds).min(MAX_WAIT);
    let _waited_in_vain = tokio::time::timeout(wait, decided(&call, id)).await;
    Ok(said(approvals::view(call.inner, call.caller, id)).await)
}

/// Waits until the request waits no more, as far as the caller may know of it.
async fn decided(call: &Call<'_>, id: ApprovalId) {
    let mut changes = call.inner.control.changes();
    loop {
        changes.mark_unchanged();
        let waits = approvals::seen(call.inner, call.caller, id, |case| {
            case.state(Timestamp::now()) == gateway_core::approval::State::Pending
        });
        if !waits.unwrap_or(false) || changes.changed().await.is_err() {
            return;
        }
    }
}

/// The API's answer as a tool's.
async fn said(answer: Result<Response, ApiError>) -> Answer {
    let response = answer.unwrap_or_else(|error| error.into_response());
    let is_error = !response.status().is_success();
    let body = response.into_body().collect().await.map(|body| body.to_bytes());
    let body: Value =
        body.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
    if is_error { told::error_of(body) } else { Answer::good(json!({ "approval": body })) }
}
