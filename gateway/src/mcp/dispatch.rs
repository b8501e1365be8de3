//! What each method does.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use gateway_core::mcp::reply::{self, Listed};
use gateway_core::mcp::{Era, Id, RequestMeta, RpcError, initialize_revision};
use serde_json::{Map, Value};

use super::answer::Answered;
use super::challenge::{Need, Operation};
use super::guard::Came;
use super::limits::Owner;
use super::post::failed;
use super::tools::{self, Asked, Progress, ToolAnswer};
use super::upstream;
use super::waiting::{self, Attempt, Client, Whose};
use super::{McpState, answer, form, tasks};
use crate::api::Known;
use crate::service::{Caller, Inner};

/// What the gateway tells a model of itself.
const INSTRUCTIONS: &str = "Everything asked of this gateway is decided by policy and put on record before it happens. Begin with \
     whoami: it says who you are here and what you may reach. A refusal says what to do; the same call again is refused again.";
/// RFC 5424 severities, as `logging/setLevel` has them.
const LOG_LEVELS: [&str; 8] =
    ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// A request whose form is good.
pub(super) struct Message {
    pub(super) era: Era,
    pub(super) meta: RequestMeta,
    pub(super) id: Id,
    pub(super) method: String,
    pub(super) params: Map<String, Value>,
}

/// Takes note of what needs no answer.
pub(super) fn notified(
    mcp: &McpState,
    era: Era,
    owner: &Owner,
    method: &str,
    params: &Map<String, Value>,
) {
    // Where there are no sessions, to close the stream of an answer is to cancel it.
    if era == Era::Legacy
        && method == "notifications/cancelled"
        && let Some(id) = params.get("requestId").and_then(Id::read)
    {
        mcp.calls.cancel(owner, &id);
    }
}

/// Answers a request.
///
/// # Cancel safety
/// A dropped call drops the tool that it runs.
pub(super) async fn asked(
    inner: &Arc<Inner>,
    mcp: &McpState,
    came: &Came,
    known: Known,
    message: Message,
) -> Response {
    let tool = message.params.get("name").and_then(Value::as_str);
    let is_federated = tool.is_some_and(|name| upstream::is_federated(&mcp.upstreams, name));
    let operation = match (message.method.as_str(), tool) {
        ("tools/call", Some(name)) if is_federated => {
            Operation { action: "mcp:call", resource: name, need: Need::Connect }
        }
        ("tools/call", Some(name)) => tools::operation(name),
        _ => Operation { action: "mcp:connect", resource: "tallyport", need: Need::Connect },
    };
    if let Err(refused) = mcp.check_scopes(inner, came, &known.caller, operation).await {
        return *refused;
    }
    if message.method == "tools/call" && is_federated {
        return upstream::call_federated(inner, mcp, known, message).await;
    }
    if message.method == "tools/call" {
        return call(inner, mcp, known, message).await;
    }
    let (era, id) = (message.era, message.id.clone());
    match told(inner, mcp, &Arc::new(known.caller), message).await {
        Ok(result) => form::json(StatusCode::OK, &reply::answer(&id, result)),
        Err(error) => failed(&error, era, Some(&id)),
    }
}

/// What is answered without anything happening.
async fn told(
    inner: &Arc<Inner>,
    mcp: &McpState,
    caller: &Arc<Caller>,
    message: Message,
) -> Result<Map<String, Value>, RpcError> {
    let Message { era, meta, method, params, .. } = message;
    if era == Era::Modern
        && let Some(told) = tasks::asked(inner, caller, (&meta, &method), &params).await
    {
        return told;
    }
    let text = |name: &str| {
        let value = params.get(name).and_then(Value::as_str);
        value.ok_or_else(|| RpcError::invalid_params(format!("send params.{name} as a text")))
    };
    if let Some(kind) = Listed::by_method(&method) {
        // One page is all: no cursor was ever given.
        if params.get("cursor").is_some_and(|cursor| !cursor.is_null()) {
            return Err(RpcError::invalid_params(
                "this cursor is not one of this list; leave it out",
            ));
        }
        let mut items = Vec::new();
        if kind == Listed::Tools {
            items = tools::list(inner, caller);
            items.extend(upstream::list_federated(inner, &mcp.upstreams, caller).await);
        }
        return Ok(reply::listed(era, kind, items));
    }
    match (method.as_str(), era) {
        ("server/discover", Era::Modern) => Ok(reply::discovered(INSTRUCTIONS)),
        ("initialize", Era::Legacy) => {
            let revision = initialize_revision(text("protocolVersion")?);
            Ok(reply::initialized(revision, INSTRUCTIONS))
        }
        ("ping", Era::Legacy) => Ok(reply::done(era)),
        ("logging/setLevel", Era::Legacy) => match text("level")? {
            level if LOG_LEVELS.contains(&level) => Ok(reply::done(era)),
            _ => Err(RpcError::invalid_params("send params.level such as info or error")),
        },
        ("prompts/get", _) => Err(RpcError::unknown_prompt(text("name")?)),
        ("resources/read", _) => Err(RpcError::no_resource(text("uri")?, era)),
        _ => Err(RpcError::no_method()),
    }
}

async fn call(inner: &Arc<Inner>, mcp: &McpState, known: Known, mut message: Message) -> Response {
    let client = Client::of(&mut message, None);
    let Message { era, meta, id, mut params, .. } = message;
    let owner = Owner::new(known.caller.identity(), known.peer.ip());
    let form = match (params.remove("name"), params.remove("arguments")) {
        (Some(Value::String(name)), None) => Ok((name, Map::new())),
        (Some(Value::String(name)), Some(Value::Object(arguments))) => Ok((name, arguments)),
        (Some(Value::String(_)), Some(_)) => {
            Err(RpcError::invalid_params("send params.arguments as an object, or leave it out"))
        }
        _ => Err(RpcError::invalid_params("send params.name: the name of a tool")),
    };
    let (name, arguments) = match form {
        Ok(form) => form,
        Err(error) => return failed(&error, era, Some(&id)),
    };
    let Some(under_way) = mcp.calls.begin(owner, id.clone()) else {
        return answer::too_many(era, &id);
    };
    let (progress, told) = Progress::of(meta.progress_token());
    let asked =
        Asked { caller: Arc::new(known.caller), token: known.token, era, patience: mcp.patience() };
    // Whatever else is called, or calls itself something, is a client's own words.
    let span = tracing::debug_span!("tool", name = tools::known(&name));
    let (inner, caller) = (Arc::clone(inner), Arc::clone(&asked.caller));
    let attempt = attempt(&inner, (asked, progress), (name, arguments));
    let run = async move {
        let identity = caller.identity();
        let until = identity.expires_at;
        let whose = Whose { inner: Arc::clone(&inner), caller: Arc::clone(&caller), until };
        let call = waiting::run(whose, client, attempt);
        under_way.run((until, caller.lapsed()), call, || inner.still_welcome(identity)).await
    };
    answer::answer(tracing::Instrument::instrument(run, span), told, era, &id).await
}

/// A call of one of the gateway's own tools, to be made as often as it takes.
fn attempt(
    inner: &Arc<Inner>,
    (asked, progress): (Asked, Progress),
    (name, arguments): (String, Map<String, Value>),
) -> Attempt {
    let (inner, call) = (Arc::clone(inner), Arc::new((asked, progress, name, arguments)));
    Arc::new(move |patience| {
        let (inner, call) = (Arc::clone(&inner), Arc::clone(&call));
        Box::pin(async move {
            let (asked, progress, name, arguments) = &*call;
            let asked = Asked { patience, ..asked.clone() };
            let found = tools::call(&inner, &asked, name, arguments.clone(), progress).await?;
            let ToolAnswer { structured, text, is_error, waits } = found;
            let text = text.unwrap_or_else(|| structured.to_string());
            let told = reply::called(asked.era, structured, text, is_error);
            Ok(if waits.is_empty() { told.into() } else { Answered::Waits(told, waits) })
        })
    })
}
