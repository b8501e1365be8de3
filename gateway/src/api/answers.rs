//! `POST /v1/webhooks/{name}/answers`: a reviewer's answer, passed on and signed by a webhook.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;
use gateway_core::approval::Case;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tallyport_schemas::{ApprovalId, ApprovalRequirement, Front, TraceId};

use super::approvals::{Answer, Said, note_refused, parse_id, review, seen};
use super::error::ApiError;
use super::extract::{Id, Most, Sent};
use super::{answered, body};
use crate::service::{Caller, Inner, Vouched};
use crate::webhooks::{Webhook, shows_what_is_asked};

const FORM: &str = "{\"approval_id\":\"...\",\"answer\":\"approve\",\"reviewer\":\"@ann:chat.example.com\",\"digest\":\"...\",\
                    \"comment\":\"...\"}";

/// A comment of the longest, escaped, and the other fields.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// What a webhook passes on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Passed {
    approval_id: String,
    answer: Word,
    /// As the webhook's configuration knows them.
    reviewer: String,
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    comment: Option<String>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Word {
    Approve,
    Deny,
}

/// Where the request stands after the answer. Without the statement: whether a webhook may see that its messages say.
#[derive(Serialize)]
struct Stands {
    approval_id: ApprovalId,
    state: &'static str,
    step: String,
    missing: Vec<ApprovalRequirement>,
}

impl Stands {
    fn new(case: &Case) -> Self {
        let now = Timestamp::now();
        Self {
            approval_id: case.request().approval_id,
            state: case.state(now).as_str(),
            step: case.step(now),
            missing: case.missing(),
        }
    }
}

/// The route. It is there where no webhook passes on answers, too: who cannot sign learns nothing of webhooks.
pub(super) fn routes() -> Router<Arc<Inner>> {
    let route = Router::new().route("/webhooks/{name}/answers", post(answer));
    route.layer(Extension(Most(MAX_ANSWER_BYTES)))
}

async fn answer(
    State(inner): State<Arc<Inner>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Extension(front): Extension<Front>,
    Extension(trace_id): Extension<TraceId>,
    Id(name): Id,
    headers: HeaderMap,
    Sent(sent, _room): Sent,
) -> Result<Response, ApiError> {
    let vouched = Vouched { webhook: &name, headers: &headers, body: &sent, front, peer, trace_id };
    let vouched = inner.vouched(&vouched, reviewer).await;
    let (caller, webhook) = vouched.map_err(|refusal| ApiError::unvouched(&refusal))?;
    pass_on(&inner, &caller, webhook, body::read::<Passed>(&sent, FORM)?).await
}

/// Whose answer it says it is.
pub(super) fn reviewer(sent: &[u8]) -> Option<String> {
    body::read::<Passed>(sent, FORM).ok().map(|passed| passed.reviewer)
}

async fn pass_on(
    inner: &Inner,
    caller: &Caller,
    webhook: &Webhook,
    passed: Passed,
) -> Result<Response, ApiError> {
    let agrees = passed.answer == Word::Approve;
    let answer = Answer::checked(passed.digest, passed.comment)?;
    if agrees {
        answer.must_name_its_digest()?;
    }
    let id = parse_id(&passed.approval_id)?;
    let said = Said { agrees, webhook: Some(webhook.name.clone()) };
    let may = seen(inner, caller, id, |case| {
        // What it is not told of is not there for it.
        if !webhook.is_told_of(case) {
            return Err(ApiError::unknown());
        }
        if agrees && !shows_what_is_asked(webhook, case, Timestamp::now()) {
            return Err(ApiError::not_shown());
        }
        Ok(())
    });
    if let Err(error) = may.flatten() {
        return Err(note_refused(inner, caller, id, said.order(), error).await);
    }
    review(inner, caller, id, answer, said).await?;
    Ok(answered(seen(inner, caller, id, Stands::new)?))
}
