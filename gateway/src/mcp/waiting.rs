//! A call that waits for people, as its client can make something of it: a task where it knows tasks, else the page where the
//! approval is to be seen, else a result that says so. Whichever it is, the call runs once, when it is approved.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::mcp::{Era, RpcError, reply};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tallyport_schemas::ApprovalId;
use url::Url;

use super::answer::Answered;
use super::dispatch::Message;
use super::tasks;
use crate::service::{Caller, Inner};

/// What names our questions among those that a client answers; a server's own have other names.
const OURS: &str = "tallyport_approval_";
const RESPONSES: &str = "inputResponses";

/// One approval that is waited for.
#[derive(Clone, Debug)]
pub(super) struct Awaited {
    pub(super) approval_id: ApprovalId,
    pub(super) demand: String,
    pub(super) until: Timestamp,
}

/// What a client declared, and says, that matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    era: Era,
    knows_tasks: bool,
    /// It can show a page to whoever uses it.
    shows_pages: bool,
    /// It was shown the page of this call, and comes back.
    came_back: bool,
}

/// Whose call it is, and until when they may have its answer.
pub(super) struct Whose {
    pub(super) inner: Arc<Inner>,
    pub(super) caller: Arc<Caller>,
    pub(super) until: Timestamp,
}

pub(super) type Outcome = Result<Answered, RpcError>;

/// The same call, made as often as it takes: it finds what it asked for before. It waits so long for people.
pub(super) type Attempt =
    Arc<dyn Fn(Duration) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync>;

impl Client {
    /// Of a call, and what its client declared where it began a session; takes out of it what it answers of ours.
    pub(super) fn of(message: &mut Message, in_session: Option<&Map<String, Value>>) -> Self {
        let (era, meta) = (message.era, &message.meta);
        let shows_pages = match in_session {
            Some(declared) => declared
                .get("elicitation")
                .and_then(|it| it.get("url"))
                .is_some_and(Value::is_object),
            None => meta.declares(&["elicitation", "url"]),
        };
        let knows_tasks = era == Era::Modern && meta.declares(&["extensions", tasks::EXTENSION]);
        let came_back = take_answers(&mut message.params);
        // What a server asked before is answered in the same place; it would be lost in between.
        let is_between =
            ["requestState", RESPONSES].iter().any(|it| message.params.contains_key(*it));
        Self { era, knows_tasks, shows_pages: shows_pages && !is_between, came_back }
    }
}

/// Whether there were any.
fn take_answers(params: &mut Map<String, Value>) -> bool {
    let Some(Value::Object(given)) = params.get_mut(RESPONSES) else { return false };
    let all = given.len();
    given.retain(|name, _| !name.starts_with(OURS));
    let were_there = given.len() < all;
    if were_there && given.is_empty() {
        params.remove(RESPONSES);
    }
    were_there
}

/// Makes a call; where it waits for people longer than its client does, tells the client so as that understands it.
///
/// # Errors
/// [`RpcError`] of the call, or -32042 with the page for a client of before.
///
/// # Cancel safety
/// That of the call, until it is a task: then it goes on.
pub(super) async fn run(whose: Whose, client: Client, attempt: Attempt) -> Outcome {
    let Some(mcp) = whose.inner.mcp.as_ref() else { return Err(RpcError::internal()) };
    let page = mcp.config.page.clone().filter(|_| client.shows_pages && !client.came_back);
    // Who waits elsewhere need not wait here; a client of before does not say that it comes back.
    let is_told_at_once = client.knows_tasks || (page.is_some() && client.era == Era::Modern);
    let patience = if is_told_at_once { Duration::ZERO } else { mcp.patience() };
    let (result, awaited) = match attempt(patience).await? {
        Answered::Waits(result, awaited) if !awaited.is_empty() => (result, awaited),
        other => return Ok(other),
    };
    if client.knows_tasks
        && let Some(created) = mcp.tasks.begin(&whose, &awaited, attempt)
    {
        return Ok(Answered::Result(created));
    }
    Ok(Answered::Result(match (page, client.era) {
        (Some(page), Era::Modern) => reply::input_required(questions(&page, &awaited)),
        (Some(page), Era::Legacy) => return Err(RpcError::page_to_show(pages(&page, &awaited))),
        (None, _) => result,
    }))
}

/// What a client of now is asked: to show the page of each.
fn questions(page: &Url, awaited: &[Awaited]) -> Map<String, Value> {
    let question = |it: &Awaited| {
        let params = json!({ "mode": "url", "message": words(it), "url": address(page, it) });
        let question = json!({ "method": "elicitation/create", "params": params });
        (format!("{OURS}{}", it.approval_id), question)
    };
    awaited.iter().map(question).collect()
}

/// The same for one of before.
fn pages(page: &Url, awaited: &[Awaited]) -> Vec<Value> {
    let shown = |it: &Awaited| {
        json!({
            "mode": "url", "elicitationId": it.approval_id, "message": words(it), "url": address(page, it),
        })
    };
    awaited.iter().map(shown).collect()
}

/// For a person to read: that they look on, and do not decide.
pub(super) fn words(it: &Awaited) -> String {
    format!(
        "This call waits for approval {} ({}), until {}. The page shows it. Whoever asked cannot agree to it themselves: somebody \
         else does that there. Then the same call, with exactly the same arguments, runs once.",
        it.approval_id,
        it.demand,
        it.until.strftime("%Y-%m-%d %H:%M UTC"),
    )
}

/// The console's page of an approval.
fn address(page: &Url, it: &Awaited) -> String {
    let mut page = page.clone();
    page.set_path("/console/");
    page.set_fragment(Some(&format!("/approvals/{}", it.approval_id)));
    page.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_answers_are_taken_and_a_servers_own_are_left() {
        let mut params =
            json!({ "inputResponses": { "tallyport_approval_1": { "action": "accept" } } });
        let params = params.as_object_mut().unwrap();
        assert!(take_answers(params) && params.is_empty());
        let mut params = json!({ "inputResponses": { "tallyport_approval_1": {}, "name": { "action": "accept" } } });
        let params = params.as_object_mut().unwrap();
        assert!(take_answers(params));
        assert_eq!(params["inputResponses"], json!({ "name": { "action": "accept" } }));
        assert!(!take_answers(params));
        let mut params = json!({ "inputResponses": {} });
        assert!(!take_answers(params.as_object_mut().unwrap()), "as it was sent");
        assert_eq!(params, json!({ "inputResponses": {} }));
    }
}
