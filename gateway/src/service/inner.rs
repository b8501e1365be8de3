//! What all tunnels share.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gateway_core::passage::{Authorized, Command, Note, Scribe, own};
use tallyport_access::policy::PolicyStore;
use tallyport_access::saml::SamlExchange;
use tallyport_access::strangers::{Put, Strangers};
use tallyport_access::{Authenticator, NoRandomness, ProofVerifier};
use tallyport_eventlog::{Appender, CommitError};
use tallyport_schemas::{Body, CommandId, Draft, PolicyChange, SharedContext, TargetRef};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::entry::{Postgres, TargetEntry};
use super::slots::Slots;
use crate::config::{AnyTarget, GatewayConfig, GatewayLimits, McpServer};
use crate::control::{Control, carry, follow};
use crate::front::StrangersRoom;
use crate::gate::Whole;
use crate::inside::{Cursors, Parked};
use crate::mcp::{McpState, UpstreamError};
use crate::meters::AuthenticationMeters;
use crate::session::Registry;
use crate::targets::{CatalogCache, MaskingStore};
use crate::turned_away::TurnedAway;
use crate::upstream::BackendKey;
use crate::webhooks::{Post, Webhook, WebhookError, deliver};

/// The gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Two targets have one name.
    #[error("targets.{0}: the name is used twice; give each target its own")]
    DuplicateTarget(String),
    /// An MCP server has the name of another, or of a target.
    #[error("gateway.mcp.servers.{0}: the name is used twice, or is a target's; give each its own")]
    DuplicateServer(String),
    /// An MCP server cannot be used.
    #[error(transparent)]
    McpServer(#[from] UpstreamError),
    /// No key of nonces could be drawn.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// A webhook cannot be sent to.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// What a target is reached with cannot be used.
    #[error("targets.{name}: {source}")]
    Target {
        /// The target.
        name: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl GatewayConfig {
    /// All that can be reached, the targets first, in the order in which they were named.
    #[must_use]
    pub fn reachable(&self) -> Vec<TargetRef> {
        let servers = self.mcp.iter().flat_map(|mcp| &mcp.servers);
        let servers = servers.map(McpServer::reference);
        self.targets.iter().map(AnyTarget::reference).chain(servers).collect()
    }

    /// Whether each target and each MCP server has a name of its own.
    ///
    /// # Errors
    /// With the first that has not.
    pub fn check_names(&self) -> Result<(), StartError> {
        let mut taken = HashSet::new();
        for name in self.targets.iter().map(AnyTarget::name) {
            if !taken.insert(name) {
                return Err(StartError::DuplicateTarget(name.to_owned()));
            }
        }
        for server in self.mcp.iter().flat_map(|mcp| &mcp.servers) {
            if !taken.insert(&server.name) {
                return Err(StartError::DuplicateServer(server.name.clone()));
            }
        }
        Ok(())
    }
}

/// What all tunnels share.
pub(crate) struct Inner {
    pub authenticator: Authenticator,
    /// Checks proofs of tokens that are bound to a key.
    pub proofs: ProofVerifier,
    pub saml: Option<Arc<SamlExchange>>,
    /// What `/mcp` is served with, where it is.
    pub mcp: Option<McpState>,
    pub policy: PolicyStore,
    pub masking: MaskingStore,
    pub appender: Appender,
    pub limits: GatewayLimits,
    pub registry: Arc<Registry>,
    /// What all gateways know together.
    pub control: Control,
    pub authentications: AuthenticationMeters,
    /// Who is told of requests for approvals.
    pub(super) webhooks: Arc<[Webhook]>,
    targets: HashMap<String, Arc<TargetEntry>>,
    pub(super) slots: Arc<Slots>,
    pub(super) strangers: Arc<Strangers>,
    /// For what strangers send.
    pub strangers_room: StrangersRoom,
    /// Calls that wait for an approval, and answers of which more is to come.
    pub parked: Parked,
    pub cursors: Cursors,
    closed: AtomicBool,
    tasks: TaskTracker,
    cancel: CancellationToken,
}

impl Inner {
    /// Counts one who was turned away before there was an identity.
    pub(crate) fn count_stranger(&self, who: TurnedAway) {
        self.strangers.turned_away(who.front, who.cause.code(), who.peer);
    }

    pub(super) fn start(
        config: GatewayConfig,
        authenticator: Authenticator,
        policy: PolicyStore,
        masking: MaskingStore,
        appender: Appender,
    ) -> Result<Self, StartError> {
        config.check_names()?;
        let whole = Whole::new(&config.limits);
        let mut targets = HashMap::new();
        for target in config.targets {
            let name = target.name().to_owned();
            let entry = TargetEntry::new(target, config.limits.dial_timeout, &whole)?;
            targets.insert(name, Arc::new(entry));
        }
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        let changes = [policy.watch(cancel.clone()), masking.watch(cancel.clone())];
        for changes in changes {
            tasks.spawn(record_changes(changes, appender.clone()));
        }
        let strangers = Strangers::new();
        let interval = config.limits.strangers_interval;
        let log = appender.clone();
        let put = move |counts| put_counts(log.clone(), counts);
        tasks.spawn(strangers.clone().report(put, interval, cancel.clone()));
        let registry = Arc::new(Registry::default());
        let control = Control::new(appender.clone(), Arc::clone(&registry));
        tasks.spawn(follow(control.clone(), Arc::clone(appender.log()), cancel.clone()));
        tasks.spawn(carry(control.clone(), cancel.clone()));
        for webhook in &config.webhooks {
            let (post, me) = (Post::new(webhook)?, appender.producer().clone());
            let webhook = Arc::new(webhook.clone());
            tasks.spawn(deliver(webhook, post, control.clone(), me, cancel.clone()));
        }
        let saml = config.saml.as_deref();
        let shared = (config.names.as_slice(), &config.seal, &whole);
        let mcp = config.mcp.map(|mcp| McpState::new(mcp, shared, &authenticator, saml));
        let mcp = mcp.transpose()?;
        Ok(Self {
            control,
            mcp,
            authenticator,
            proofs: ProofVerifier::new(&config.names)?,
            saml: config.saml,
            policy,
            masking,
            appender,
            limits: config.limits,
            registry,
            authentications: AuthenticationMeters::new(),
            webhooks: config.webhooks.into(),
            targets,
            slots: Slots::new(config.limits.max_sessions, config.limits.max_sessions_per_principal),
            strangers,
            strangers_room: StrangersRoom::default(),
            parked: Parked::default(),
            cursors: Cursors::default(),
            closed: AtomicBool::new(false),
            tasks,
            cancel,
        })
    }

    pub(crate) fn target(&self, name: &str) -> Option<Arc<TargetEntry>> {
        self.targets.get(name).cloned()
    }

    pub(crate) fn target_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.targets.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Runs what the gateway waits for when it stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Waits for `task`, or until the gateway stops: for what is only good while it runs.
    ///
    /// # Cancel safety
    /// That of `task`.
    pub(crate) async fn until_it_stops(&self, task: impl Future<Output = ()>) {
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = task => {}
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn stop_opening(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Waits until every slot is free again.
    pub(super) async fn all_tunnels_ended(&self) {
        self.slots.all_free().await;
    }

    pub(super) async fn stop_tasks(&self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The catalog of a database, kept fresh from its first use on.
    pub(crate) fn catalog(&self, target: &Postgres, database: &str) -> Arc<CatalogCache> {
        let mut catalogs = target.catalogs.lock();
        if let Some(cache) = catalogs.get(database) {
            return Arc::clone(cache);
        }
        let cache =
            CatalogCache::new(target.dialer.clone(), database.to_owned(), self.appender.clone());
        let cache = Arc::new(cache);
        catalogs.insert(database.to_owned(), Arc::clone(&cache));
        let (kept, policy, cancel) = (Arc::clone(&cache), self.policy.clone(), self.cancel.clone());
        self.tasks.spawn(async move {
            kept.keep_fresh(|| policy.current().version().to_owned(), cancel).await;
        });
        cache
    }

    /// A cancel request by a rule of the gateway's own, not on record yet.
    pub(crate) fn cancel_request(
        &self,
        backend: BackendKey,
        rule: &str,
        what: String,
        scribe: &mut Scribe,
    ) -> Option<Authorized<Command>> {
        let decision = own::own_decision(rule, self.policy.current().version(), CommandId::new());
        own::cancel((backend.pid, backend.key), scribe, decision, what)
    }

    /// Puts a cancel request on record, then sends it.
    pub(crate) async fn send_cancel(
        &self,
        target: &Postgres,
        backend: BackendKey,
        request: Authorized<Command>,
    ) {
        let name = &target.dialer.target().name;
        match self.appender.commit(request).await {
            Ok(request) => {
                if let Err(error) = target.dialer.cancel(backend, request).await {
                    tracing::warn!(target = name, %error, "cancel request not sent");
                }
            }
            Err(error) => {
                tracing::warn!(target = name, %error, "cancel request not on record, not sent")
            }
        }
    }

    pub(crate) async fn cancel_backend(
        &self,
        target: &Postgres,
        backend: BackendKey,
        rule: &str,
        what: String,
        scribe: &mut Scribe,
    ) {
        if let Some(request) = self.cancel_request(backend, rule, what, scribe) {
            self.send_cancel(target, backend, request).await;
        }
    }
}

/// Puts counts of strangers on record.
async fn put_counts(appender: Appender, counts: Vec<Draft>) -> Put {
    match appender.commit(Note::new(counts)).await {
        Ok(_on_record) => Put::Durable,
        Err(CommitError::Stopped) => Put::Stopped,
        Err(error) => {
            tracing::error!(%error, "who was turned away is not on record yet");
            Put::NotNow
        }
    }
}

/// Puts every change on record. While the log fails, further changes wait in the channel, and then with the store.
async fn record_changes(mut changes: mpsc::Receiver<PolicyChange>, appender: Appender) {
    const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
    let context = SharedContext::default();
    while let Some(change) = changes.recv().await {
        loop {
            let draft = Scribe::new(context.clone()).draft(Body::Policy(change.clone()));
            match appender.commit(Note::new(vec![draft])).await {
                Ok(_on_record) => break,
                Err(CommitError::Stopped) => return,
                Err(error) => {
                    tracing::error!(%error, "a change of policy is not on record yet");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}
