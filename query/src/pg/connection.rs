//! What one connection is: its reader, and the question that runs.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

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
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::readers::{Counted, Readers};
use super::{Cancels, Server, wire};
use crate::engine::{Engine, Planned};
use crate::error::QueryError;
use crate::reader::Reader;

/// One connection.
pub(super) struct Connection {
    engine: Arc<Engine>,
    peer: SocketAddr,
    loopback: bool,
    cancels: Cancels,
    readers: Arc<Readers>,
    entered: OnceLock<Entered>,
    /// Told once, when it is.
    enters: Notify,
    key: OnceLock<(i32, SecretKey)>,
    running: Arc<Mutex<CancellationToken>>,
    closing: CancellationToken,
    left: CancellationToken,
    /// Why the reader's token counts no more; told to whoever waits for its last word.
    over: OnceLock<QueryError>,
    is_over: CancellationToken,
}

/// Whose it is.
struct Entered {
    reader: Reader,
    /// Kept where its issuer is asked again: wiped when the connection ends.
    token: Option<(Zeroizing<String>, Duration)>,
    _counted: Counted,
}

impl Connection {
    pub(super) fn new(server: Server, peer: SocketAddr) -> Self {
        let Server { engine, loopback, cancels, readers, .. } = server;
        Self {
            engine,
            peer,
            loopback,
            cancels,
            readers,
            entered: OnceLock::new(),
            enters: Notify::new(),
            key: OnceLock::new(),
            running: Arc::default(),
            closing: CancellationToken::new(),
            left: CancellationToken::new(),
            over: OnceLock::new(),
            is_over: CancellationToken::new(),
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
        let given = Some(token).filter(|token| !token.is_empty());
        let gate = &self.engine.gate;
        let reader = gate.authenticate(given, Front::QueryPgwire, Some(self.peer)).await?;
        tracing::debug!(reader = reader.name(), peer = %self.peer, "a reader connected");
        let Some(counted) = self.readers.enter(reader.principal()) else {
            gate.strangers().turned_away(
                Front::QueryPgwire,
                "too_many_connections",
                Some(self.peer),
            );
            return Err(QueryError::TooManyConnections { of: "your principal" });
        };
        let every = gate.asks_again_after(&reader);
        let token = every.map(|every| (Zeroizing::new(token.to_owned()), every));
        let entered = Entered { reader, token, _counted: counted };
        self.entered.set(entered).map_err(|_| QueryError::Internal)?;
        self.enters.notify_one();
        Ok(())
    }

    /// The reader, whose token counts now. A message that comes without one, such as after a refused token, gets nothing.
    pub(super) async fn reader(&self) -> Result<&Reader, QueryError> {
        let entered = self.entered.get().ok_or_else(|| QueryError::Unauthenticated {
            failure: "no_token".to_owned(),
            message: "this connection has no verified token; connect again".to_owned(),
        })?;
        self.still_counts(entered).await?;
        Ok(&entered.reader)
    }

    async fn still_counts(&self, entered: &Entered) -> Result<(), QueryError> {
        let Entered { reader, token, .. } = entered;
        let _left = reader.time_left().ok_or(QueryError::TokenExpired)?;
        let Some((token, _)) = token else { return Ok(()) };
        let gate = &self.engine.gate;
        gate.still_counts(reader, token, Front::QueryPgwire, Some(self.peer)).await
    }

    /// Why the token counts no more, once it does not: [`Self::token_ended`] found it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn over(&self) -> QueryError {
        self.is_over.cancelled().await;
        self.over.get().cloned().unwrap_or(QueryError::TokenExpired)
    }

    /// Waits until the reader's token counts no more, whether anything is asked meanwhile or not.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn token_ended(&self) {
        self.enters.notified().await;
        let Some(entered) = self.entered.get() else { return };
        let why = self.counts_no_more(entered).await;
        let _first = self.over.set(why);
        self.is_over.cancel();
    }

    async fn counts_no_more(&self, entered: &Entered) -> QueryError {
        while let Some(left) = entered.reader.time_left() {
            let every = entered.token.as_ref().map(|(_, every)| *every);
            tokio::time::sleep(every.map_or(left, |every| every.min(left))).await;
            match self.still_counts(entered).await {
                // Nothing is asked meanwhile, and what is will be refused until the issuer says something.
                Err(error) if error.is_unknown() => {}
                Err(error) => return error,
                Ok(()) => {}
            }
        }
        QueryError::TokenExpired
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
