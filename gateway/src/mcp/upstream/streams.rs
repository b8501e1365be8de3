//! What comes to `/mcp/{server}` without a message: somebody listens to a session, or ends it.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use gateway_core::mcp::{Era, Id, RpcError};
use gateway_core::passage::call::Request;
use serde_json::{Value, json};
use tallyport_schemas::{CommandId, Phase};
use tokio::sync::mpsc;

use super::called::MAX_WAITING;
use super::came::CameWith;
use super::exchange::Exchange;
use super::named::Way;
use super::question::{Admitted, Allowed};
use super::running::{Sent, run};
use crate::api::Known;
use crate::mcp::limits::Owner;
use crate::mcp::post::failed;
use crate::mcp::{McpState, answer, form};
use crate::service::Inner;

/// `GET`: what the server says by itself within a session.
pub(in crate::mcp) async fn listen(
    inner: &Arc<Inner>,
    mcp: &McpState,
    (server, with): (&str, CameWith),
    known: Known,
) -> Response {
    let owner = Owner::new(known.caller.identity(), known.peer.ip());
    let way = match Way::within(inner, mcp, (server, with), known, owner).await {
        Ok(way) => way,
        Err(response) => return *response,
    };
    let listening = async {
        let Some(session) = way.session(Era::Legacy)? else { return Err(RpcError::no_session()) };
        let id = Id::read(&json!("listen")).ok_or_else(RpcError::internal)?;
        let command_id = CommandId::new();
        let (allowed, exchange) = way.bare("GET", command_id).await?;
        let asks_for = Some(Arc::clone(&session.client));
        let of = Some(session.wire.clone());
        let exchange = Exchange { asks_for, session: of, is_stream: true, ..exchange };
        Ok((allowed, exchange, session.wire.clone(), id))
    };
    let (allowed, exchange, session, id) = match listening.await {
        Ok(listening) => listening,
        Err(error) => return failed(&error, Era::Legacy, None),
    };
    let Some(under_way) = mcp.calls.begin(way.owner.clone(), id) else {
        return failed(&RpcError::too_many_calls(), Era::Legacy, None);
    };
    let (to, told) = mpsc::channel(MAX_WAITING);
    let welcome = way.admitted.welcome.clone();
    let running = run(exchange, allowed, Sent::Listen(session), to);
    answer::stream(
        async move {
            let may = (welcome.until, welcome.caller.lapsed());
            let listening = under_way.without_end().run(may, running, || Ok(()));
            listening.await.map(|_ended| ())
        },
        told,
    )
}

/// `DELETE`: a session ends.
pub(in crate::mcp) async fn delete(
    inner: &Arc<Inner>,
    mcp: &McpState,
    (server, with): (&str, CameWith),
    known: Known,
) -> Response {
    let owner = Owner::new(known.caller.identity(), known.peer.ip());
    let way = match Way::within(inner, mcp, (server, with), known, owner).await {
        Ok(way) => way,
        Err(response) => return *response,
    };
    let ending = async {
        let Some(session) = way.session(Era::Legacy)? else { return Err(RpcError::no_session()) };
        let command_id = CommandId::new();
        let (allowed, exchange) = way.bare("DELETE", command_id).await?;
        if let Some(id) = &way.with.session {
            mcp.upstreams.sessions.forget(id);
        }
        let (to, _nobody) = mpsc::channel(1);
        // That the server did not hear of it changes nothing for the client: the id is of no use any more.
        let _ended = run(exchange, allowed, Sent::End(session.wire.clone()), to).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    ending.await.unwrap_or_else(|error: RpcError| failed(&error, Era::Legacy, None))
}

impl<'a> Way<'a> {
    /// For what is no message.
    async fn within(
        inner: &Arc<Inner>,
        mcp: &'a McpState,
        (server, with): (&str, CameWith),
        known: Known,
        owner: Owner,
    ) -> Result<Self, form::Refused> {
        let caller = Arc::new(known.caller);
        let refused = |error: &RpcError| form::Refused::from(failed(error, Era::Legacy, None));
        let admitted = Admitted::of(inner, mcp.upstreams.get(server), server, &caller).await;
        let admitted = Arc::new(admitted.map_err(|why| refused(&why.error(server)))?);
        let look = admitted.upstream.definitions.now();
        let look = look.ok_or_else(|| refused(&RpcError::no_session()))?;
        Ok(Self { admitted, mcp, look, owner, with })
    }

    /// A request of HTTP alone.
    async fn bare(
        &self,
        method: &str,
        command_id: CommandId,
    ) -> Result<(Allowed, Exchange), RpcError> {
        let (phase, statement) = (Phase::Control, json!({ "http": method }).to_string());
        let message = Value::Null;
        let request = Request { command_id, phase, message };
        let allowed = self.admitted.decide_use(statement, request).await?;
        let exchange = Exchange::of(&self.admitted, &allowed, command_id, None);
        Ok((allowed, exchange))
    }
}
