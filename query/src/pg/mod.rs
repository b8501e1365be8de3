//! The PostgreSQL wire: psql, drivers and BI tools ask here. The password is the token, the user name says nothing.

mod connection;
mod extended;
mod readers;
mod session;
mod simple;
mod socket;
mod startup;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use datafusion_postgres::pgwire::api::cancel::CancelHandler;
use datafusion_postgres::pgwire::api::{ClientInfo, ErrorHandler, RandomPidSecretKeyGenerator};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};
use datafusion_postgres::pgwire::messages::cancel::CancelRequest;
use datafusion_postgres::pgwire::messages::startup::SecretKey;
use parking_lot::Mutex;
use tallyport_schemas::Front;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::answer::Answer;
use crate::config::ListenConfig;
use crate::engine::Engine;
use crate::error::QueryError;
use crate::serve::Serve;
use connection::Connection;
use extended::{Extended, Parser};
use readers::Readers;
use socket::Broken;

/// How long a connection is given to deliver its last message.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long a connection may go on once the service stops; its questions end before.
const LAST_ANSWERS: Duration = Duration::from_secs(15);

/// Serves the wire.
#[derive(Clone)]
pub(crate) struct Server {
    engine: Arc<Engine>,
    tls: Option<TlsAcceptor>,
    /// Whether a token may come outside TLS.
    loopback: bool,
    cancels: Cancels,
    readers: Arc<Readers>,
}

impl Server {
    pub(crate) fn new(engine: Arc<Engine>, config: &ListenConfig) -> Self {
        let readers = Readers::new(engine.limits.max_connections);
        Self {
            readers,
            engine,
            tls: config.tls.clone().map(TlsAcceptor::from),
            loopback: config.address.ip().is_loopback(),
            cancels: Cancels::default(),
        }
    }
}

impl Serve for Server {
    const FRONT: Front = Front::QueryPgwire;

    async fn serve(self, stream: TcpStream, peer: SocketAddr, stop: CancellationToken) {
        let strangers = Arc::clone(self.engine.gate.strangers());
        let tls = self.tls.clone();
        let connection = Arc::new(Connection::new(self, peer));
        let parser = Arc::new(Parser::new(Arc::clone(&connection)));
        let extended = Arc::new(Extended::new(Arc::clone(&connection), parser));
        let handlers = Handlers { connection: Arc::clone(&connection), extended };
        let closing = connection.closing().clone();
        let leave = async {
            tokio::select! {
                // What is under way has its answer first, or its end.
                () = stop.cancelled() => tokio::time::sleep(LAST_ANSWERS).await,
                () = closing.cancelled() => {}
                () = connection.token_ended() => {}
            }
            tokio::time::sleep(FAREWELL).await;
        };
        let (stream, watch) = match socket::watch(stream) {
            Ok(both) => both,
            Err(error) => return tracing::warn!(%peer, %error, "a connection cannot be watched"),
        };
        // Ends only the questions: what the reader sent before it left, such as its token, still goes on record.
        let reader_leaves = async {
            socket::hung_up(&watch).await;
            connection.left().cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            served = socket::serve(stream, tls, &handlers, &stop) => {
                if let Err(error) = served {
                    let code = match &error {
                        Broken::Handshake(_) => Some("handshake_failed"),
                        Broken::Late => Some("not_authenticated"),
                        Broken::Io(_) => None,
                    };
                    if let Some(code) = code {
                        strangers.turned_away(Self::FRONT, code, Some(peer));
                    }
                    tracing::debug!(%peer, %error, "a PostgreSQL connection ended early");
                }
            }
            () = leave => {}
            () = reader_leaves => {}
        }
        connection.gone();
    }

    async fn refuse(self, stream: TcpStream, why: QueryError) {
        if let Err(error) = socket::refuse(stream, self.tls, wire(&why)).await {
            tracing::debug!(%error, "a PostgreSQL connection was not told why");
        }
    }
}

/// What answers the messages of one connection.
struct Handlers {
    connection: Arc<Connection>,
    extended: Arc<Extended>,
}

/// What ends the query that a connection runs now.
type Running = Arc<Mutex<CancellationToken>>;

/// Which connection a cancel request means.
#[derive(Clone, Default)]
pub(super) struct Cancels {
    running: Arc<Mutex<HashMap<(i32, Bytes), Running>>>,
    keys: Arc<RandomPidSecretKeyGenerator>,
}

impl Cancels {
    fn register(&self, pid: i32, key: &SecretKey, running: Running) {
        self.running.lock().insert((pid, key.to_bytes()), running);
    }

    fn forget(&self, pid: i32, key: &SecretKey) {
        self.running.lock().remove(&(pid, key.to_bytes()));
    }

    fn cancel(&self, request: &CancelRequest) {
        let key = (request.pid, request.secret_key.to_bytes());
        let running = self.running.lock().get(&key).cloned();
        if let Some(running) = running {
            running.lock().cancel();
        }
    }
}

#[async_trait]
impl CancelHandler for Connection {
    async fn on_cancel_request(&self, request: CancelRequest) {
        self.cancels().cancel(&request);
    }
}

impl ErrorHandler for Connection {
    /// The last look at what the client is told: nothing from below passes as it is.
    fn on_error<C: ClientInfo>(&self, _client: &C, error: &mut PgWireError) {
        if let PgWireError::ApiError(inner) = error {
            let own = inner.downcast_ref::<QueryError>().cloned().unwrap_or_else(|| {
                tracing::error!(error = %inner, "a query failed on the PostgreSQL wire");
                QueryError::Internal
            });
            *error = wire(&own);
        }
        if matches!(error, PgWireError::UserError(info) if info.severity == "FATAL") {
            self.closing().cancel();
        }
    }
}

/// An error as this face says it. What ends the reader's right to be here ends the connection.
pub(super) fn wire(error: &QueryError) -> PgWireError {
    let fatal = matches!(
        error,
        QueryError::Unauthenticated { .. }
            | QueryError::TooManyConnections { .. }
            | QueryError::TokenExpired
            | QueryError::Stopping
    );
    let severity = if fatal { "FATAL" } else { "ERROR" };
    PgWireError::UserError(Box::new(ErrorInfo::new(
        severity.to_owned(),
        error.sqlstate().to_owned(),
        error.to_string(),
    )))
}
