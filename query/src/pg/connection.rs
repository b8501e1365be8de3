//! What one connection is: its reader, and the question that runs.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use arrow::record_batch::RecordBatch;
use datafusion_postgres::arrow_pg::datatypes::{arrow_schema_to_pg_fields, encode_recordbatch};
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::{QueryResponse, Response};
use datafusion_postgres::pgwire::error::PgWireResult;
use datafusion_postgres::pgwire::messages::startup::SecretKey;
use datafusion_postgres::pgwire::types::format::FormatOptions;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use parking_lot::Mutex;
use tallyport_schemas::Front;
use tokio_util::sync::CancellationToken;

use super::{Cancels, wire};
use crate::engine::{Engine, Planned};
use crate::error::QueryError;
use crate::reader::Reader;

/// One connection.
pub(super) struct Connection {
    engine: Arc<Engine>,
    peer: SocketAddr,
    loopback: bool,
    cancels: Cancels,
    reader: OnceLock<Reader>,
    key: OnceLock<(i32, SecretKey)>,
    running: Arc<Mutex<CancellationToken>>,
    closing: CancellationToken,
    left: CancellationToken,
}

impl Connection {
    pub(super) fn new(
        engine: Arc<Engine>,
        peer: SocketAddr,
        loopback: bool,
        cancels: Cancels,
    ) -> Self {
        Self {
            engine,
            peer,
            loopback,
            cancels,
            reader: OnceLock::new(),
            key: OnceLock::new(),
            running: Arc::default(),
            closing: CancellationToken::new(),
            left: CancellationToken::new(),
        }
    }

    pub(super) const fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub(super) const fn cancels(&self) -> &Cancels {
        &self.cancels
    }

    /// Cancelled when the connection has to end.
    pub(super) const fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Cancelled when the reader is there no more.
    pub(super) const fn left(&self) -> &CancellationToken {
        &self.left
    }

    /// Whether a token may be sent over this connection.
    pub(super) const fn may_take_token(&self, inside_tls: bool) -> bool {
        inside_tls || self.loopback
    }

    /// Verifies the token; the connection is the reader's from then on.
    pub(super) async fn enter(&self, token: &str) -> Result<(), QueryError> {
        let token = Some(token).filter(|token| !token.is_empty());
        let gate = &self.engine.gate;
        let reader = gate.authenticate(token, Front::QueryPgwire, Some(self.peer)).await?;
        tracing::debug!(reader = reader.name(), peer = %self.peer, "a reader connected");
        self.reader.set(reader).map_err(|_| QueryError::Internal)
    }

    /// The reader. A message that comes without one, such as after a refused token, gets nothing.
    pub(super) fn reader(&self) -> Result<&Reader, QueryError> {
        let reader = self.reader.get().ok_or_else(|| QueryError::Unauthenticated {
            failure: "no_token".to_owned(),
            message: "this connection has no verified token; connect again".to_owned(),
        })?;
        reader.time_left().map(|_| reader).ok_or(QueryError::TokenExpired)
    }

    /// Lets cancel requests with this key reach the connection.
    pub(super) fn listen_for_cancel(&self, pid: i32, key: SecretKey) {
        self.cancels.register(pid, &key, Arc::clone(&self.running));
        let _first = self.key.set((pid, key));
    }

    /// The connection ended.
    pub(super) fn gone(&self) {
        self.running.lock().cancel();
        if let Some((pid, key)) = self.key.get() {
            self.cancels.forget(*pid, key);
        }
    }

    /// The token of the question that runs from now on.
    pub(super) fn next_cancel(&self) -> CancellationToken {
        let token = CancellationToken::new();
        *self.running.lock() = token.clone();
        token
    }

    /// The rows of a question, which runs when the first of them is asked for.
    pub(super) fn respond(
        &self,
        planned: Planned,
        format: &Format,
        options: FormatOptions,
        cancel: CancellationToken,
    ) -> PgWireResult<Response> {
        let schema = Arc::clone(planned.plan.schema().inner());
        let fields = arrow_schema_to_pg_fields(&schema, format, Some(Arc::new(options)))?;
        let fields = Arc::new(fields);
        let (engine, left) = (Arc::clone(&self.engine), self.left.clone());
        let answer = async move { engine.run(planned, cancel, &left).await };
        let batches = stream::once(answer).map_ok(super::Answer::into_stream).try_flatten();
        let of = Arc::clone(&fields);
        let rows = batches.map(move |batch: Result<RecordBatch, QueryError>| match batch {
            Ok(batch) => stream::iter(encode_recordbatch(Arc::clone(&of), batch)).left_stream(),
            Err(error) => stream::iter([Err(wire(&error))]).right_stream(),
        });
        Ok(Response::Query(QueryResponse::new(fields, rows.flatten())))
    }
}
