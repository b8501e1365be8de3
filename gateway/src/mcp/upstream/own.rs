//! What the gateway asks of a server by itself: what it is, and which tools it has. On record as all else.

use std::pin::Pin;
use std::sync::Arc;

use gateway_core::mcp::{Id, LEGACY_REVISIONS, MODERN_REVISION, RpcError, fields_of};
use gateway_core::passage::call::OwnRequest;
use serde_json::{Value, json};
use tallyport_schemas::{CommandId, Context, Recording, SharedContext};
use tokio::sync::mpsc;

use super::Upstream;
use super::exchange::{Ended, Exchange};
use super::running::Method;
use super::wire::{Alias, Manner, Scope, WireSession};
use crate::service::Inner;

/// The most pages of a list that are read.
const MAX_PAGES: usize = 64;

/// What a server says of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// `server/discover`, where it speaks a revision without sessions.
    pub(super) modern: Option<Value>,
    /// It is known to speak one with sessions. Servers do not always name it: whether others do is seen when a client begins one.
    pub(super) is_legacy: bool,
    /// Its tools, as they are defined.
    pub(super) tools: Vec<Value>,
}

/// Why it is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTold {
    #[error("{0:?}")]
    Failed(RpcError),
    #[error(
        "it cannot be reached, or does not answer as HTTP and MCP do: its last response event says how"
    )]
    NoAnswer,
    #[error("it answers `{0}` with an error, or with what is none of the protocol")]
    Wrong(&'static str),
}

impl NotTold {
    /// In a word, for people.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Failed(_) => "not_asked",
            Self::NoAnswer => "no_answer",
            Self::Wrong(_) => "wrong_answer",
        }
    }
}

/// A session of the gateway's own with a server, or none where it needs none.
pub(super) struct Own {
    inner: Arc<Inner>,
    upstream: Arc<Upstream>,
    context: SharedContext,
    scope: Scope,
    session: Option<WireSession>,
}

impl Own {
    pub(super) fn new(inner: &Arc<Inner>, upstream: &Arc<Upstream>) -> Self {
        let context = Context { target: Some(upstream.reference()), ..Context::default() };
        Self {
            inner: Arc::clone(inner),
            upstream: Arc::clone(upstream),
            context: context.into(),
            scope: Scope::Gateway,
            session: None,
        }
    }

    /// In the context of whoever it is done for.
    pub(super) fn on_behalf(self, context: SharedContext, scope: Scope) -> Self {
        Self { context, scope, ..self }
    }

    /// Asks which revisions it speaks, and which tools it has.
    pub(super) async fn look(mut self) -> Result<Known, NotTold> {
        let modern = self.discover().await;
        if modern.is_none() {
            let begun = self.begin().await;
            let _session = begun.inspect_err(|_| self.upstream.wire.rest())?;
        }
        let is_legacy = modern.as_ref().is_none_or(speaks_legacy);
        let tools = self.tools().await;
        let upstream = Arc::clone(&self.upstream);
        self.end().await;
        upstream.wire.rest();
        Ok(Known { modern, is_legacy, tools: tools? })
    }

    /// What it says of itself, where it speaks the revision without sessions.
    async fn discover(&mut self) -> Option<Value> {
        for number in [1, 2] {
            // It may be one of before: whether it is there at all is seen by what follows.
            let answer = self.ask(OwnRequest::Discover, Some(number)).await.ok()?;
            if let Ok(discovered) = result(&answer, "server/discover") {
                return Some(discovered).filter(speaks_modern);
            }
            // Asked in a revision that it supports, it has no reason to say so again (transports, "Protocol Version Header").
            if !would_speak_modern(&answer) {
                return None;
            }
        }
        None
    }

    async fn tools(&mut self) -> Result<Vec<Value>, NotTold> {
        let mut tools = Vec::new();
        let mut cursor: Option<String> = None;
        for page in 0..MAX_PAGES {
            let number = 100 + page as u64;
            let request = OwnRequest::Tools { cursor: cursor.as_deref() };
            let answer = self.ask(request, Some(number)).await?;
            let result = result(&answer, "tools/list")?;
            let listed = result.get("tools").and_then(Value::as_array);
            tools.extend(listed.cloned().unwrap_or_default());
            cursor = result.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        Ok(tools)
    }

    /// Begins a session.
    pub(super) async fn begin(&mut self) -> Result<WireSession, NotTold> {
        let ended = whole(self.run(OwnRequest::Initialize, Some(3)).await)?;
        let result = result(&message(&ended)?, "initialize")?;
        let session = WireSession::begun(ended.session.clone(), &result);
        self.session = Some(session.clone());
        self.run(OwnRequest::Initialized, None).await.map_err(NotTold::Failed)?;
        Ok(session)
    }

    /// Ends the session, where one was begun.
    pub(super) async fn end(mut self) {
        let has_one = self.session.as_ref().is_some_and(|session| session.id.is_some());
        if has_one && self.run(OwnRequest::End, None).await.is_err() {
            tracing::debug!(server = self.upstream.name(), "the end of a session is not on record");
        }
        self.session = None;
    }

    async fn ask(&mut self, request: OwnRequest<'_>, id: Option<u64>) -> Result<Value, NotTold> {
        let ended = whole(self.run(request, id).await)?;
        message(&ended)
    }

    async fn run(&mut self, request: OwnRequest<'_>, id: Option<u64>) -> Result<Ended, RpcError> {
        let command_id = CommandId::new();
        let number = id.map(Value::from);
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": MODERN_REVISION,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": { "name": "tallyport", "version": env!("CARGO_PKG_VERSION") },
        });
        let begins = matches!(request, OwnRequest::Initialize);
        let is_modern = self.session.is_none() && !begins;
        let policy = self.inner.policy.current();
        let meta = is_modern.then_some(&meta);
        let call =
            request.authorized(command_id, policy.version(), &self.context, number.as_ref(), meta);
        let call = call.map_err(|_| RpcError::internal())?;
        let manner = match &self.session {
            Some(session) => Manner::Within(session.clone()),
            None if begins => Manner::Begins,
            None => Manner::modern(fields_of(&request.message(number.as_ref(), meta)), Vec::new()),
        };
        let exchange = Exchange {
            inner: Arc::clone(&self.inner),
            upstream: Arc::clone(&self.upstream),
            context: self.context.clone(),
            command_id,
            recording: Recording::Full,
            tool: None,
            id: number.as_ref().and_then(Id::read).map(Alias::same),
            scope: self.scope.clone(),
            welcome: None,
            asks_for: None,
            session: self.session.clone(),
            is_stream: false,
            amend: None,
        };
        // Nobody waits for what a server says beside its answers.
        let (to, _nobody) = mpsc::channel(1);
        let method = match (&self.session, &request) {
            (Some(session), OwnRequest::End) => Method::End(session),
            _ => Method::Post(&manner),
        };
        exchange.run(call, method, &to, std::future::pending()).await
    }
}

/// Says something within somebody's session that has no answer; that it failed changes nothing.
pub(super) fn said(
    inner: &Arc<Inner>,
    upstream: &Arc<Upstream>,
    (context, scope, session): (&SharedContext, &Scope, Option<&WireSession>),
    what: OwnRequest<'static>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let mut own = Own::new(inner, upstream).on_behalf(context.clone(), scope.clone());
    own.session = session.cloned();
    Box::pin(async move {
        if let Err(error) = own.run(what, None).await {
            tracing::debug!(
                server = own.upstream.name(),
                ?error,
                "a message to an MCP server was not sent"
            );
        }
    })
}

fn whole(ended: Result<Ended, RpcError>) -> Result<Ended, NotTold> {
    let ended = ended.map_err(NotTold::Failed)?;
    if ended.is_whole { Ok(ended) } else { Err(NotTold::NoAnswer) }
}

fn message(ended: &Ended) -> Result<Value, NotTold> {
    serde_json::from_slice(&ended.message).map_err(|_| NotTold::Wrong("a request"))
}

fn result(message: &Value, method: &'static str) -> Result<Value, NotTold> {
    message.get("result").cloned().ok_or(NotTold::Wrong(method))
}

fn speaks_modern(discovered: &Value) -> bool {
    names(discovered.get("supportedVersions"), &[MODERN_REVISION])
}

fn speaks_legacy(discovered: &Value) -> bool {
    names(discovered.get("supportedVersions"), &LEGACY_REVISIONS)
}

/// Whether it refused the revision, and names it among those that it takes.
fn would_speak_modern(answer: &Value) -> bool {
    let error = answer.get("error");
    let is_revision =
        error.and_then(|it| it.get("code")) == Some(&json!(RpcError::UNSUPPORTED_REVISION));
    let supported = error.and_then(|it| it.pointer("/data/supported"));
    is_revision && names(supported, &[MODERN_REVISION])
}

fn names(versions: Option<&Value>, wanted: &[&str]) -> bool {
    let versions = versions.and_then(Value::as_array).into_iter().flatten();
    versions.filter_map(Value::as_str).any(|version| wanted.contains(&version))
}
