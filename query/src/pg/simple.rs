//! The simple protocol: a text with one or more statements.

use std::fmt::Debug;

use async_trait::async_trait;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::query::SimpleQueryHandler;
use datafusion_postgres::pgwire::api::results::Response;
use datafusion_postgres::pgwire::api::store::PortalStore;
use datafusion_postgres::pgwire::api::{ClientInfo, ClientPortalStore};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::response::TransactionStatus;
use datafusion_postgres::pgwire::types::format::FormatOptions;
use futures::Sink;
use tallyport_schemas::Face;

use super::connection::Connection;
use super::{session, wire};

#[async_trait]
impl SimpleQueryHandler for Connection {
    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let reader = self.reader().await.map_err(|error| wire(&error))?;
        let statements = match self.engine().statements().parse(query) {
            Ok(statements) => statements,
            Err(error) => {
                let question = self.engine().question(reader, Face::Pgwire, query);
                return Err(wire(&question.ended(error).await));
            }
        };
        if statements.is_empty() {
            return Ok(vec![Response::EmptyQuery]);
        }
        let only = statements.len() == 1;
        let mut responses = Vec::with_capacity(statements.len());
        for statement in statements {
            let text = if only { query.to_owned() } else { statement.to_string() };
            match self.one(client, statement, &text).await {
                Ok(response) => responses.push(response),
                Err(error) if responses.is_empty() => return Err(error),
                // As PostgreSQL does: what came before the failed statement is given, what comes after is not run.
                Err(error) => {
                    responses.push(Response::Error(Box::new(ErrorInfo::from(error))));
                    break;
                }
            }
        }
        Ok(responses)
    }
}

impl Connection {
    async fn one<C>(&self, client: &C, statement: Statement, text: &str) -> PgWireResult<Response>
    where
        C: ClientInfo + Send + Sync,
    {
        must_not_be_aborted(client, &statement)?;
        if session::is_about_session(&statement) {
            return session::answer(client, &statement);
        }
        let options = FormatOptions::from_client_metadata(client.metadata());
        let reader = self.reader().await.map_err(|error| wire(&error))?;
        let question = self.engine().question(reader, Face::Pgwire, text);
        let cancel = self.next_cancel();
        let planned = self.engine().plan(reader, question, statement, None).await;
        let planned = planned.map_err(|error| wire(&error))?;
        self.respond(planned, &Format::UnifiedText, options, cancel)
    }
}

/// In an aborted transaction only its end is taken.
pub(super) fn must_not_be_aborted<C: ClientInfo>(
    client: &C,
    statement: &Statement,
) -> PgWireResult<()> {
    let aborted = client.transaction_status() == TransactionStatus::Error;
    if aborted && !session::ends_transaction(statement) {
        return Err(PgWireError::UserError(Box::new(ErrorInfo::new(
            "ERROR".to_owned(),
            "25P02".to_owned(),
            "the transaction is aborted; end it with ROLLBACK".to_owned(),
        ))));
    }
    Ok(())
}
