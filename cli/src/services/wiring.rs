//! Services of one process, started and stopped in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tallyport_access::policy::PolicyStore;
use tallyport_eventlog::{Appender, AppenderOptions, Log, LogUrl, Topic};
#[cfg(feature = "query")]
use tallyport_gateway::tls::ServerIdentity;
#[cfg(feature = "query")]
use tallyport_query::{QueryConfig, QueryService, RunningQuery};
#[cfg(feature = "recorder")]
use tallyport_recorder::{Recorder, RecorderConfig, RecorderError, RunningRecorder};
use tallyport_schemas::{Body, Context, Draft, PolicyChange, ProducerId};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

#[cfg(any(feature = "gateway", feature = "query"))]
use super::admission::Admission;
#[cfg(feature = "gateway")]
use super::gateway::{GatewayPlan, RunningGateway};
use super::secrets::{self, Changing};
use crate::config::LogSecret;
use crate::exit::Failure;

/// How long what is on the log may take to reach the lake before `recorded` gives up.
const RECORDED_WITHIN: Duration = Duration::from_secs(60);
/// A recorder is late when an event waits for so many times the age at which it is due.
const LATE_AFTER_COMMITS: u32 = 6;
/// And never within this: a single slow answer of an object store is no outage.
const MIN_MAX_LAG: Duration = Duration::from_secs(15);

/// What to start. A role that is absent does not run here.
pub struct Plan {
    /// The log.
    pub log: LogUrl,
    /// What of it may change.
    pub log_secrets: Vec<LogSecret>,
    /// Bounds of the appenders.
    pub appender: AppenderOptions,
    /// The name before the role in producer ids.
    pub node: String,
    /// The gateway.
    #[cfg(feature = "gateway")]
    pub gateway: Option<(GatewayPlan, Admission)>,
    /// The recorder.
    #[cfg(feature = "recorder")]
    pub recorder: Option<RecorderConfig>,
    /// The query service.
    #[cfg(feature = "query")]
    pub query: Option<(QueryPlan, Admission)>,
}

/// What the query service is to be.
#[cfg(feature = "query")]
pub struct QueryPlan {
    /// Its own settings.
    pub config: QueryConfig,
    /// What they show to readers, where there is TLS.
    pub identity: Option<ServerIdentity>,
}

/// Services that run.
pub struct Services {
    log: Arc<dyn Log>,
    /// Follows its secrets.
    _secrets: AbortOnDropHandle<()>,
    /// The gateway.
    #[cfg(feature = "gateway")]
    pub gateway: Option<RunningGateway>,
    /// The query service.
    #[cfg(feature = "query")]
    pub query: Option<QueryHere>,
    /// The recorder.
    #[cfg(feature = "recorder")]
    pub recorder: Option<RecorderHere>,
}

/// A query service that runs.
#[cfg(feature = "query")]
pub struct QueryHere {
    /// It.
    pub running: RunningQuery,
    /// What puts its events on the log.
    pub appender: Appender,
    policies: PolicyFollower,
    /// Follows the files of its certificate.
    _certificate: Option<AbortOnDropHandle<()>>,
}

/// A recorder that runs.
#[cfg(feature = "recorder")]
pub struct RecorderHere {
    /// It.
    pub running: RunningRecorder,
    /// Older events than this on the log alone mean that it is late.
    pub max_lag: Duration,
    stop: CancellationToken,
}

impl Services {
    /// Starts what the plan names: recorder, query, then the gateway, so that what passes is recorded and answerable.
    pub async fn start(plan: Plan) -> Result<Self, Failure> {
        let log = tallyport_eventlog::open(&plan.log).await.map_err(Failure::failed)?;
        let changing = plan.log_secrets.iter().map(|LogSecret { key, from, held }| {
            let held = held.clone();
            Changing::new(key, from, move |secret| Ok(held.set(secret.expose())))
        });
        let mut services = Self {
            log: Arc::clone(&log),
            _secrets: secrets::follow(changing.collect()),
            #[cfg(feature = "gateway")]
            gateway: None,
            #[cfg(feature = "query")]
            query: None,
            #[cfg(feature = "recorder")]
            recorder: None,
        };
        let started = services.start_all(plan).await;
        match started {
            Ok(()) => Ok(services),
            Err(failure) => {
                // What had started ends in order; the first failure is the one to tell.
                let _stopped = services.stop().await;
                Err(failure)
            }
        }
    }

    async fn start_all(&mut self, plan: Plan) -> Result<(), Failure> {
        #[cfg(feature = "recorder")]
        if let Some(config) = plan.recorder {
            let stop = CancellationToken::new();
            let max_lag = MIN_MAX_LAG.max(config.commit.max_age * LATE_AFTER_COMMITS);
            let running = Recorder::start(config, Arc::clone(&self.log), stop.clone())
                .await
                .map_err(recorder_failure)?;
            self.recorder = Some(RecorderHere { running, max_lag, stop });
        }
        #[cfg(feature = "query")]
        if let Some((QueryPlan { config, identity }, admission)) = plan.query {
            let policies = admission.load_policies()?;
            let appender = appender(&self.log, &plan.node, "query", plan.appender).await?;
            let follower = PolicyFollower::start(&policies, appender.clone());
            let running = QueryService::start(
                config,
                Arc::clone(&self.log),
                admission.authenticator,
                policies,
                appender.clone(),
            )
            .await
            .map_err(Failure::failed)?;
            let certificate = identity.map(|identity| identity.follow("query"));
            self.query = Some(QueryHere {
                running,
                appender,
                policies: follower,
                _certificate: certificate,
            });
        }
        #[cfg(feature = "gateway")]
        if let Some((gateway, admission)) = plan.gateway {
            #[cfg(feature = "query")]
            let gateway = {
                let mut gateway = gateway;
                if let Some(at) = self.query.as_ref().and_then(|query| query.running.http_addr) {
                    gateway.query_listens(at);
                }
                gateway
            };
            let policies = admission.load_policies()?;
            let appender = appender(&self.log, &plan.node, "gateway", plan.appender).await?;
            let ending = appender.clone();
            let started =
                RunningGateway::start(gateway, admission.authenticator, policies, appender).await;
            if started.is_err()
                && let Err(error) = ending.stop().await
            {
                tracing::debug!(%error, "the end of an epoch that came to nothing is not on record");
            }
            self.gateway = Some(started?);
        }
        Ok(())
    }

    /// Waits until everything that is on the log now is in the lake.
    #[cfg(feature = "dev")]
    pub async fn recorded(&self) -> Result<(), Failure> {
        let Some(recorder) = &self.recorder else { return Ok(()) };
        let deadline = Instant::now() + RECORDED_WITHIN;
        for partition in 0..self.log.partitions(Topic::Audit) {
            let latest = self.log.latest(Topic::Audit, partition).await.map_err(Failure::failed)?;
            let left = deadline.saturating_duration_since(Instant::now());
            recorder.running.wait_until(partition, latest, left).await.map_err(Failure::failed)?;
        }
        Ok(())
    }

    /// Until a service ends by itself, which is an error.
    pub async fn failed(&mut self) -> Failure {
        #[cfg(feature = "recorder")]
        return match &mut self.recorder {
            Some(recorder) => {
                let ended = recorder.running.ended().await;
                // It may be waited for only once.
                self.recorder = None;
                match ended {
                    Ok(()) => Failure::failed("the recorder stopped by itself"),
                    Err(error) => recorder_failure(error),
                }
            }
            None => std::future::pending().await,
        };
        #[cfg(not(feature = "recorder"))]
        std::future::pending().await
    }

    /// Until another process has taken over what agents come in by: its node's name.
    pub fn taken_over(&self) -> impl Future<Output = String> + Send + use<> {
        #[cfg(feature = "gateway")]
        let taken = self.gateway.as_ref().map(RunningGateway::taken_over);
        #[cfg(not(feature = "gateway"))]
        let taken: Option<std::future::Pending<String>> = None;
        async move {
            match taken {
                Some(taken) => taken.await,
                None => std::future::pending().await,
            }
        }
    }

    /// Stops in order: no new sessions, the open ones drain, the audit's readers end, the recorder takes what is left.
    pub async fn stop(self) -> Result<(), Failure> {
        // One that does not stop in order takes no other with it; the first failure is told.
        let mut stopped = Ok(());
        #[cfg(feature = "gateway")]
        if let Some(gateway) = self.gateway {
            stopped = stopped.and(gateway.stop().await);
        }
        #[cfg(feature = "query")]
        if let Some(query) = self.query {
            query.running.stop().await;
            query.policies.stop().await;
            stopped = stopped.and(query.appender.stop().await.map_err(Failure::failed));
        }
        #[cfg(feature = "recorder")]
        if let Some(RecorderHere { running, stop, .. }) = self.recorder {
            stop.cancel();
            stopped = stopped.and(running.stop().await.map_err(recorder_failure));
        }
        stopped
    }
}

/// Puts every change of a policy file on record.
pub struct PolicyFollower {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl PolicyFollower {
    /// Follows the store's file.
    pub fn start(policies: &PolicyStore, appender: Appender) -> Self {
        let stop = CancellationToken::new();
        let mut changes = policies.watch(stop.clone());
        let task = tokio::spawn(async move {
            while let Some(change) = changes.recv().await {
                if let PolicyChange::Rejected { source, error, .. } = &change {
                    tracing::error!(
                        source,
                        error,
                        "the policy was not taken; the one before stays in force"
                    );
                }
                let draft = Draft::new(Context::default().into(), None, Body::Policy(change));
                if let Err(error) = appender.commit(draft).await {
                    // The receiver is dropped here: what cannot be recorded does not come into force.
                    tracing::error!(%error, "a change of policy could not be recorded; its file is no longer followed");
                    return;
                }
            }
        });
        Self { stop, task }
    }

    /// Stops following.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ended = self.task.await;
    }
}

async fn appender(
    log: &Arc<dyn Log>,
    node: &str,
    role: &str,
    options: AppenderOptions,
) -> Result<Appender, Failure> {
    let producer = ProducerId::parse(format!("{node}/{role}")).map_err(Failure::usage)?;
    Appender::start(Arc::clone(log), producer, role, options).await.map_err(Failure::failed)
}

#[cfg(feature = "recorder")]
fn recorder_failure(error: RecorderError) -> Failure {
    if error.is_integrity() { Failure::integrity(error) } else { Failure::failed(error) }
}
