//! A gateway with both fronts, real tokens and a log that can fail.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tallyport_access::dev_issuer::{DevClient, DevIssuer};
use tallyport_access::policy::PolicyStore;
use tallyport_access::{Authenticator, Credential, IntrospectionConfig, IssuerConfig, Secret};
use tallyport_eventlog::backends::memory::MemoryLog;
use tallyport_eventlog::faults::FaultLog;
use tallyport_eventlog::{Appender, AppenderOptions, Log, Position, Topic};
use tallyport_gateway::config::{GatewayConfig, McpConfig, RawMcp, RawTarget};
use tallyport_gateway::front::{Front, FrontConfig, Limits, RunningFront};
use tallyport_gateway::targets::MaskingStore;
use tallyport_gateway::tls::{DevCa, ServerIdentity};
use tallyport_gateway::{Gateway, api};
use tallyport_schemas::{
    Authentication, Body, Decision, Event, Outcome, PrincipalKind, ProducerId, ocsf,
};

/// Anything that should happen soon happens within this.
pub const SOON: Duration = Duration::from_secs(20);

/// `open` for agents, `granted` with a grant, `shut` for nobody; the server `crm` for agents, its definitions for keepers;
/// people may end access.
const POLICY: &str = r#"
@id("open") permit (principal, action == Tallyport::Action::"sql:connect", resource)
  when { resource in Tallyport::Target::"open" };
@id("granted") @require_grant("1 of dba; within 1h; for 1h")
permit (principal, action == Tallyport::Action::"sql:connect", resource) when { resource in Tallyport::Target::"granted" };
@id("crm") permit (principal in Tallyport::Group::"agents", action in Tallyport::Action::"mcp:any", resource)
  when { resource in Tallyport::Target::"crm" || resource in Tallyport::Target::"sick" };
@id("not-13") forbid (principal, action == Tallyport::Action::"mcp:call", resource == Tallyport::Tool::"crm/refund")
  when { context has call && context.call.hasTag("/id") && context.call.getTag("/id") == "13" };
@id("refund-50") @require_approval("1 of dba; within 1h")
permit (principal in Tallyport::Group::"agents", action == Tallyport::Action::"mcp:call", resource == Tallyport::Tool::"crm/refund")
  when { context has call && context.call.hasTag("/id") && context.call.getTag("/id") == "50" };
@id("closed") forbid (principal, action == Tallyport::Action::"mcp:prompt", resource == Tallyport::Prompt::"crm/closed");
@id("secret") forbid (principal, action == Tallyport::Action::"mcp:read", resource)
  when { resource is Tallyport::McpResource && resource.uri like "file:///secret/*" };
@id("keeps") permit (principal in Tallyport::Group::"keepers", action == Tallyport::Action::"mcp:accept", resource in Tallyport::Target::"crm");
@id("ends") permit (principal in Tallyport::Group::"dba", action in Tallyport::Action::"access:any", resource);
"#;

pub struct World {
    pub gateway: Gateway,
    pub front: RunningFront,
    pub faults: Arc<FaultLog>,
    appender: Appender,
    pub ca: DevCa,
    pub issuer: DevIssuer,
    pub log: Arc<MemoryLog>,
    _folder: tempfile::TempDir,
}

impl World {
    pub async fn start() -> Self {
        Self::with("", |_| {}, |_| {}).await
    }

    /// With `[gateway.mcp]` as it is written.
    pub async fn saying(mcp: &str) -> Self {
        Self::with(mcp, |_| {}, |_| {}).await
    }

    pub async fn with(
        mcp: &str,
        front_limits: impl FnOnce(&mut Limits),
        mcp_config: impl FnOnce(&mut McpConfig),
    ) -> Self {
        let log = Arc::new(MemoryLog::new());
        Self::on(log, "test", mcp, front_limits, mcp_config).await
    }

    /// That takes tokens for this audience alone.
    pub async fn of_audience(audience: &str) -> Self {
        let log = Arc::new(MemoryLog::new());
        let only = |_: &DevIssuer, trusted: &mut IssuerConfig| {
            trusted.audiences = vec![audience.to_owned()];
        };
        Self::trusting(only, (log, "test"), "", |_| {}, |_| {}).await
    }

    /// Whose issuer is asked whether a token still counts.
    pub async fn asking(mcp: &str, mcp_config: impl FnOnce(&mut McpConfig)) -> Self {
        let log = Arc::new(MemoryLog::new());
        let asks = |issuer: &DevIssuer, trusted: &mut IssuerConfig| {
            let client = &issuer.clients()[0];
            let secret = Secret::new(client.secret.expose().to_owned());
            let client_secret = Credential::Value(secret);
            let (url, client_id) = (issuer.introspection_url(), client.id.clone());
            trusted.introspection =
                Some(IntrospectionConfig { url, client_id, client_secret, cache_seconds: 1 });
        };
        Self::trusting(asks, (log, "test"), mcp, |_| {}, mcp_config).await
    }

    /// On a log that others may use, too, under a name of its own.
    pub async fn on(
        log: Arc<MemoryLog>,
        name: &str,
        mcp: &str,
        front_limits: impl FnOnce(&mut Limits),
        mcp_config: impl FnOnce(&mut McpConfig),
    ) -> Self {
        Self::trusting(|_, _| {}, (log, name), mcp, front_limits, mcp_config).await
    }

    async fn trusting(
        as_it_is: impl FnOnce(&DevIssuer, &mut IssuerConfig),
        (log, name): (Arc<MemoryLog>, &str),
        mcp: &str,
        front_limits: impl FnOnce(&mut Limits),
        mcp_config: impl FnOnce(&mut McpConfig),
    ) -> Self {
        let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let issuer = DevIssuer::start(local, clients()).await.unwrap();
        let mut trusted = issuer.issuer_config();
        let folder = tempfile::tempdir().unwrap();
        as_it_is(&issuer, &mut trusted);
        let authenticator = Authenticator::new(vec![trusted]).unwrap();
        let faults = Arc::new(FaultLog::new(Arc::clone(&log) as Arc<dyn Log>));
        let options =
            AppenderOptions { max_wait: Duration::from_millis(400), ..AppenderOptions::default() };
        let producer = ProducerId::parse(format!("{name}/gateway")).unwrap();
        let log_for_appender = Arc::clone(&faults) as Arc<dyn Log>;
        let appender =
            Appender::start(log_for_appender, producer, "gateway", options).await.unwrap();
        let ca = DevCa::create_or_load(&folder.path().join("tls")).unwrap();
        let identity = ServerIdentity::load(&ca.cert_path(), &ca.key_path()).unwrap();
        let raw: RawMcp = toml::from_str(mcp).unwrap();
        let mut mcp = raw.check(Path::new("/")).unwrap();
        mcp_config(&mut mcp);
        let config = GatewayConfig {
            targets: ["granted", "open", "shut"].map(|name| target(name).into()).to_vec(),
            names: identity.names().to_vec(),
            seal: identity.seal(),
            mcp: Some(mcp),
            ..GatewayConfig::default()
        };
        let policy = PolicyStore::from_text(POLICY, "test.cedar").unwrap();
        let masking = MaskingStore::none();
        let gateway =
            Gateway::start(config, authenticator, policy, masking, appender.clone()).unwrap();
        let mut config = FrontConfig::new(local, identity);
        front_limits(&mut config.limits);
        let service = Arc::new(gateway.clone());
        let front = Front::start(config, service, api::router(&gateway)).await.unwrap();
        let world = Self { gateway, front, faults, appender, ca, issuer, log, _folder: folder };
        // Both stores report what is in force at the start: later faults meet nothing of that.
        world.wait_for("the start", |events| events.len() >= 2).await;
        world
    }

    /// Waits until the log owes no explanation of the last fault, so that the next one meets what the test sends.
    pub async fn settled(&self) {
        let deadline = Instant::now() + SOON;
        while self.appender.health().unexplained_gaps > 0 {
            assert!(Instant::now() < deadline, "a gap stays unexplained");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn token(&self, client: &str, ttl: Option<u64>) -> String {
        let known = self.issuer.clients().iter().find(|known| known.id == client).unwrap();
        let mut form = vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", client.to_owned()),
            ("client_secret", known.secret.expose().to_owned()),
        ];
        form.extend(ttl.map(|ttl| ("ttl", ttl.to_string())));
        let answer = reqwest::Client::new().post(&self.issuer.token_url).form(&form).send().await;
        let answer: Value = answer.unwrap().json().await.unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    pub async fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        let mut from = Position { partition: 0, offset: 0 };
        loop {
            let entries = self.log.read(Topic::Audit, from, 1 << 20, Duration::ZERO).await.unwrap();
            let Some(last) = entries.last() else { return events };
            from.offset = last.position.offset + 1;
            events.extend(entries.iter().map(|entry| ocsf::decode(&entry.value).unwrap()));
        }
    }

    /// Outcomes of the checks of tokens, in order.
    pub async fn checks(&self) -> Vec<Outcome> {
        let events = self.events().await;
        let checks = events.into_iter().filter_map(|event| match event.body {
            Body::Authentication(Authentication { outcome, .. }) => Some(outcome),
            _ => None,
        });
        checks.collect()
    }

    pub async fn decisions(&self) -> Vec<Decision> {
        let events = self.events().await;
        let decisions = events.into_iter().filter_map(|event| match event.body {
            Body::Decision(decision) => Some(decision),
            _ => None,
        });
        decisions.collect()
    }

    pub async fn wait_for(&self, what: &str, until: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        let deadline = Instant::now() + SOON;
        loop {
            let events = self.events().await;
            if until(&events) {
                return events;
            }
            assert!(Instant::now() < deadline, "no {what} in {} events", events.len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn clients() -> Vec<DevClient> {
    let scoped = |id: &str, scope: &str| DevClient {
        scope: Some(scope.to_owned()),
        groups: vec!["agents".to_owned()],
        ..DevClient::new(id)
    };
    let human = |id: &str, group: &str| DevClient {
        kind: PrincipalKind::Human,
        groups: vec![group.to_owned()],
        ..DevClient::new(id)
    };
    vec![
        DevClient { groups: vec!["agents".to_owned()], ..DevClient::new("agent") },
        DevClient::new("other"),
        scoped("scoped", "openid tallyport"),
        DevClient { groups: vec!["agents".to_owned()], ..scoped("writer", "tallyport:write") },
        scoped("mistaken", "tallyport:writer tallypor"),
        DevClient { groups: vec!["keepers".to_owned()], ..DevClient::new("robot") },
        human("dana", "dba"),
        human("kim", "keepers"),
    ]
}

/// Nothing listens there: no test of this binary goes in.
fn target(name: &str) -> tallyport_gateway::config::Target {
    let text = format!(
        "name = '{name}'\naddress = '127.0.0.1:1'\ndatabase = 'postgres'\nuser = 'postgres'\nsslmode = 'disable'"
    );
    toml::from_str::<RawTarget>(&text).unwrap().check(Path::new("/")).unwrap()
}
