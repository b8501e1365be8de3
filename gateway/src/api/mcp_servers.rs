//! `/v1/mcp/servers`: the MCP servers behind the gateway, what became of the definitions of their tools, and that somebody accepts it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use gateway_core::mcp::ToolFacts;
use gateway_core::verdict::judge_accept;
use serde::{Deserialize, Serialize};
use tallyport_schemas::{
    Body, Context, Decision, DefinitionState, Draft, Effect, PolicyChange, PrincipalKind,
    SharedContext,
};

use super::error::ApiError;
use super::extract::{Id, Names, Sent};
use super::{answered, body, recorded};
use crate::mcp::{Defined, ServerView};
use crate::service::{Caller, Inner};

/// The longest name that a server or a tool can have.
const MAX_NAME_BYTES: usize = 128;
const SHA256_CHARS: usize = 64;
const FORM: &str = "{\"sha256\":\"that of the definition that you accept\",\"reason\":\"why\"}";

#[derive(Serialize)]
struct List {
    servers: Vec<ServerView>,
}

/// `GET /v1/mcp/servers`: those whose definitions the caller may see, by name.
pub(super) async fn list(
    State(inner): State<Arc<Inner>>,
    caller: Caller,
) -> Result<Response, ApiError> {
    let all = inner.mcp.as_ref().map(|mcp| mcp.servers(&inner)).unwrap_or_default();
    let may =
        |server: &ServerView| judge(&inner, &caller, &server.name, None).effect == Effect::Allow;
    let servers = all.into_iter().filter(may).collect();
    Ok(answered(List { servers }))
}

/// `GET /v1/mcp/servers/{server}`: with its tools.
pub(super) async fn show(
    State(inner): State<Arc<Inner>>,
    caller: Caller,
    Id(server): Id,
) -> Result<Response, ApiError> {
    if !is_name(&server) {
        return Err(ApiError::unknown_server());
    }
    let mut decision = judge(&inner, &caller, &server, None);
    let view = inner.mcp.as_ref().and_then(|mcp| mcp.server(&inner, &server));
    match view {
        Some(view) if decision.effect == Effect::Allow => return Ok(answered(view)),
        Some(_) => {}
        None => nothing_there(&mut decision),
    }
    // To look is on record only where it is refused, as with all that changes nothing.
    recorded(&inner, caller.context(), decision).await?;
    Err(ApiError::unknown_server())
}

/// What somebody accepts, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acceptance {
    sha256: String,
    reason: String,
}

impl Acceptance {
    fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let acceptance: Self = body::read(body, FORM)?;
        body::reason(&acceptance.reason)?;
        let is_digit = |it: u8| matches!(it, b'0'..=b'9' | b'a'..=b'f');
        let sha256 = &acceptance.sha256;
        if sha256.len() != SHA256_CHARS || !sha256.bytes().all(is_digit) {
            return Err(ApiError::bad_request(
                "`sha256` is 64 lower-case hexadecimal digits: that of the definition as you read it",
            ));
        }
        Ok(acceptance)
    }
}

/// `POST /v1/mcp/servers/{server}/tools/{tool}/accept`: answered once all gateways that read on know it.
pub(super) async fn accept(
    State(inner): State<Arc<Inner>>,
    caller: Caller,
    Names(server, tool): Names,
    Sent(sent, _): Sent,
) -> Result<Response, ApiError> {
    let acceptance = Acceptance::parse(&sent)?;
    if !is_name(&server) || !is_name(&tool) {
        return Err(ApiError::unknown_server());
    }
    let defined = inner.mcp.as_ref().and_then(|mcp| mcp.defined(&inner, &server, &tool));
    let (defined, context) = permitted(&inner, &caller, (&server, &tool), defined).await?;
    // What somebody else has read, or what another gateway has seen, is not what they accept.
    let Some(previous) = defined.pinned_sha256.filter(|_| defined.sha256 == acceptance.sha256)
    else {
        return Err(ApiError::other_definition());
    };
    let accepted = PolicyChange::ToolDefinition {
        server: server.clone(),
        tool: tool.clone(),
        state: DefinitionState::Accepted,
        sha256: Some(acceptance.sha256),
        previous: Some(previous),
        reason: Some(acceptance.reason),
    };
    // A crash right here, or in the commit, leaves a definition that is accepted where the event is on the control topic.
    inner.control.commit(Draft::new(context, None, Body::Policy(accepted))).await??;
    let view = inner.mcp.as_ref().and_then(|mcp| mcp.tool(&inner, &server, &tool));
    Ok(answered(view.ok_or_else(ApiError::unknown_server)?))
}

/// Asks policy whether the caller may accept this, and puts its answer on record, whichever it is. What there is not, and
/// what is not theirs, look alike.
async fn permitted(
    inner: &Inner,
    caller: &Caller,
    (server, tool): (&str, &str),
    defined: Option<Defined>,
) -> Result<(Defined, SharedContext), ApiError> {
    let unknown = || ToolFacts {
        name: tool.to_owned(),
        read_only: false,
        destructive: true,
        open_world: true,
        labels: Vec::new(),
    };
    let facts = defined.as_ref().map_or_else(unknown, |it| it.facts.clone());
    let mut decision = judge(inner, caller, server, Some(&facts));
    let is_permitted = decision.effect == Effect::Allow;
    if defined.is_none() {
        nothing_there(&mut decision);
    }
    let target = defined.as_ref().map(|it| it.reference.clone());
    let context = SharedContext::from(Context { target, ..Context::clone(caller.context()) });
    recorded(inner, &context, decision).await?;
    if !is_person(caller) {
        return Err(ApiError::not_a_person());
    }
    match defined {
        Some(defined) if is_permitted => Ok((defined, context)),
        _ => Err(ApiError::unknown_server()),
    }
}

/// What policy permits, and there is not.
fn nothing_there(decision: &mut Decision) {
    if decision.effect == Effect::Allow {
        decision.effect = Effect::Deny;
        decision.obligations.clear();
        decision.reasons = vec!["there is no MCP server or tool of this name".to_owned()];
    }
}

fn judge(inner: &Inner, caller: &Caller, server: &str, tool: Option<&ToolFacts>) -> Decision {
    let asker = inner.policy.current().asker(caller.identity());
    judge_accept(&asker, server, tool, is_person(caller), &caller.ask_context())
}

/// People, for themselves.
fn is_person(caller: &Caller) -> bool {
    let identity = caller.identity();
    identity.principal.kind == PrincipalKind::Human && identity.delegation.is_empty()
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len())
}
