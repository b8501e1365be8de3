//! A gateway with everything real but the network in front: tokens, policy, PostgreSQL; the log is in memory.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dev_services::{DevService, StartError};
use gateway_core::masking::Masking;
use tallyport_access::dev_issuer::DevIssuer;
use tallyport_access::policy::PolicyStore;
use tallyport_access::saml::SamlExchange;
use tallyport_access::{Authenticator, TrustDomainConfig};
use tallyport_eventlog::backends::memory::MemoryLog;
use tallyport_eventlog::faults::FaultLog;
use tallyport_eventlog::{Appender, AppenderOptions, Log, Position, Topic};
use tallyport_gateway::config::{GatewayConfig, GatewayLimits, McpConfig, RawTarget};
use tallyport_gateway::targets::MaskingStore;
use tallyport_gateway::webhooks::Webhook;
use tallyport_gateway::{
    BearerToken, ConnectRequest, Gateway, OpenTunnel, Refusal, TunnelService as _,
};
use tallyport_schemas::{Event, Family, Front, ProducerId, TraceId, ocsf};
use tokio::io::DuplexStream;
use tokio_postgres::NoTls;

use crate::clients;
pub use crate::told::{commands, responses};

/// What the gateways' certificate would be for.
pub const GATEWAY_NAME: &str = "gateway.example";
/// Permits everything.
pub const PERMIT_ALL: &str = "@id(\"all\") permit (principal, action, resource);";

/// Anything that should happen soon happens within this.
pub const SOON: Duration = Duration::from_secs(20);

const SETUP: &str = "
    CREATE SCHEMA IF NOT EXISTS app;
    CREATE TABLE app.customers (id int PRIMARY KEY, name text, ssn text, balance numeric);
    INSERT INTO app.customers VALUES (1, 'Ada', '123-45-6789', 10.5), (2, 'Bob', '987-65-4321', NULL), (3, 'Cyd', NULL, 3);
    CREATE TABLE app.notes (id serial PRIMARY KEY, body text);
    CREATE TABLE app.things (id int, body text);
    CREATE TABLE app.tools (id int UNIQUE DEFERRABLE INITIALLY DEFERRED, body text);
    CREATE FUNCTION app.shout(t text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'heard %', t; RETURN upper(t); END $$;
    CREATE DATABASE other;
";

/// One PostgreSQL for all tests of this binary; it stops when the process ends. `None` where it cannot be installed.
pub fn postgres() -> Option<&'static DevService> {
    static POSTGRES: OnceLock<Option<DevService>> = OnceLock::new();
    POSTGRES
        .get_or_init(|| {
            let setup =
                std::env::temp_dir().join(format!("tallyport-setup-{}.sql", std::process::id()));
            std::fs::write(&setup, SETUP).expect("writable temporary directory");
            let started = DevService::start("postgres", &["--sql", setup.to_str().expect("UTF-8")]);
            let _gone = std::fs::remove_file(&setup);
            match started {
                Ok(service) => Some(service),
                Err(StartError::NotInstallable { .. }) => None,
                Err(error) => panic!("{error}"),
            }
        })
        .as_ref()
}

/// Starts a world, or says loudly that the test did not run.
macro_rules! world {
    ($($option:tt)*) => {
        match crate::harness::World::start(crate::harness::Options { $($option)* ..Default::default() }).await {
            Some(world) => world,
            None => {
                eprintln!("NOT RUN: {}: PostgreSQL cannot be installed", module_path!());
                return;
            }
        }
    };
}
pub(crate) use world;

pub struct Options {
    pub policy: &'static str,
    /// Followed instead of `policy`.
    pub policy_file: Option<std::path::PathBuf>,
    pub masking: Option<&'static str>,
    /// Followed instead of `masking`.
    pub masking_file: Option<std::path::PathBuf>,
    pub max_wait: Duration,
    pub target: &'static str,
    /// Targets beside `db`, each as it is written.
    pub others: Vec<String>,
    pub limits: GatewayLimits,
    /// The issuer is asked whether tokens still count; answers count for a second.
    pub introspection: bool,
    /// Who is told of requests, where the issuer is known.
    pub webhooks: Option<Webhooks>,
    pub trust_domains: Vec<TrustDomainConfig>,
    pub saml: Option<Arc<SamlExchange>>,
}

pub type Webhooks = Box<dyn Fn(&str) -> Vec<Webhook> + Send + Sync>;

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: PERMIT_ALL,
            policy_file: None,
            masking: None,
            masking_file: None,
            max_wait: Duration::from_secs(10),
            target: "",
            others: Vec::new(),
            limits: GatewayLimits::default(),
            introspection: false,
            webhooks: None,
            trust_domains: Vec::new(),
            saml: None,
        }
    }
}

pub struct World {
    pub gateway: Gateway,
    pub faults: Arc<FaultLog>,
    pub issuer: DevIssuer,
    pub postgres: &'static DevService,
    log: Arc<MemoryLog>,
    authenticator: Authenticator,
    policy: &'static str,
    targets: Vec<String>,
    webhooks: Vec<Webhook>,
    /// Of the gateways to come.
    pub saml: Option<Arc<SamlExchange>>,
    _folder: tempfile::TempDir,
}

impl World {
    pub async fn start(options: Options) -> Option<Self> {
        let postgres = tokio::task::spawn_blocking(postgres).await.expect("joins")?;
        Some(Self::start_on(postgres, options).await)
    }

    pub async fn start_on(postgres: &'static DevService, options: Options) -> Self {
        let local: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let issuer = DevIssuer::start(local, clients::all()).await.expect("the issuer starts");
        let mut trusted = issuer.issuer_config();
        let folder = tempfile::tempdir().expect("a folder");
        if options.introspection {
            trusted.introspection = Some(clients::introspection(&issuer));
        }
        let domains = options.trust_domains;
        let saml = options.saml.as_deref();
        let authenticator = Authenticator::trusting(vec![trusted], domains, saml).unwrap();

        let log = Arc::new(MemoryLog::new());
        let faults = Arc::new(FaultLog::new(Arc::clone(&log) as Arc<dyn Log>));
        let appender = Appender::start(
            Arc::clone(&faults) as Arc<dyn Log>,
            ProducerId::parse("test/gateway").expect("a name"),
            "gateway",
            AppenderOptions { max_wait: options.max_wait, ..AppenderOptions::default() },
        )
        .await
        .expect("the log starts");

        let policy = match &options.policy_file {
            Some(file) => PolicyStore::load(file).expect("a valid policy"),
            None => PolicyStore::from_text(options.policy, "test.cedar").expect("a valid policy"),
        };
        let masking = match (&options.masking_file, options.masking) {
            (Some(file), _) => MaskingStore::load(file).expect("valid masking"),
            (None, Some(text)) => {
                MaskingStore::fixed(Masking::parse(text, "test.toml").expect("valid masking"))
            }
            (None, None) => MaskingStore::none(),
        };
        let text = first_target(options.target, postgres.port("port"));
        let targets: Vec<String> = std::iter::once(text).chain(options.others).collect();
        let webhooks = options.webhooks.map(|it| it(&issuer.issuer_url)).unwrap_or_default();
        let more = (webhooks.as_slice(), options.saml.clone());
        let config = config(&targets, options.limits, more);
        let gateway = Gateway::start(config, authenticator.clone(), policy, masking, appender)
            .expect("starts");
        let world = Self {
            gateway,
            faults,
            issuer,
            postgres,
            log,
            authenticator,
            policy: options.policy,
            targets,
            webhooks,
            saml: options.saml,
            _folder: folder,
        };
        // Both stores report what is in force at the start: later faults meet nothing of that.
        world
            .wait_for("policy at start", |events| {
                events.iter().filter(|event| event.body.family() == Family::Policy).count() == 2
            })
            .await;
        world
    }

    /// Another gateway with the same policy and targets, on the same log and with nothing else of the first.
    pub async fn another(&self, name: &str) -> Gateway {
        let appender = Appender::start(
            Arc::clone(&self.faults) as Arc<dyn Log>,
            ProducerId::parse(format!("{name}/gateway")).expect("a name"),
            "gateway",
            AppenderOptions::default(),
        );
        let policy = PolicyStore::from_text(self.policy, "test.cedar").expect("a valid policy");
        let more = (self.webhooks.as_slice(), self.saml.clone());
        let config = config(&self.targets, GatewayLimits::default(), more);
        let appender = appender.await.expect("the log starts");
        Gateway::start(config, self.authenticator.clone(), policy, MaskingStore::none(), appender)
            .expect("starts")
    }

    pub async fn token(&self, client: &str, ttl: Option<u64>) -> String {
        let known =
            self.issuer.clients().iter().find(|known| known.id == client).expect("a client");
        let mut form = vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", client.to_owned()),
            ("client_secret", known.secret.expose().to_owned()),
        ];
        form.extend(ttl.map(|ttl| ("ttl", ttl.to_string())));
        let answer = reqwest::Client::new().post(&self.issuer.token_url).form(&form).send().await;
        let answer: serde_json::Value = answer.expect("answers").json().await.expect("is JSON");
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }

    pub async fn open(&self, token: &str, target: &str) -> Result<Box<dyn OpenTunnel>, Refusal> {
        Self::open_at(&self.gateway, token, target).await
    }

    pub async fn open_at(
        gateway: &Gateway,
        token: &str,
        target: &str,
    ) -> Result<Box<dyn OpenTunnel>, Refusal> {
        gateway
            .open(ConnectRequest {
                target: target.to_owned(),
                token: Some(BearerToken::new(token.to_owned())),
                proof: None,
                certificate: None,
                peer: "192.0.2.7:4711".parse().expect("an address"),
                front: Front::Quic,
                trace_id: TraceId::new(),
            })
            .await
    }

    /// A tunnel that is served, without a byte sent yet.
    pub async fn tunnel_with(&self, token: &str) -> DuplexStream {
        Self::tunnel_at(&self.gateway, token).await
    }

    pub async fn tunnel_at(gateway: &Gateway, token: &str) -> DuplexStream {
        let tunnel = Self::open_at(gateway, token, "db").await.expect("lets in");
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(tunnel.run(Box::new(theirs)));
        ours
    }

    pub async fn tunnel(&self) -> DuplexStream {
        let token = self.token("agent", None).await;
        self.tunnel_with(&token).await
    }

    pub async fn connect_as(&self, client: &str, ttl: Option<u64>) -> tokio_postgres::Client {
        let token = self.token(client, ttl).await;
        let tunnel = self.tunnel_with(&token).await;
        let mut config = tokio_postgres::Config::new();
        config.user("whoever").dbname("postgres").application_name("harness");
        let (client, connection) = config.connect_raw(tunnel, NoTls).await.expect("connects");
        tokio::spawn(connection);
        client
    }

    pub async fn connect(&self) -> tokio_postgres::Client {
        self.connect_as("agent", None).await
    }

    /// All events on the log.
    pub async fn events(&self) -> Vec<Event> {
        self.events_of(Topic::Audit).await
    }

    /// All events of a topic.
    pub async fn events_of(&self, topic: Topic) -> Vec<Event> {
        let mut events = Vec::new();
        let mut from = Position { partition: 0, offset: 0 };
        loop {
            let read = self.log.read(topic, from, 1 << 20, Duration::ZERO).await;
            let entries = read.expect("the log can be read");
            let Some(last) = entries.last() else { return events };
            from.offset = last.position.offset + 1;
            events
                .extend(entries.iter().map(|entry| ocsf::decode(&entry.value).expect("an event")));
        }
    }

    pub async fn wait_for(&self, what: &str, until: impl Fn(&[Event]) -> bool) -> Vec<Event> {
        let deadline = Instant::now() + SOON;
        loop {
            let events = self.events().await;
            if until(&events) {
                return events;
            }
            let seen: Vec<_> = events
                .iter()
                .map(|event| (event.body.family().as_str(), event.body.activity()))
                .collect();
            assert!(Instant::now() < deadline, "no {what} in {seen:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// From now on the control log cannot be read; waits until who was revoked is not known any more.
    pub async fn lose_the_control_log(&self) {
        for known in [true, false] {
            let deadline = Instant::now() + SOON;
            while self.gateway.knows_who_is_out() != known {
                assert!(Instant::now() < deadline, "whether it is known is never {known}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            self.faults.fail_reads(u32::MAX);
        }
    }

    /// PostgreSQL's own log, up to a statement of ours that is certainly in it.
    pub async fn statements(&self) -> String {
        let marker = format!("end of log {}", TraceId::new());
        self.direct().await.simple_query(&format!("SELECT '{marker}'")).await.expect("runs");
        let deadline = Instant::now() + SOON;
        loop {
            let log = std::fs::read(self.postgres.text("log_file")).expect("readable");
            let log = String::from_utf8_lossy(&log).into_owned();
            if log.contains(&marker) {
                return log;
            }
            assert!(Instant::now() < deadline, "PostgreSQL does not log");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Its documents and answers are gone; what is known of its keys stays.
    pub async fn stop_issuer(&mut self) {
        let local = "127.0.0.1:0".parse().expect("an address");
        let another = DevIssuer::start(local, Vec::new()).await.expect("the issuer starts");
        std::mem::replace(&mut self.issuer, another).stop().await;
    }

    /// A connection past the gateway.
    pub async fn direct(&self) -> tokio_postgres::Client {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.postgres.port("port"))
            .user("postgres")
            .dbname("postgres");
        let (client, connection) = config.connect(NoTls).await.expect("connects");
        tokio::spawn(connection);
        client
    }
}

/// The target `db`, with what a test says of it.
fn first_target(said: &str, port: u16) -> String {
    let address = if said.contains("address =") {
        String::new()
    } else {
        format!("address = '127.0.0.1:{port}'\n")
    };
    let login = if said.is_empty() { "user = 'postgres'\nsslmode = 'disable'\n" } else { said };
    format!(
        "name = 'db'\n{address}database = 'postgres'\ndatabases = ['other', 'latin', 'unencoded']\ncatalog_refresh_seconds = 3600\n{login}"
    )
}

fn config(
    targets: &[String],
    limits: GatewayLimits,
    (webhooks, saml): (&[Webhook], Option<Arc<SamlExchange>>),
) -> GatewayConfig {
    let target = |text: &String| {
        let raw: RawTarget = toml::from_str(text).expect("a valid target");
        raw.check(Path::new("/")).expect("a valid target").into()
    };
    let (names, webhooks) = (vec![GATEWAY_NAME.to_owned()], webhooks.to_vec());
    let targets = targets.iter().map(target).collect();
    let mcp = Some(McpConfig::default().patient_for(Duration::from_secs(2)));
    GatewayConfig { targets, limits, names, webhooks, saml, mcp, ..GatewayConfig::default() }
}
