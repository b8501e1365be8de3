//! Built-in tools on databases, and those that go with them: who may be where, and what must be asked for. Each statement is a
//! session as any other ([`crate::inside`]).

mod access;
mod arguments;
mod definitions;
mod statements;
mod tables;
mod told;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

pub(crate) use arguments::BadArguments;
pub(crate) use definitions::definitions;

use super::waiting::Awaited;
use crate::api::{Door, door};
use crate::service::{Caller, Inner};
use crate::tunnel::BearerToken;

/// Who calls.
pub(crate) struct Call<'a> {
    pub inner: &'a Arc<Inner>,
    pub caller: &'a Arc<Caller>,
    /// Kept by a session where the issuer is asked again and again.
    pub token: Option<BearerToken>,
    /// How long it waits for people.
    pub patience: Duration,
}

/// What a tool answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub structured: Value,
    /// The tool could not do it, and says why: for the model to read.
    pub is_error: bool,
    /// What it waits for, where the same call finds that.
    pub waits: Vec<Awaited>,
}

impl Answer {
    const fn good(structured: Value) -> Self {
        Self { structured, is_error: false, waits: Vec::new() }
    }
}

/// The databases that the door would open to for the caller, now or with a grant.
pub(crate) fn targets(inner: &Inner, caller: &Caller) -> Vec<String> {
    inner.target_names().into_iter().filter(|name| opens(inner, caller, name)).collect()
}

/// Whether there is one.
pub(crate) fn has_targets(inner: &Inner, caller: &Caller) -> bool {
    inner.target_names().iter().any(|name| opens(inner, caller, name))
}

fn opens(inner: &Inner, caller: &Caller, name: &str) -> bool {
    let entry = inner.target(name).filter(|entry| entry.postgres().is_some());
    entry.is_some_and(|entry| !matches!(door(inner, caller, &entry), Door::Shut))
}

/// Calls the tool of this name; none where it is not one of these.
///
/// # Cancel safety
/// A dropped call cancels what runs, unless it waits for an approval and that was told.
pub(crate) async fn call(
    call: Call<'_>,
    name: &str,
    arguments: Map<String, Value>,
) -> Option<Result<Answer, BadArguments>> {
    Some(match name {
        "query" => statements::query(call, arguments).await,
        "execute" => statements::execute(call, arguments).await,
        "explain" => statements::explain(call, arguments).await,
        "list_tables" => tables::list(call, arguments).await,
        "describe_table" => tables::describe(call, arguments).await,
        "request_access" => access::request(call, arguments).await,
        "approval_status" => access::status(call, arguments).await,
        _ => return None,
    })
}
