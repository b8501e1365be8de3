//! The tools of the gateway itself. A new one is a file that implements [`Tool`], and a line in [`TOOLS`].

mod progress;
mod sql;
mod whoami;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::mcp::{Era, RpcError};
use serde_json::{Map, Value};

use super::challenge::{Need, Operation};
use super::sql as databases;
use super::waiting::Awaited;
use crate::service::{Caller, Inner};
use crate::tunnel::BearerToken;
pub(crate) use progress::Progress;
use sql::Sql;

/// All tools, in the order in which they are listed.
static TOOLS: &[&dyn Tool] = &[
    &whoami::Whoami,
    &Sql::reads("list_tables"),
    &Sql::reads("describe_table"),
    &Sql::reads("query"),
    &Sql::reads("explain"),
    &Sql::writes("execute"),
    &Sql::reads("request_access"),
    &Sql::reads("approval_status"),
];

/// A call as it came in.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) caller: Arc<Caller>,
    /// What the caller showed; nothing where it was a certificate.
    pub(crate) token: Option<BearerToken>,
    pub(crate) era: Era,
    /// How long it waits for people.
    pub(crate) patience: Duration,
}

/// What a tool found.
#[derive(Debug)]
pub(crate) struct ToolAnswer {
    /// An object, as the tool's output schema says.
    pub(crate) structured: Value,
    /// The same for clients that show no JSON; where absent, the JSON.
    pub(crate) text: Option<String>,
    /// Whether it is about something that did not happen. A model reads it: it says what to do.
    pub(crate) is_error: bool,
    /// What it waits for, where the same call finds that.
    pub(crate) waits: Vec<Awaited>,
}

/// What a caller sees of the gateway, made once for all tools.
pub(crate) struct Seen {
    /// The tools on databases, with the targets to choose from; none where there is no target for them.
    on_databases: Vec<Value>,
}

/// One tool.
///
/// What it does to a target goes on record, before it happens, by the session that it opens: the tool itself writes to none.
#[async_trait]
pub(crate) trait Tool: Sync {
    /// Names it, for policies too: it never changes.
    fn name(&self) -> &'static str;

    /// What of a token it needs.
    fn need(&self) -> Need;

    /// As it is listed for whoever sees this: title, description, schemas, annotations; its name is added. `None` where there
    /// is nothing in it for them.
    fn define(&self, seen: &Seen) -> Option<Map<String, Value>>;

    /// Whether there is anything in it for this caller: else it is unknown to them.
    fn is_for(&self, inner: &Inner, caller: &Caller) -> bool;

    /// Does it.
    ///
    /// # Errors
    /// [`RpcError`] where the call is none; what a model should read of a failure is a [`ToolAnswer`].
    ///
    /// # Cancel safety
    /// Dropped when the client is gone, its token has expired, or it cancels: whatever runs for the call must end then.
    async fn call(
        &self,
        inner: &Arc<Inner>,
        asked: &Asked,
        arguments: Map<String, Value>,
        progress: &Progress,
    ) -> Result<ToolAnswer, RpcError>;
}

/// `tools/list`: what this caller may call, always in one order.
pub(crate) fn list(inner: &Inner, caller: &Caller) -> Vec<Value> {
    let seen = Seen { on_databases: databases::definitions(&databases::targets(inner, caller)) };
    let mut listed = Vec::new();
    for tool in TOOLS {
        if let Some(defined) = tool.define(&seen) {
            let mut whole = Map::from_iter([("name".to_owned(), Value::from(tool.name()))]);
            whole.extend(defined);
            listed.push(Value::Object(whole));
        }
    }
    listed
}

/// `tools/call`.
///
/// # Errors
/// [`RpcError`] where there is no such tool for this caller, or the call is none.
///
/// # Cancel safety
/// A dropped call ends what runs for it.
pub(crate) async fn call(
    inner: &Arc<Inner>,
    asked: &Asked,
    name: &str,
    arguments: Map<String, Value>,
    progress: &Progress,
) -> Result<ToolAnswer, RpcError> {
    let unknown = || RpcError::unknown_tool(name);
    let tool = named(name).ok_or_else(unknown)?;
    // What is not listed for them is not there for them.
    if !tool.is_for(inner, &asked.caller) {
        return Err(unknown());
    }
    tool.call(inner, asked, arguments, progress).await
}

/// What a call of this name needs of a token.
pub(super) fn operation(name: &str) -> Operation<'_> {
    match named(name) {
        Some(tool) => Operation { action: "mcp:call", resource: tool.name(), need: tool.need() },
        None => Operation { action: "mcp:connect", resource: "tallyport", need: Need::Connect },
    }
}

/// The name, where a tool has it.
pub(super) fn known(name: &str) -> Option<&'static str> {
    named(name).map(Tool::name)
}

fn named(name: &str) -> Option<&'static dyn Tool> {
    TOOLS.iter().find(|tool| tool.name() == name).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_those_that_clients_take_and_each_is_there_once() {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let names: BTreeSet<&str> = TOOLS.iter().map(|tool| tool.name()).collect();
        assert_eq!(names.len(), TOOLS.len());
        for name in names {
            assert!((1..=128).contains(&name.len()) && name.chars().all(is_part), "{name}");
            // Upstream servers have their tools under `server__`.
            assert!(!name.contains("__"), "{name}");
        }
    }
}
