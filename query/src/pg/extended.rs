//! The extended protocol: a statement is parsed once and runs with parameters, each time on what is there then.

use std::collections::HashSet;
use std::fmt::{Debug, Write as _};
use std::sync::Arc;

use arrow::datatypes::DataType;
use async_trait::async_trait;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::arrow_pg::datatypes::df::deserialize_parameters_with_server_types;
use datafusion_postgres::arrow_pg::datatypes::{arrow_schema_to_pg_fields, into_pg_type};
use datafusion_postgres::pgwire::api::portal::{Format, Portal};
use datafusion_postgres::pgwire::api::query::ExtendedQueryHandler;
use datafusion_postgres::pgwire::api::results::{FieldInfo, Response};
use datafusion_postgres::pgwire::api::stmt::{QueryParser, StoredStatement};
use datafusion_postgres::pgwire::api::store::PortalStore;
use datafusion_postgres::pgwire::api::{ClientInfo, ClientPortalStore, Type};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::extendedquery::{Parse, ParseComplete};
use datafusion_postgres::pgwire::types::format::FormatOptions;
use futures::{Sink, SinkExt as _};
use parking_lot::Mutex;
use tallyport_schemas::Face;

use super::connection::Connection;
use super::simple::must_not_be_aborted;
use super::{session, wire};
use crate::error::QueryError;

/// Named statements that one connection may keep.
const MAX_NAMED: usize = 1_000;
/// Parameters of one statement.
const MAX_PARAMETERS: usize = 1_000;

/// A parsed statement.
#[derive(Clone)]
pub(super) struct Prepared {
    text: String,
    statement: Statement,
    /// Its shape; absent for statements about the session.
    plan: Option<Arc<LogicalPlan>>,
}

/// Parses statements of one connection.
pub(super) struct Parser {
    connection: Arc<Connection>,
    named: Mutex<HashSet<String>>,
}

/// Runs statements of one connection.
pub(super) struct Extended {
    connection: Arc<Connection>,
    parser: Arc<Parser>,
}

impl Parser {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self { connection, named: Mutex::default() }
    }

    fn remember(&self, name: Option<&str>) -> Result<(), QueryError> {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(()) };
        let mut named = self.named.lock();
        if !named.contains(name) && named.len() >= MAX_NAMED {
            return Err(QueryError::Invalid {
                message: format!("more than {MAX_NAMED} prepared statements; close some"),
                sqlstate: "54000",
            });
        }
        named.insert(name.to_owned());
        Ok(())
    }
}

#[async_trait]
impl QueryParser for Parser {
    type Statement = Prepared;

    async fn parse_sql<C>(
        &self,
        _client: &C,
        sql: &str,
        _types: &[Option<Type>],
    ) -> PgWireResult<Option<Prepared>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let connection = &self.connection;
        let reader = connection.reader().await.map_err(|error| wire(&error))?;
        let engine = connection.engine();
        let parsed = engine.statements().parse(sql).and_then(|mut statements| {
            match (statements.pop(), statements.is_empty()) {
                (statement, true) => Ok(statement),
                _ => Err(QueryError::Invalid {
                    message: "a prepared statement is one statement; send them one by one"
                        .to_owned(),
                    sqlstate: "42601",
                }),
            }
        });
        let prepared = match parsed {
            Ok(None) => return Ok(None),
            Ok(Some(statement)) if session::is_about_session(&statement) => {
                Ok(Prepared { text: sql.to_owned(), statement, plan: None })
            }
            Ok(Some(statement)) => engine.describe(reader, statement.clone()).await.map(|plan| {
                Prepared { text: sql.to_owned(), statement, plan: Some(Arc::new(plan)) }
            }),
            Err(error) => Err(error),
        };
        match prepared {
            Ok(prepared) => Ok(Some(prepared)),
            // It will not come to a run: so this is where its event is.
            Err(error) => {
                let question = engine.question(reader, Face::Pgwire, sql);
                Err(wire(&question.ended(error).await))
            }
        }
    }

    fn get_parameter_types(&self, prepared: &Prepared) -> PgWireResult<Vec<Type>> {
        Ok(parameters(prepared)?.into_iter().map(|(wire, _)| wire).collect())
    }

    fn get_result_schema(
        &self,
        prepared: &Prepared,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        match &prepared.plan {
            Some(plan) => {
                let format = format.unwrap_or(&Format::UnifiedText);
                arrow_schema_to_pg_fields(plan.schema().as_arrow(), format, None)
            }
            None => Ok(session::columns(&prepared.statement)),
        }
    }
}

impl Extended {
    pub(super) const fn new(connection: Arc<Connection>, parser: Arc<Parser>) -> Self {
        Self { connection, parser }
    }
}

#[async_trait]
impl ExtendedQueryHandler for Extended {
    type Statement = Prepared;
    type QueryParser = Parser;

    fn query_parser(&self) -> Arc<Parser> {
        Arc::clone(&self.parser)
    }

    async fn on_parse<C>(&self, client: &mut C, message: Parse) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        self.parser.remember(message.name.as_deref()).map_err(|error| wire(&error))?;
        let name = message
            .name
            .clone()
            .unwrap_or_else(|| datafusion_postgres::pgwire::api::DEFAULT_NAME.to_owned());
        match StoredStatement::parse(client, &message, self.query_parser()).await? {
            Some(statement) => client.portal_store().put_statement(Arc::new(statement)),
            None => client.portal_store().put_empty_statement(&name),
        }
        client.send(PgWireBackendMessage::ParseComplete(ParseComplete::new())).await?;
        Ok(())
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Prepared>,
        _max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let prepared = &portal.statement.statement;
        must_not_be_aborted(client, &prepared.statement)?;
        let connection = &self.connection;
        let reader = connection.reader().await.map_err(|error| wire(&error))?;
        if prepared.plan.is_none() {
            return session::answer(client, &prepared.statement);
        }
        let types = parameters(prepared)?;
        let wire_types: Vec<_> = types.iter().map(|(wire, _)| Some(wire)).collect();
        let inferred: Vec<_> = types.iter().map(|(_, inferred)| inferred.as_ref()).collect();
        let values = deserialize_parameters_with_server_types(portal, &inferred, &wire_types)?;
        let mut question = connection.engine().question(reader, Face::Pgwire, &prepared.text);
        let shown = on_record(&values);
        let max = connection.engine().limits.max_sql_bytes;
        if shown.len() > max {
            let error = QueryError::ParametersTooLong { bytes: shown.len(), max };
            return Err(wire(&question.ended(error).await));
        }
        question.asked_with(&shown);
        let options = FormatOptions::from_client_metadata(client.metadata());
        let cancel = connection.next_cancel();
        let values = Some(values).filter(|_| !types.is_empty());
        let statement = prepared.statement.clone();
        let planned = connection.engine().plan(reader, question, statement, values).await;
        let planned = planned.map_err(|error| wire(&error))?;
        connection.respond(planned, &portal.result_column_format, options, cancel)
    }
}

/// The parameters in order: the type on the wire, and the type in the plan where that is known.
fn parameters(prepared: &Prepared) -> PgWireResult<Vec<(Type, Option<DataType>)>> {
    let Some(plan) = &prepared.plan else { return Ok(Vec::new()) };
    let own = |error: DataFusionError| wire(&QueryError::from(error));
    let mut found: Vec<(usize, Option<DataType>)> = Vec::new();
    for (name, data_type) in plan.get_parameter_types().map_err(own)? {
        let place = name.trim_start_matches('$').parse::<usize>().ok();
        let place =
            place.filter(|place| (1..=MAX_PARAMETERS).contains(place)).ok_or_else(|| {
                wire(&QueryError::Invalid {
                    message: format!("`{name}` is no parameter; write $1 to ${MAX_PARAMETERS}"),
                    sqlstate: "42P02",
                })
            })?;
        found.push((place, data_type));
    }
    let count = found.iter().map(|(place, _)| *place).max().unwrap_or_default();
    let typed = |place: usize| {
        let data_type = found.iter().find(|(at, _)| *at == place).and_then(|(_, t)| t.clone());
        let on_wire = data_type.as_ref().map_or(Ok(Type::TEXT), into_pg_type)?;
        Ok((on_wire, data_type))
    };
    (1..=count).map(typed).collect()
}

/// How bound values stand on record: whole.
fn on_record(values: &ParamValues) -> String {
    let ParamValues::List(values) = values else { return String::new() };
    let shown = |(place, value): (usize, &ScalarAndMetadata)| {
        format!("${} = {}", place + 1, serde_json::Value::from(whole(&value.value)))
    };
    values.iter().enumerate().map(shown).collect::<Vec<_>>().join(", ")
}

/// The engine shows the first bytes of a `bytea` only.
fn whole(value: &ScalarValue) -> String {
    use ScalarValue as S;
    match value {
        S::Binary(Some(bytes))
        | S::LargeBinary(Some(bytes))
        | S::BinaryView(Some(bytes))
        | S::FixedSizeBinary(_, Some(bytes)) => {
            let mut text = String::from("\\x");
            for byte in bytes {
                let _infallible = write!(text, "{byte:02x}");
            }
            text
        }
        other => other.to_string(),
    }
}
