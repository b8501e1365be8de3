//! The service: starts what there is to start, and stops it in order.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tallyport_access::Authenticator;
use tallyport_access::policy::PolicyStore;
use tallyport_access::strangers::Places;
use tallyport_eventlog::{Appender, Log, Topic};
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ask::Questions;
use crate::config::{ListenConfig, QueryConfig};
use crate::engine::{self, Engine, SNAPSHOT_MAX_AGE};
use crate::error::StartError;
use crate::lake::Lake;
use crate::reader::Gate;
use crate::runtime::QueryRuntime;
use crate::state::QueryProbe;
use crate::tail::Tail;
use crate::{http, pg, serve};

/// How often the tail lets go of what the lake has by now.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// How often counts of strangers go on record.
const STRANGERS: Duration = Duration::from_secs(10);
/// How long running queries may take for their answers at the end.
const ANSWERS: Duration = Duration::from_secs(10);
/// How long each thing is waited for after that.
const DRAIN: Duration = Duration::from_secs(5);

/// Answers audit questions.
#[derive(Debug)]
pub struct QueryService;

/// The service as it runs. Dropping it without [`Self::stop`] cancels everything without waiting.
pub struct RunningQuery {
    /// Where the HTTP API listens.
    pub http_addr: Option<SocketAddr>,
    /// Where the PostgreSQL wire listens.
    pub pg_addr: Option<SocketAddr>,
    listeners: CancellationToken,
    engine: Arc<Engine>,
    connections: TaskTracker,
    background: TaskTracker,
    background_stop: CancellationToken,
    _threads: Arc<QueryRuntime>,
}

impl QueryService {
    /// Starts the listeners and the followers of the log. The lake's table need not exist yet.
    ///
    /// # Errors
    /// See [`StartError`].
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may leave followers running.
    pub async fn start(
        config: QueryConfig,
        log: Arc<dyn Log>,
        authenticator: Authenticator,
        policies: PolicyStore,
        appender: Appender,
    ) -> Result<RunningQuery, StartError> {
        let threads = Arc::new(QueryRuntime::new().map_err(StartError::Threads)?);
        let gate = Gate::new(authenticator, policies, appender);
        let starting = Self::start_on(Arc::clone(&threads), config, log, gate);
        threads.run(starting).await.map_err(StartError::Threads)?
    }

    async fn start_on(
        threads: Arc<QueryRuntime>,
        config: QueryConfig,
        log: Arc<dyn Log>,
        gate: Gate,
    ) -> Result<RunningQuery, StartError> {
        let http_listener = listen("HTTP", config.http.as_ref()).await?;
        let pg_listener = listen("PostgreSQL", config.pgwire.as_ref()).await?;
        let base = engine::base_session(&config.limits)?;
        let questions = Arc::new(Questions::load()?);
        let background = TaskTracker::new();
        let background_stop = CancellationToken::new();
        let lake = Arc::new(Lake::new(config.lake, log.id().clone(), Arc::new(base.clone())));
        let partitions = log.partitions(Topic::Audit);
        let tail = Tail::start(log, config.limits.max_tail_bytes, &background, &background_stop);
        let sources = (lake, Arc::new(tail), partitions);
        let engine = Engine::new(
            gate,
            config.limits,
            base,
            sources,
            TaskTracker::new(),
            CancellationToken::new(),
        )
        .await;
        let engine = Arc::new(engine.inspect_err(|_| background_stop.cancel())?);
        background.spawn(refresh(Arc::clone(&engine), background_stop.clone()));
        let gate = engine.gate.clone();
        let put = move |counts| gate.clone().put_counts(counts);
        let strangers = Arc::clone(engine.gate.strangers());
        background.spawn(strangers.report(put, STRANGERS, background_stop.clone()));
        let router = http::router(Arc::clone(&engine), Arc::clone(&questions));
        let mut running = RunningQuery {
            http_addr: None,
            pg_addr: None,
            _threads: threads,
            listeners: CancellationToken::new(),
            engine,
            connections: TaskTracker::new(),
            background,
            background_stop,
        };
        running.serve(router, http_listener, pg_listener);
        Ok(running)
    }
}

impl RunningQuery {
    /// Stops in order: no new readers, running queries have ten seconds for their answers and end then (on record),
    /// connections close, followers stop. The log and the appender stay open: they are the caller's.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call leaves what had not stopped yet to be cancelled without waiting.
    pub async fn stop(self) {
        self.listeners.cancel();
        self.engine.tasks.close();
        self.connections.close();
        // Connections close once nothing is asked on them; what they ask has its answer.
        let _answered = timeout(ANSWERS, self.connections.wait()).await;
        self.engine.stop.cancel();
        let _drained = timeout(DRAIN, self.engine.tasks.wait()).await;
        let _closed = timeout(DRAIN, self.connections.wait()).await;
        self.background_stop.cancel();
        self.background.close();
        let _stopped = timeout(DRAIN, self.background.wait()).await;
    }

    /// What tells how it does.
    #[must_use]
    pub fn probe(&self) -> QueryProbe {
        QueryProbe(Arc::clone(&self.engine))
    }

    fn serve(&mut self, router: Router, http: Option<Bound>, pg: Option<Bound>) {
        let limits = self.engine.limits;
        let places = || Places::new(limits.max_connections, limits.max_connections_per_ip);
        let strangers = Arc::clone(self.engine.gate.strangers());
        if let Some(bound) = http {
            self.http_addr = Some(bound.address);
            let accepting = serve::Accepting {
                listener: bound.listener,
                places: places(),
                strangers: Arc::clone(&strangers),
                connections: self.connections.clone(),
                stop: self.listeners.clone(),
            };
            let tls = bound.config.tls.clone();
            let server = http::Server::new(router, tls, Arc::clone(&strangers));
            self.connections.spawn(accepting.run(server));
        }
        if let Some(bound) = pg {
            self.pg_addr = Some(bound.address);
            let accepting = serve::Accepting {
                listener: bound.listener,
                places: places(),
                strangers: Arc::clone(&strangers),
                connections: self.connections.clone(),
                stop: self.listeners.clone(),
            };
            let server = pg::Server::new(Arc::clone(&self.engine), &bound.config);
            self.connections.spawn(accepting.run(server));
        }
    }
}

impl Drop for RunningQuery {
    fn drop(&mut self) {
        self.listeners.cancel();
        self.engine.stop.cancel();
        self.background_stop.cancel();
    }
}

impl fmt::Debug for RunningQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningQuery")
            .field("http_addr", &self.http_addr)
            .field("pg_addr", &self.pg_addr)
            .finish_non_exhaustive()
    }
}

struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    config: ListenConfig,
}

async fn listen(
    face: &'static str,
    config: Option<&ListenConfig>,
) -> Result<Option<Bound>, StartError> {
    let Some(config) = config else { return Ok(None) };
    config.check(face)?;
    let address = config.address;
    let failed = |source| StartError::Listen { face, address, source };
    let listener = match &config.listener {
        Some(kept) => {
            let listener = kept.try_clone().map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            TcpListener::from_std(listener).map_err(failed)?
        }
        None => TcpListener::bind(address).await.map_err(failed)?,
    };
    let address = listener.local_addr().map_err(failed)?;
    Ok(Some(Bound { listener, address, config: config.clone() }))
}

async fn refresh(engine: Arc<Engine>, stop: CancellationToken) {
    debug_assert!(SNAPSHOT_MAX_AGE < REFRESH_EVERY, "or the refresh would see nothing new");
    let mut ticks = interval(REFRESH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let refreshing = async {
        loop {
            ticks.tick().await;
            engine.refresh().await;
        }
    };
    stop.run_until_cancelled(refreshing).await;
}
