//! A snapshot of one database's catalog, read over a connection of the gateway's own and kept fresh.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::BytesMut;
use gateway_core::passage::{Authorized, Command, Scribe, own};
use gateway_core::pg::backend;
use gateway_core::pg::frame::{Decoder, Frame, Handling, Piece};
use gateway_core::sql::Catalog;
use gateway_core::sql::catalog::{CatalogError, CatalogRows, QUERIES};
use tallyport_eventlog::{Appender, CommitError, Durable};
use tallyport_schemas::{Context, Principal, PrincipalKind, SessionId};
use tokio::io::AsyncReadExt as _;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::upstream::{DialError, Dialer, Upstream};

/// The longest a reading takes.
const LOAD_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of a catalog.
const MAX_CATALOG_BYTES: usize = 256 * 1024 * 1024;
/// The longest message of a catalog.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// Who holds a cache while no session does: the target's table, and the task that keeps it fresh.
const HOLDERS_WITHOUT_SESSION: usize = 2;
/// A target that fails is asked again this much later.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The catalog cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogLoadError {
    /// The reading could not be put on record.
    #[error("the reading of the catalog cannot be recorded: {0}")]
    Commit(#[from] CommitError),
    /// The target cannot be reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The target refused a query.
    #[error(
        "the target refused to tell its catalog (SQLSTATE {sqlstate}); the configured role must be able to connect and read pg_catalog"
    )]
    Refused {
        /// Its reason.
        sqlstate: String,
    },
    /// What came is no answer.
    #[error("the target's catalog cannot be read: {0}")]
    Protocol(String),
    /// It is too large.
    #[error("the target's catalog is over {MAX_CATALOG_BYTES} bytes")]
    TooLarge,
    /// It took too long.
    #[error("the target did not tell its catalog within {} s", LOAD_TIMEOUT.as_secs())]
    TimedOut,
    /// The rows tell no database.
    #[error(transparent)]
    Rows(#[from] CatalogError),
}

/// A connection has the settings of its role as they were when it began: after so long it begins again.
const DIALLED_ANEW: Duration = Duration::from_secs(300);

/// The catalog of one database of one target.
#[derive(Debug)]
pub struct CatalogCache {
    dialer: Dialer,
    database: String,
    appender: Appender,
    current: ArcSwapOption<Catalog>,
    loaded_at: parking_lot::Mutex<Option<Instant>>,
    connection: Mutex<Connection>,
    stale: Notify,
}

#[derive(Debug)]
struct Connection {
    upstream: Option<Upstream>,
    dialled_at: Instant,
    scribe: Scribe,
}

impl CatalogCache {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(dialer: Dialer, database: String, appender: Appender) -> Self {
        let context = Context {
            // A story of its own: one per cache.
            session_id: Some(SessionId::new()),
            principal: Some(Principal {
                issuer: "tallyport".to_owned(),
                subject: "gateway".to_owned(),
                display_name: "tallyport-catalog".to_owned(),
                kind: PrincipalKind::Service,
                groups: Vec::new(),
                owner: None,
            }),
            target: Some(dialer.target().reference(Some(&database))),
            ..Context::default()
        };
        let scribe = Scribe::new(context.into());
        let connection = Connection { upstream: None, dialled_at: Instant::now(), scribe };
        Self {
            dialer,
            database,
            appender,
            current: ArcSwapOption::empty(),
            loaded_at: parking_lot::Mutex::new(None),
            connection: Mutex::new(connection),
            stale: Notify::new(),
        }
    }

    /// The newest snapshot for a session that opens; reads one when there is none, or when the last one is older than
    /// the target's refresh interval (nothing is read while there is no session).
    ///
    /// # Errors
    /// When there is none and none can be read.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call may leave the connection to be dialled anew.
    pub async fn get(&self, policy_version: &str) -> Result<Arc<Catalog>, CatalogLoadError> {
        let is_fresh = (*self.loaded_at.lock())
            .is_some_and(|loaded_at| loaded_at.elapsed() <= self.dialer.target().catalog_refresh);
        match self.current.load_full() {
            Some(catalog) if is_fresh => Ok(catalog),
            _ => self.refresh(policy_version).await,
        }
    }

    /// The newest snapshot, if there is one.
    #[must_use]
    pub fn peek(&self) -> Option<Arc<Catalog>> {
        self.current.load_full()
    }

    /// A snapshot that is read after this call; calls at the same time share one reading.
    ///
    /// # Errors
    /// See [`CatalogLoadError`]; the old snapshot stays then.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call may leave the connection to be dialled anew.
    pub async fn refresh(&self, policy_version: &str) -> Result<Arc<Catalog>, CatalogLoadError> {
        let asked_at = Instant::now();
        let mut connection = self.connection.lock().await;
        if (*self.loaded_at.lock()).is_some_and(|loaded_at| loaded_at > asked_at)
            && let Some(catalog) = self.current.load_full()
        {
            return Ok(catalog);
        }
        let began_at = Instant::now();
        // Taken out: a reading that fails or is dropped half way leaves no half-read connection behind.
        let mut upstream = connection.upstream.take();
        if connection.dialled_at.elapsed() > DIALLED_ANEW
            && let Some(mut old) = upstream.take()
        {
            old.writer.close().await;
        }
        if upstream.is_none() {
            connection.dialled_at = began_at;
        }
        let load = self.load(upstream, &mut connection.scribe, policy_version);
        let (catalog, upstream) =
            timeout(LOAD_TIMEOUT, load).await.map_err(|_| CatalogLoadError::TimedOut)??;
        connection.upstream = Some(upstream);
        let catalog = Arc::new(catalog);
        self.current.store(Some(Arc::clone(&catalog)));
        *self.loaded_at.lock() = Some(began_at);
        Ok(catalog)
    }

    /// Says that something may have changed: it is read again at once.
    pub fn touch(&self) {
        self.stale.notify_one();
    }

    /// Keeps the snapshot fresh while there are sessions, until `cancel`. `policy_version` names the policy in force.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn keep_fresh(
        self: Arc<Self>,
        policy_version: impl Fn() -> String + Send,
        cancel: CancellationToken,
    ) {
        let every = self.dialer.target().catalog_refresh;
        let mut wait = every;
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                () = self.stale.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            if Arc::strong_count(&self) <= HOLDERS_WITHOUT_SESSION {
                continue;
            }
            wait = match self.refresh(&policy_version()).await {
                Ok(_) => every,
                Err(error) => {
                    tracing::warn!(target = self.dialer.target().name, %error, "catalog not refreshed");
                    RETRY_AFTER.max(every)
                }
            };
        }
        let mut connection = self.connection.lock().await;
        if let Some(mut upstream) = connection.upstream.take() {
            upstream.writer.close().await;
        }
    }

    async fn load(
        &self,
        upstream: Option<Upstream>,
        scribe: &mut Scribe,
        policy_version: &str,
    ) -> Result<(Catalog, Upstream), CatalogLoadError> {
        if let Some(upstream) = upstream {
            let reading = own::catalog_reading(scribe, policy_version);
            let durable = self.appender.commit(reading).await?;
            // The target may have closed an idle connection: then a fresh one is asked.
            if let Ok(loaded) = read_all(upstream, durable).await {
                return Ok(loaded);
            }
        }
        let reading = own::catalog_reading(scribe, policy_version);
        let durable = self.appender.commit(reading).await?;
        // Names are compared as statements write them, whatever the database's own encoding.
        let settings = [("application_name", "tallyport-catalog"), ("client_encoding", "UTF8")];
        let settings =
            settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let upstream = self.dialer.dial(&durable, &self.database, &settings).await?;
        read_all(upstream, durable).await
    }
}

async fn read_all(
    mut upstream: Upstream,
    reading: Durable<Authorized<Command>>,
) -> Result<(Catalog, Upstream), CatalogLoadError> {
    let gone = |error: std::io::Error| CatalogLoadError::Dial(DialError::Io(error));
    upstream.writer.send(reading).await.map_err(gone)?;
    let mut answers = Answers { decoder: Decoder::new(), bytes: 0 };
    answers.decoder.extend(&std::mem::take(&mut upstream.leftover));
    let mut rows = CatalogRows::default();
    answers.next(&mut upstream).await?;
    for query in QUERIES {
        rows.insert(query, answers.next(&mut upstream).await?);
    }
    answers.next(&mut upstream).await?;
    Ok((Catalog::from_rows(rows)?, upstream))
}

/// A database without an encoding (SQL_ASCII) may hold any bytes: what is no UTF-8 is told by them too, so that two names stay two.
fn text(value: &[u8]) -> String {
    String::from_utf8(value.to_vec())
        .unwrap_or_else(|_| format!("{}{}", String::from_utf8_lossy(value), hex::encode(value)))
}

struct Answers {
    decoder: Decoder,
    bytes: usize,
}

impl Answers {
    /// The rows of one simple query.
    async fn next(
        &mut self,
        upstream: &mut Upstream,
    ) -> Result<Vec<Vec<Option<String>>>, CatalogLoadError> {
        let protocol = |error: gateway_core::pg::read::Malformed| {
            CatalogLoadError::Protocol(error.to_string())
        };
        let mut rows = Vec::new();
        let mut refused = None;
        loop {
            let frame = self.frame(upstream).await?;
            match frame.tag() {
                b'D' => {
                    let values = backend::data_row(frame.body()).map_err(protocol)?;
                    rows.push(values.into_iter().map(|value| value.map(text)).collect());
                }
                b'E' => refused = Some(backend::sqlstate(frame.body()).map_err(protocol)?),
                b'Z' => match refused {
                    Some(sqlstate) => return Err(CatalogLoadError::Refused { sqlstate }),
                    None => return Ok(rows),
                },
                _ => {}
            }
        }
    }

    async fn frame(&mut self, upstream: &mut Upstream) -> Result<Frame, CatalogLoadError> {
        loop {
            let piece = self
                .decoder
                .next_piece(|_| Handling::Whole(MAX_MESSAGE_BYTES))
                .map_err(|error| CatalogLoadError::Protocol(error.to_string()))?;
            if let Some(Piece::Whole(frame)) = piece {
                self.bytes += frame.bytes().len();
                if self.bytes > MAX_CATALOG_BYTES {
                    return Err(CatalogLoadError::TooLarge);
                }
                return Ok(frame);
            }
            let mut buffer = BytesMut::with_capacity(64 * 1024);
            let read = upstream.reader.read_buf(&mut buffer).await.map_err(DialError::Io)?;
            if read == 0 {
                return Err(CatalogLoadError::Protocol("the connection was closed".to_owned()));
            }
            self.decoder.extend(&buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_utf8_stays_what_it_is_beside_others() {
        assert_eq!(text("größe".as_bytes()), "größe");
        let (one, other) = (b"gr\xf6\xdfe", b"gr\xfc\xdfe");
        assert_ne!(text(one), text(other));
        assert_eq!(text(one), text(one));
    }
}
