//! The gateway of this process: its configuration, its start, its end in order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tallyport_access::policy::PolicyStore;
use tallyport_access::saml::SamlExchange;
use tallyport_access::{Authenticator, SecretToken};
use tallyport_eventlog::{Appender, LogUrl};
use tallyport_gateway::config::{
    AnyTarget, ConfigError, GatewayConfig, McpConfig, RawMcpServer, Secret,
};
use tallyport_gateway::front::{Front, FrontConfig, FrontError, RunningFront};
use tallyport_gateway::targets::MaskingStore;
use tallyport_gateway::tls::ServerIdentity;
use tallyport_gateway::webhooks::{RawWebhook, Webhook};
use tallyport_gateway::{Gateway, ProbeError, TunnelService, api};
#[cfg(feature = "dev")]
use tallyport_schemas::TargetRef;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use super::console::{ConsolePlan, Pages};
use super::dev_target::DevTarget;
use super::secrets::{self, Changing};
use crate::config::Config;
use crate::exit::Failure;

const DEV_DRAIN: Duration = Duration::from_secs(5);
/// How long connections may take to close once their sessions have ended.
const FRONT_DRAIN: Duration = Duration::from_secs(5);

/// What the gateway is to be.
pub struct GatewayPlan {
    listen: SocketAddr,
    /// Names it among all that have its key; absent where every start has its own address.
    node: Option<String>,
    /// Where another process may take its port over.
    takeover_socket: Option<PathBuf>,
    identity: ServerIdentity,
    config: GatewayConfig,
    masking: MaskingStore,
    console: Option<ConsolePlan>,
    /// Secrets that nothing reads where it uses them.
    changing: Vec<Changing>,
    drain: Duration,
}

impl GatewayPlan {
    /// From a configuration file.
    pub fn from_config(config: &Config, saml: Option<Arc<SamlExchange>>) -> Result<Self, Failure> {
        let section = config.gateway.as_ref().ok_or_else(|| {
            Failure::usage(format!("{}: [gateway] is missing", config.path.display()))
        })?;
        let folder = config.path.parent().unwrap_or(Path::new("."));
        let named = |error: &dyn std::fmt::Display| {
            Failure::usage(format!("{}: {error}", config.path.display()))
        };
        let targets = config
            .targets
            .iter()
            .map(|target| target.clone().check(folder).map_err(|error| named(&error)))
            .collect::<Result<Vec<_>, _>>()?;
        let masking = match &config.masking {
            Some(path) => MaskingStore::load(path)
                .map_err(|error| named(&format_args!("masking.path: {error}")))?,
            None => MaskingStore::none(),
        };
        if section.takeover_socket.is_some() && matches!(config.log, LogUrl::Embedded(_)) {
            return Err(named(
                &"gateway.takeover_socket: two processes at once need the log on Kafka, and the embedded one is a \
                  single process's; leave the key out, or set log.url to kafka://...",
            ));
        }
        let identity = ServerIdentity::load(&section.cert, &section.key)
            .map_err(|error| named(&format_args!("gateway.cert, gateway.key: {error}")))?;
        let identity =
            if section.ask_client_certificates { identity.asking_clients() } else { identity };
        let mut changing = Vec::new();
        if let (Some(raw), Some(exchange)) = (&section.saml, &saml) {
            let exchange = Arc::clone(exchange);
            let take = move |secret: &Secret| {
                let key = SecretToken::new(secret.expose());
                exchange.renew_key(&key, Timestamp::now()).map_err(|error| error.to_string())
            };
            changing.push(Changing::new("gateway.saml.token_key", &raw.token_key, take));
        }
        let console = ConsolePlan::from_config(config, &mut changing)?;
        let plan = Self {
            changing,
            listen: section.listen,
            node: Some(config.node.clone()),
            takeover_socket: section.takeover_socket.clone(),
            config: GatewayConfig {
                targets,
                saml,
                names: identity.names().to_vec(),
                seal: identity.seal(),
                limits: section.limits.check().map_err(|error| named(&error))?,
                webhooks: webhooks(config, folder).map_err(|error| named(&error))?,
                mcp: mcp(config, folder).map_err(|error| named(&error))?,
            },
            identity,
            masking,
            console,
            drain: Duration::from_secs(section.drain_seconds),
        };
        plan.config.check_names().map_err(|error| named(&error))?;
        Ok(plan)
    }

    /// For `dev`: one target, a development certificate.
    pub fn dev(
        listen: SocketAddr,
        identity: ServerIdentity,
        target: &DevTarget,
        masking: &Path,
        console: ConsolePlan,
    ) -> Result<Self, Failure> {
        Ok(Self {
            listen,
            node: None,
            takeover_socket: None,
            config: GatewayConfig {
                targets: vec![target.check()?.into()],
                saml: None,
                names: identity.names().to_vec(),
                seal: identity.seal(),
                mcp: Some(dev_mcp(listen.port())?),
                ..GatewayConfig::default()
            },
            identity,
            masking: MaskingStore::load(masking).map_err(Failure::usage)?,
            console: Some(console),
            changing: Vec::new(),
            drain: DEV_DRAIN,
        })
    }
}

impl GatewayPlan {
    /// For `dev`: servers as `--mcp-server` names them.
    pub fn with_mcp_servers(mut self, servers: &[String]) -> Result<Self, Failure> {
        let mut checked = Vec::with_capacity(servers.len());
        for server in servers {
            let raw = RawMcpServer::in_a_word(server).ok_or_else(|| {
                let fix = "write --mcp-server NAME=URL, such as notes=http://localhost:8000/mcp, or NAME=stdio:COMMAND";
                Failure::usage(fix)
            })?;
            checked.push(raw.check(Path::new(".")).map_err(Failure::usage)?);
        }
        self.config.mcp = self.config.mcp.map(|mcp| mcp.with_servers(checked));
        Ok(self)
    }

    /// All that can be reached, the targets first, in the order in which they were named.
    #[cfg(feature = "dev")]
    pub fn reachable(&self) -> Vec<TargetRef> {
        self.config.reachable()
    }

    /// With more targets.
    #[cfg(feature = "dev")]
    pub fn with_targets(mut self, more: Vec<AnyTarget>) -> Self {
        self.config.targets.extend(more);
        self
    }

    /// Where the query service of this process listens.
    #[cfg(feature = "query")]
    pub fn query_listens(&mut self, at: SocketAddr) {
        if let Some(console) = &mut self.console {
            console.query_listens(at);
        }
    }
}

/// Where the port is known already, so is the console's page.
fn dev_mcp(port: u16) -> Result<McpConfig, Failure> {
    let page = (port != 0).then(|| format!("https://localhost:{port}/"));
    let page = page.map(|page| Url::parse(&page)).transpose().map_err(Failure::usage)?;
    let mcp = McpConfig::default();
    Ok(match page {
        Some(page) => mcp.with_console(&page),
        None => mcp,
    })
}

fn webhooks(config: &Config, folder: &Path) -> Result<Vec<Webhook>, ConfigError> {
    let raw = config.gateway.as_ref().map_or(&[][..], |section| &section.webhooks);
    // People sign in at the gateway itself where that is by SAML.
    let own = config.gateway.as_ref().and_then(|gateway| gateway.saml.as_ref());
    let issuers = config.issuers.iter().map(|it| it.issuer.as_str());
    let issuers: Vec<&str> = issuers.chain(own.map(|saml| saml.issuer.as_str())).collect();
    let page = config.console.as_ref().map(|console| &console.public_url);
    RawWebhook::check_all(raw, folder, &issuers, page)
}

/// The console's pages may use it: they are the gateway's own.
fn mcp(config: &Config, folder: &Path) -> Result<Option<McpConfig>, ConfigError> {
    let raw = config.gateway.as_ref().and_then(|section| section.mcp.as_ref());
    let Some(mcp) = raw.map(|raw| raw.check(folder)).transpose()? else { return Ok(None) };
    let console = config.console.as_ref().map(|console| &console.public_url);
    Ok(Some(match console {
        Some(page) => mcp.with_console(page),
        None => mcp,
    }))
}

/// A gateway that runs.
pub struct RunningGateway {
    /// Follows the files of the certificate.
    _certificate: AbortOnDropHandle<()>,
    /// Follows other secrets.
    _secrets: AbortOnDropHandle<()>,
    gateway: Gateway,
    front: RunningFront,
    appender: Appender,
    drain: Duration,
}

impl RunningGateway {
    /// Starts the service, then the fronts.
    pub async fn start(
        plan: GatewayPlan,
        authenticator: Authenticator,
        policies: PolicyStore,
        appender: Appender,
    ) -> Result<Self, Failure> {
        let gateway =
            Gateway::start(plan.config, authenticator, policies, plan.masking, appender.clone())
                .map_err(Failure::usage)?;
        let certificate = plan.identity.follow("gateway");
        let mut config = FrontConfig::new(plan.listen, plan.identity);
        config.node = plan.node;
        config.takeover_socket = plan.takeover_socket;
        let service: Arc<dyn TunnelService> = Arc::new(gateway.clone());
        let (api, pages) = (api::router(&gateway), Pages::default());
        let routes = match plan.console {
            Some(_) => pages.beside(api.clone()),
            None => api.clone(),
        };
        let front = Front::start(config, service, routes).await;
        let front = front.map_err(|error| match error {
            FrontError::Takeover(error) if error.is_configuration() => Failure::usage(error),
            error => Failure::failed(error),
        })?;
        if let Some(console) = plan.console {
            pages.serve(console, front.tcp_addr, &gateway, api)?;
        }
        Ok(Self {
            _certificate: certificate,
            _secrets: secrets::follow(plan.changing),
            gateway,
            front,
            appender,
            drain: plan.drain,
        })
    }

    /// The service behind the fronts.
    pub const fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// What puts its events on the log.
    pub const fn appender(&self) -> &Appender {
        &self.appender
    }

    /// Where QUIC is answered.
    pub const fn quic_addr(&self) -> SocketAddr {
        self.front.quic_addr
    }

    /// Reaches a target as a session would.
    pub async fn probe(&self, target: &str) -> Result<(), ProbeError> {
        self.gateway.probe(target).await
    }

    /// Where TCP is answered.
    pub const fn tcp_addr(&self) -> SocketAddr {
        self.front.tcp_addr
    }

    /// Until another process has taken the port over: its node's name.
    pub fn taken_over(&self) -> impl Future<Output = String> + Send + use<> {
        self.front.taken_over()
    }

    /// Nobody new comes in, the open sessions drain, their ends are recorded, the producer says goodbye.
    pub async fn stop(mut self) -> Result<(), Failure> {
        let began = Instant::now();
        // What was asked before clients knew is still opened; then nothing more.
        self.front.retire(self.drain).await;
        // Sessions first: what they are told at the end, and what is recorded of it, still needs the way to the agent.
        self.gateway.shutdown(self.drain.saturating_sub(began.elapsed())).await;
        let drained = self.front.shutdown(FRONT_DRAIN).await;
        if drained.cut_tunnels > 0 {
            tracing::warn!(
                tunnels = drained.cut_tunnels,
                "tunnels were cut: their agents did not close them"
            );
        }
        self.appender.stop().await.map_err(Failure::failed)
    }
}
