//! `/mcp/{server}`: one server as it is, names and addresses unchanged, in the revisions that it speaks itself.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use gateway_core::mcp::reply::{self, Listed};
use gateway_core::mcp::{
    Era, Id, MODERN_REVISION, RpcError, ServerQuestion, fields_of, initialize_revision,
};
use gateway_core::passage::call::Request;
use gateway_core::target::Question;
use serde_json::{Map, Value, json};
use tallyport_schemas::{CommandId, Phase};
use tokio::sync::mpsc;

use super::asked::Asked;
use super::called::{self, Called, MAX_WAITING, Prepared};
use super::came::{CameWith, SESSION, Spoken};
use super::definitions::Look;
use super::exchange::{Amend, Ended, Exchange};
use super::question::{Admitted, Allowed, Wanted};
use super::running::{Sent, run};
use super::sessions::Session;
use super::wire::{Manner, WireSession};
use super::{listed, request, states};
use crate::api::Known;
use crate::mcp::answer::{self, Answered};
use crate::mcp::challenge::{Need, Operation};
use crate::mcp::dispatch::Message;
use crate::mcp::guard::Came;
use crate::mcp::limits::Owner;
use crate::mcp::post::failed;
use crate::mcp::waiting::Client;
use crate::mcp::{McpState, form, tasks};
use crate::service::Inner;

/// What a client may tell a server that needs no answer.
const NOTIFICATIONS: [&str; 4] = [
    "notifications/initialized",
    "notifications/cancelled",
    "notifications/progress",
    "notifications/roots/list_changed",
];

/// Where a message goes.
pub(super) struct Way<'a> {
    pub(super) admitted: Arc<Admitted>,
    pub(super) mcp: &'a McpState,
    pub(super) look: Arc<Look>,
    pub(super) owner: Owner,
    pub(super) with: CameWith,
}

/// Answers a request, notification (`id` absent) or answer to what the server asked.
pub(in crate::mcp) async fn serve(
    inner: &Arc<Inner>,
    mcp: &McpState,
    came: &Came,
    (server, with): (&str, CameWith),
    (known, message): (Known, Spoken),
) -> Response {
    let operation = Operation { action: "mcp:connect", resource: server, need: Need::Connect };
    if let Err(refused) = mcp.check_scopes(inner, came, &known.caller, operation).await {
        return *refused;
    }
    let (era, id) = (message.era(), message.id().cloned());
    let owner = Owner::new(known.caller.identity(), known.peer.ip());
    let upstream = mcp.upstreams.get(server);
    let admitted = Admitted::of(inner, upstream, server, &Arc::new(known.caller)).await;
    let admitted = match admitted {
        Ok(admitted) => Arc::new(admitted),
        Err(why) => return failed(&why.error(server), era, id.as_ref()),
    };
    if admitted.upstream.definitions.now().is_none()
        && let Err(error) = admitted.settle().await
    {
        return failed(&error, era, id.as_ref());
    }
    let Some(look) = admitted.upstream.definitions.get(inner, &admitted.upstream).await else {
        let error =
            RpcError::ended(format!("the server {server} cannot be used now; try again later"));
        return failed(&error, era, id.as_ref());
    };
    let way = Way { admitted, mcp, look, owner, with };
    match message {
        Spoken::Request(message) => way.asked(*message).await,
        Spoken::Notification(era, method, params) => way.notified(era, &method, &params).await,
        Spoken::Answer(era, id, outcome) => way.answered(era, &id, outcome).await,
    }
}

impl Way<'_> {
    async fn asked(self, message: Message) -> Response {
        let (era, id) = (message.era, message.id.clone());
        match self.try_asked(message).await {
            Ok(response) => response,
            Err(error) => failed(&error, era, Some(&id)),
        }
    }

    async fn try_asked(self, message: Message) -> Result<Response, RpcError> {
        let (era, id, method) = (message.era, message.id.clone(), message.method.clone());
        self.speaks(era)?;
        let told = |result| Ok(form::json(StatusCode::OK, &reply::answer(&id, result)));
        match (era, method.as_str()) {
            (Era::Modern, "server/discover") => return told(discovered(&self.look)),
            (Era::Modern, "tools/list") => {
                return told(reply::listed(
                    era,
                    Listed::Tools,
                    listed::tools(&self.admitted, &self.look),
                ));
            }
            (Era::Legacy, "initialize") => return self.initialize(message).await,
            _ => {}
        }
        if era == Era::Modern {
            let (inner, caller) = (&self.admitted.inner, &self.admitted.welcome.caller);
            let asked = (&message.meta, method.as_str());
            if let Some(of_task) = tasks::asked(inner, caller, asked, &message.params).await {
                return told(of_task?);
            }
        }
        let session = self.session(era)?;
        if method == "tools/list" {
            return told(reply::listed(
                era,
                Listed::Tools,
                listed::tools(&self.admitted, &self.look),
            ));
        }
        if method == "tools/call" {
            return self.call(message, session).await;
        }
        let asked = Asked::of(era, &method, &message.params)?;
        let mut params = request::params((era, &method), &message.params, client_of(&message));
        let objection = states::restore(&self.admitted, &method, &mut params);
        let statement = request::statement(&method, &params)?;
        let alias = self.admitted.upstream.wire.alias(&id, &mut params);
        let wire = request::message(Some(alias.at_server()), &method, params);
        let manner = manner(session.as_deref(), &wire, Vec::new());
        let meant = asked.question().meant(self.admitted.upstream.name());
        let (mut question, phase) = (Question { statement, ..meant }, asked.phase);
        // What is denied of them is decided with the rest, and is on record then.
        for also in &asked.also {
            let read = ServerQuestion::Read(Some(also));
            if !self.admitted.may(&read) {
                question.asks.extend(read.meant(self.admitted.upstream.name()).asks);
            }
        }
        let command_id = CommandId::new();
        let request = Request { command_id, phase, message: wire };
        let wanted = Wanted { question, objection, request };
        let allowed = self.admitted.decide_now(wanted).await?;
        let amend = asked.lists.map(|kind| {
            let admitted = Arc::clone(&self.admitted);
            Arc::new(move |message: &mut Value| listed::retain(&admitted, kind, message)) as Amend
        });
        let exchange = Exchange {
            asks_for: session.as_ref().map(|session| Arc::clone(&session.client)),
            session: session.as_ref().map(|session| session.wire.clone()),
            is_stream: asked.is_stream,
            amend: Some(states::sealing(&self.admitted, &method, amend)),
            ..Exchange::of(&self.admitted, &allowed, command_id, Some(alias))
        };
        Ok(self.relay(exchange, allowed, manner, (era, id)).await)
    }

    async fn call(
        self,
        mut message: Message,
        session: Option<Arc<Session>>,
    ) -> Result<Response, RpcError> {
        let declared = session.as_ref().map(|session| &session.client.capabilities);
        let client = Client::of(&mut message, declared);
        let (era, id) = (message.era, message.id.clone());
        let called = Called::of(&self.admitted, &self.look, &message.params)?;
        let fields = called.fields();
        if era == Era::Modern {
            request::check_fields(&self.with.params, &fields)?;
        }
        let sent = called.with_meta(&message.params);
        let mut params = request::params((era, "tools/call"), &sent, client_of(&message));
        let alias = self.admitted.upstream.wire.alias(&id, &mut params);
        let wire = request::message(Some(alias.at_server()), "tools/call", params);
        let way = session.map_or_else(
            || called::Way::Modern(Manner::modern(fields_of(&wire), fields)),
            called::Way::Within,
        );
        let Some(under_way) = self.mcp.calls.begin(self.owner.clone(), id.clone()) else {
            return Ok(answer::too_many(era, &id));
        };
        let prepared = Prepared { admitted: self.admitted, called, alias, wire, way, amend: None };
        Ok(called::serve(under_way, prepared, (client, &message)).await)
    }

    /// Begins a session, with the server and for the client.
    async fn initialize(self, message: Message) -> Result<Response, RpcError> {
        let Message { id, params, .. } = message;
        let asked = params.get("protocolVersion").and_then(Value::as_str);
        let asked = asked
            .ok_or_else(|| RpcError::invalid_params("send params.protocolVersion as a text"))?;
        let name = params.get("clientInfo").and_then(|it| it.get("name")).and_then(Value::as_str);
        let declared = params.get("capabilities").and_then(Value::as_object);
        let declared = request::capabilities(declared);
        let sent = json!({
            "protocolVersion": initialize_revision(asked),
            "capabilities": declared,
            "clientInfo": request::client_info(name),
        });
        let mut params = sent.as_object().cloned().unwrap_or_default();
        let statement = request::statement("initialize", &params)?;
        let alias = self.admitted.upstream.wire.alias(&id, &mut params);
        let wire = request::message(Some(alias.at_server()), "initialize", params);
        let command_id = CommandId::new();
        let request = Request { command_id, phase: Phase::Control, message: wire };
        let allowed = self.admitted.decide_use(statement, request).await?;
        let exchange = Exchange::of(&self.admitted, &allowed, command_id, Some(alias));
        let (to, _nobody) = mpsc::channel(1);
        let ended = run(exchange, allowed, Sent::Post(Manner::Begins), to).await?;
        let begun = serde_json::from_slice::<Value>(&ended.message)
            .ok()
            .and_then(|it| it.get("result").cloned());
        let is_begun = begun.is_some() && ended.is_whole;
        let mut response = Answered::Message(ended.status, ended.message).response(&id);
        if let (true, Some(result)) = (is_begun, begun) {
            let wire = WireSession::begun(ended.session, &result);
            let kept = self.mcp.upstreams.sessions.keep(
                &self.admitted.welcome.caller,
                self.admitted.upstream.name(),
                (wire, declared),
            );
            let session = kept.map_err(|_| RpcError::too_many_calls())?;
            if let Ok(session) = HeaderValue::try_from(session) {
                response.headers_mut().insert(SESSION, session);
            }
        }
        Ok(response)
    }

    async fn notified(self, era: Era, method: &str, params: &Map<String, Value>) -> Response {
        // Where there are no sessions, to close the stream of an answer is to cancel it.
        if era == Era::Modern {
            return StatusCode::ACCEPTED.into_response();
        }
        if method == "notifications/cancelled"
            && let Some(id) = params.get("requestId").and_then(Id::read)
        {
            self.mcp.calls.cancel(&self.owner, &id);
            // A child knows the call by another name, and is told by whoever ends it. A server without sessions knows another
            // client's by the same.
            let of = self.session(era).ok().flatten();
            let is_of_one = of.is_some_and(|session| session.wire.id.is_some());
            if self.admitted.upstream.wire.is_child() || !is_of_one {
                return StatusCode::ACCEPTED.into_response();
            }
        }
        // A server might do what a request says that asks for no answer.
        if !NOTIFICATIONS.contains(&method) {
            return failed(&RpcError::no_method(), era, None);
        }
        let params = request::params((era, method), params, None);
        let sent = request::message(None, method, params.clone());
        let statement = request::statement(method, &params);
        self.send(era, (Phase::Control, statement, sent)).await
    }

    async fn answered(self, era: Era, id: &Id, outcome: Result<Value, Value>) -> Response {
        if era == Era::Modern {
            return failed(
                &RpcError::invalid_request("nothing was asked of this client"),
                era,
                None,
            );
        }
        let session = self.session(era);
        let session = match session.and_then(|session| session.ok_or_else(RpcError::no_session)) {
            Ok(session) => session,
            Err(error) => return failed(&error, era, None),
        };
        if !session.client.answers(id.as_value()) {
            let why = "nothing of this id was asked of this client, or it is answered already";
            return failed(&RpcError::invalid_request(why), era, None);
        }
        let (member, said) = match outcome {
            Ok(result) => ("result", result),
            Err(error) => ("error", error),
        };
        let members = [("jsonrpc", json!("2.0")), ("id", id.as_value().clone()), (member, said)];
        let sent: Map<String, Value> =
            members.into_iter().map(|(name, it)| (name.to_owned(), it)).collect();
        let statement = request::statement("answer", &sent);
        self.send(era, (Phase::Answer, statement, Value::Object(sent))).await
    }

    /// Sends what has no answer.
    async fn send(
        self,
        era: Era,
        (phase, statement, message): (Phase, Result<String, RpcError>, Value),
    ) -> Response {
        let sending = async {
            let session = self.session(era)?;
            let manner = manner(session.as_deref(), &message, Vec::new());
            let command_id = CommandId::new();
            let request = Request { command_id, phase, message };
            let allowed = self.admitted.decide_use(statement?, request).await?;
            let exchange = Exchange::of(&self.admitted, &allowed, command_id, None);
            let (to, _nobody) = mpsc::channel(1);
            let ended = run(exchange, allowed, Sent::Post(manner), to).await?;
            self.over(&ended);
            Ok(if ended.is_whole { StatusCode::ACCEPTED } else { StatusCode::BAD_GATEWAY }
                .into_response())
        };
        sending.await.unwrap_or_else(|error| failed(&error, era, None))
    }

    /// The session that a request is in; none where there are no sessions.
    pub(super) fn session(&self, era: Era) -> Result<Option<Arc<Session>>, RpcError> {
        if era == Era::Modern {
            return Ok(None);
        }
        let Some(id) = &self.with.session else {
            return Err(RpcError::invalid_request("send Mcp-Session-Id as initialize gave it"));
        };
        let (caller, server) = (&self.admitted.welcome.caller, self.admitted.upstream.name());
        let session = self.mcp.upstreams.sessions.get(caller, server, id);
        let session = session.filter(|it| self.admitted.upstream.wire.has(&it.wire));
        session.map(Some).ok_or_else(RpcError::no_session)
    }

    fn speaks(&self, era: Era) -> Result<(), RpcError> {
        match era {
            Era::Modern if self.look.modern.is_none() => {
                Err(RpcError::unsupported_revision(MODERN_REVISION))
            }
            // Whether it has sessions it says itself, when one is to begin.
            Era::Modern | Era::Legacy => Ok(()),
        }
    }

    fn over(&self, ended: &Ended) {
        if let (true, Some(id)) = (ended.no_session, &self.with.session) {
            self.mcp.upstreams.sessions.forget(id);
        }
    }

    /// Answers with what the server says, as it says it.
    async fn relay(
        self,
        exchange: Exchange,
        allowed: Allowed,
        manner: Manner,
        (era, id): (Era, Id),
    ) -> Response {
        let Some(under_way) = self.mcp.calls.begin(self.owner.clone(), id.clone()) else {
            return answer::too_many(era, &id);
        };
        let under_way = if exchange.is_stream { under_way.without_end() } else { under_way };
        let (to, told) = mpsc::channel(MAX_WAITING);
        let welcome = self.admitted.welcome.clone();
        let inner = Arc::clone(&self.admitted.inner);
        let running = run(exchange, allowed, Sent::Post(manner), to);
        let call = async move {
            let caller = &welcome.caller;
            let may_have = || inner.still_welcome(caller.identity());
            let ended =
                under_way.run((welcome.until, welcome.caller.lapsed()), running, may_have).await?;
            Ok(Answered::Message(ended.status, ended.message))
        };
        answer::answer(call, told, era, &id).await
    }
}

/// What the server says of itself, as far as the gateway passes it on.
fn discovered(look: &Look) -> Map<String, Value> {
    let mut said = look.modern.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
    said.insert("supportedVersions".to_owned(), json!([MODERN_REVISION]));
    if let Some(Value::Object(capabilities)) = said.get_mut("capabilities") {
        // Extensions change what passes: those that the gateway knows are its own.
        capabilities.insert("extensions".to_owned(), reply::extensions());
    }
    said
}

fn client_of(message: &Message) -> Option<&str> {
    message.meta.client().map(|client| client.name.as_str())
}

fn manner(session: Option<&Session>, wire: &Value, fields: Vec<(String, String)>) -> Manner {
    match session {
        Some(session) => Manner::Within(session.wire.clone()),
        None => Manner::modern(fields_of(wire), fields),
    }
}
