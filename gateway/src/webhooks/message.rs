//! What a webhook is told: the form of Standard Webhooks, `type`, `timestamp` and `data`.

use gateway_core::approval::Case;
use jiff::Timestamp;
use serde_json::{Value, json};
use tallyport_schemas::{ApprovalId, SharedContext};

use super::Webhook;
use crate::api::ApprovalView;

/// The largest message that carries a statement. A larger one goes without, and without the digest.
const MAX_BYTES: usize = 256 * 1024;

/// One message, as often as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) approval_id: ApprovalId,
    pub(super) step: String,
    pub(super) context: SharedContext,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// What `webhook` is told of `case` at `now`.
    pub(super) fn new(webhook: &Webhook, case: &Case, now: Timestamp) -> Self {
        Self {
            approval_id: case.request().approval_id,
            step: case.step(now),
            context: case.context().clone(),
            body: whole(webhook, case, now).unwrap_or_else(|| data(webhook, case, now, false)),
        }
    }

    /// The same in every try, and from every gateway.
    pub(super) fn id(&self) -> String {
        format!("msg_{}_{}", self.approval_id, self.step)
    }
}

/// Whether a message of `webhook` shows what an approval stands for, and with it the digest: who was shown neither there
/// may have the digest from elsewhere, and still did not see by this webhook what they would agree to.
pub(crate) fn shows_what_is_asked(webhook: &Webhook, case: &Case, now: Timestamp) -> bool {
    case.request().asked.command().is_none() || whole(webhook, case, now).is_some()
}

/// A message with the statement; none where the webhook is told none, or it would be too large.
fn whole(webhook: &Webhook, case: &Case, now: Timestamp) -> Option<Vec<u8>> {
    let body = webhook.statements.then(|| data(webhook, case, now, true))?;
    (body.len() <= MAX_BYTES).then_some(body)
}

/// `whole`: with the statement and its parameters, and with the digest. An approval names the digest: who was not shown what
/// it stands for cannot approve it.
fn data(webhook: &Webhook, case: &Case, now: Timestamp, whole: bool) -> Vec<u8> {
    let mut approval = serde_json::to_value(ApprovalView::new(case, now)).unwrap_or_default();
    // An access is shown whole: it has no statement.
    let is_command = case.request().asked.command().is_some();
    if is_command
        && !whole
        && let Some(approval) = approval.as_object_mut()
    {
        approval.remove("digest");
        if let Some(command) = approval.get_mut("command").and_then(Value::as_object_mut) {
            command.remove("statement");
            command.remove("parameters");
        }
    }
    let id = case.request().approval_id;
    let page = webhook.page.as_ref().and_then(|origin| origin.join("/console/").ok());
    let page = page.map(|page| format!("{page}#/approvals/{id}"));
    let message = json!({
        "type": format!("approval.{}", case.state(now).as_str()),
        "timestamp": case.step_since(now),
        "data": { "webhook": webhook.name, "step": case.step(now), "review_url": page, "approval": approval },
    });
    message.to_string().into_bytes()
}
