//! A call of a tool, as policy and its server get it.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use gateway_core::json::told_twice;
use gateway_core::mcp::{Era, RpcError, ServerQuestion, reply};
use gateway_core::passage::call::Request;
use gateway_core::target::Question;
use serde_json::{Map, Value, json};
use tallyport_access::policy::CallArguments;
use tallyport_schemas::{CommandId, Phase};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::approval::{NotAllowed, Patience};
use super::definitions::{Definition, Look};
use super::exchange::{Amend, Exchange};
use super::own::Own;
use super::question::{Admitted, Allowed, Wanted};
use super::running::{Sent, run};
use super::sessions::Session;
use super::wire::{Alias, Manner, Scope};
use super::{request, states};
use crate::mcp::answer::{self, Answered};
use crate::mcp::dispatch::Message;
use crate::mcp::limits;
use crate::mcp::tools::Progress;
use crate::mcp::waiting::{self, Attempt, Awaited, Client, Whose};

/// What may wait for a client to read it; what is more keeps its server waiting.
pub(super) const MAX_WAITING: usize = 16;

/// One call.
#[derive(Clone)]
pub(super) struct Called {
    pub(super) definition: Arc<Definition>,
    params: Map<String, Value>,
    arguments: Arc<CallArguments>,
    objection: Option<&'static str>,
    statement: String,
}

impl Called {
    /// Of what a client sent; the tool is unknown where it may not be used.
    pub(super) fn of(
        admitted: &Admitted,
        look: &Look,
        sent: &Map<String, Value>,
    ) -> Result<Self, RpcError> {
        let name = sent.get("name").and_then(Value::as_str);
        let name =
            name.ok_or_else(|| RpcError::invalid_params("send params.name: the name of a tool"))?;
        let definition = look.tool(&admitted.inner, &admitted.upstream, name);
        let definition = definition.ok_or_else(|| RpcError::unknown_tool(name))?;
        let mut params = request::known("tools/call", sent);
        let given = params.entry("arguments").or_insert_with(|| json!({}));
        if let Some(name) = told_twice(given) {
            return Err(RpcError::invalid_params(format!(
                "send `{name}` once: params.arguments has the same name in other letters, small or capital, and some servers take one \
                 for the other"
            )));
        }
        let arguments = match given {
            Value::Object(arguments) => CallArguments::of(arguments),
            _ => {
                return Err(RpcError::invalid_params(
                    "send params.arguments as an object, or leave it out",
                ));
            }
        };
        let arguments = arguments.map_err(|error| RpcError::invalid_params(error.to_string()))?;
        let arguments = Arc::new(arguments);
        let objection = states::restore(admitted, &about(&definition), &mut params);
        let statement = request::statement("tools/call", &params)?;
        Ok(Self { definition, params, arguments, objection, statement })
    }

    /// Its parameters, with what the client said in `_meta`.
    pub(super) fn with_meta(&self, sent: &Map<String, Value>) -> Map<String, Value> {
        let meta = sent.get("_meta").map(|meta| ("_meta".to_owned(), meta.clone()));
        self.params.clone().into_iter().chain(meta).collect()
    }

    /// The fields that repeat its arguments.
    pub(super) fn fields(&self) -> Vec<(String, String)> {
        let schema = self.definition.defined.get("inputSchema");
        let arguments = self.params.get("arguments").and_then(Value::as_object);
        schema
            .zip(arguments)
            .map(|(schema, arguments)| request::argument_fields(schema, arguments))
            .unwrap_or_default()
    }

    /// Asks policy, and puts it on record with the exact message.
    pub(super) async fn decide(
        &self,
        admitted: &Admitted,
        (command_id, message): (CommandId, Value),
        patience: &Patience<'_>,
    ) -> Result<Allowed, NotAllowed> {
        let request = Request { command_id, phase: Phase::Call, message };
        let called = ServerQuestion::Call(&self.definition.facts);
        let question = Question {
            call: Some(Arc::clone(&self.arguments)),
            statement: self.statement.clone(),
            definition_sha256: Some(self.definition.sha256.clone()),
            ..called.meant(admitted.upstream.name())
        };
        admitted.decide(Wanted { question, objection: self.objection, request }, patience).await
    }
}

/// What a state belongs to.
fn about(definition: &Definition) -> String {
    format!("tools/call {}", definition.facts.name)
}

/// A call under way.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) admitted: Arc<Admitted>,
    pub(super) called: Called,
    /// The message for the server.
    pub(super) wire: Value,
    /// Of the client's request, and its revision.
    pub(super) asked: (Era, Alias),
    pub(super) way: Way,
    pub(super) amend: Option<Amend>,
    /// How long it waits for people.
    pub(super) patience: Duration,
    pub(super) progress: Arc<Progress>,
    pub(super) to: mpsc::Sender<Bytes>,
}

/// How it goes to its server.
#[derive(Clone)]
pub(super) enum Way {
    /// Without a session, with these fields.
    Modern(Manner),
    /// In the client's session.
    Within(Arc<Session>),
    /// In one for this call alone: its server wants one, and its client has none.
    Alone,
}

impl Running {
    /// Runs it, once it may.
    ///
    /// # Errors
    /// Where nothing can be told but that.
    ///
    /// # Cancel safety
    /// A dropped call ends what runs for it; a request for an approval waits on.
    pub(super) async fn run(self) -> Result<Answered, RpcError> {
        let Self { admitted, called, wire, asked: (era, id), way, amend, patience, progress, to } =
            self;
        let command_id = CommandId::new();
        let patience = Patience { until: Instant::now() + patience, progress: &progress };
        let allowed = match called.decide(&admitted, (command_id, wire), &patience).await {
            Ok(allowed) => allowed,
            Err(NotAllowed::Error(error)) => return Err(error),
            // A model reads it as what its tool says.
            Err(NotAllowed::Refused(error)) => return Ok(Answered::Result(refused(era, &error))),
            Err(NotAllowed::Waits(waits)) => {
                return Ok(Answered::Waits(waiting(era, &waits), vec![waits]));
            }
        };
        let wire_of = &admitted.upstream.wire;
        let scope = Scope::of(&admitted.welcome.caller);
        let mut own = Own::new(&admitted.inner, &admitted.upstream)
            .on_behalf(allowed.context.clone(), scope.clone());
        let mut ends = false;
        let (manner, asks_for) = match &way {
            Way::Modern(manner) => (manner.clone(), None),
            Way::Within(session) => {
                (Manner::Within(session.wire.clone()), Some(Arc::clone(&session.client)))
            }
            Way::Alone if let Some(kept) = wire_of.kept(&scope) => (Manner::Within(kept), None),
            Way::Alone => {
                let name = admitted.upstream.name();
                admitted.settle().await?;
                let begun = own.begin().await.map_err(|error| {
                    tracing::warn!(server = name, %error, "a session cannot be begun");
                    RpcError::ended(format!(
                        "the server {name} cannot be used now; try again later"
                    ))
                });
                let begun = begun?;
                ends = !wire_of.keep(&scope, &begun);
                (Manner::Within(begun), None)
            }
        };
        let session = match &manner {
            Manner::Within(session) => Some(session.clone()),
            Manner::Modern(_) | Manner::Begins => None,
        };
        let tool = Some(called.definition.facts.name.clone());
        let exchange = Exchange::of(&admitted, &allowed, command_id, Some(id));
        let amend = states::sealing(&admitted, &about(&called.definition), amend);
        let exchange = Exchange { tool, asks_for, session, amend: Some(amend), ..exchange };
        let ended = run(exchange, allowed, Sent::Post(manner), to).await;
        if ends {
            admitted.inner.spawn(own.end());
        }
        let ended = ended?;
        Ok(Answered::Message(ended.status, ended.message))
    }
}

/// What is called, and how it goes to its server.
pub(super) struct Prepared {
    pub(super) admitted: Arc<Admitted>,
    pub(super) called: Called,
    pub(super) alias: Alias,
    pub(super) wire: Value,
    pub(super) way: Way,
    pub(super) amend: Option<Amend>,
}

/// Runs it for its client, and answers as that understands it.
///
/// # Cancel safety
/// As [`Running::run`].
pub(super) async fn serve(
    under_way: limits::Call,
    prepared: Prepared,
    (client, message): (Client, &Message),
) -> Response {
    let Prepared { admitted, called, alias, wire, way, amend } = prepared;
    let (era, id) = (message.era, message.id.clone());
    let (to, told) = mpsc::channel(MAX_WAITING);
    let progress = Arc::new(Progress::through(message.meta.progress_token(), to.clone()));
    let (inner, welcome) = (Arc::clone(&admitted.inner), admitted.welcome.clone());
    let (asked, patience) = ((era, alias), Duration::ZERO);
    let running = Running { admitted, called, wire, asked, way, amend, patience, progress, to };
    let attempt: Attempt =
        Arc::new(move |patience| Box::pin(Running { patience, ..running.clone() }.run()));
    let call = async move {
        let (caller, until) = (&welcome.caller, welcome.until);
        let whose = Whose { inner: Arc::clone(&inner), caller: Arc::clone(caller), until };
        let call = waiting::run(whose, client, attempt);
        under_way
            .run((until, caller.lapsed()), call, || inner.still_welcome(caller.identity()))
            .await
    };
    answer::answer(call, told, era, &id).await
}

/// Why a call did not run, as a model reads it.
fn refused(era: Era, error: &RpcError) -> Map<String, Value> {
    let structured = json!({ "error": { "code": "refused", "message": error.message() } });
    reply::called(era, structured, error.message().to_owned(), true)
}

/// What a call waits for, likewise.
fn waiting(era: Era, Awaited { approval_id, demand, until }: &Awaited) -> Map<String, Value> {
    let structured = json!({ "error": {
        "code": "waits_for_approval",
        "message": "policy demands that somebody else agrees before this runs; they were asked",
        "approvals": [{ "approval_id": approval_id, "demand": demand, "until": until }],
        "hint": "Once it is approved, call this tool again with exactly the same arguments: then it runs, once. approval_status \
                 says how far it is, and with withdraw=true gives it up.",
    } });
    let text = structured.to_string();
    reply::called(era, structured, text, true)
}
