//! A gateway with both fronts on real sockets, an honest agent on it, and what is measured meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tallyport_gateway::config::GatewayLimits;
use tallyport_gateway::connect::{ConnectConfig, Connector, StaticToken, Transport};
use tallyport_gateway::front::{Front, FrontConfig, Limits, RunningFront};
use tallyport_gateway::tls::{DevCa, ServerIdentity};
use tallyport_gateway::{BearerToken, TunnelService};
use tallyport_schemas::{Authentication, Body, Event, Outcome, Session};
use tokio::sync::{Mutex, MutexGuard};
use tokio_postgres::NoTls;

use crate::harness::{Options, World};

/// No answer to an honest agent may take longer, on however busy a machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Deadlines of the gateway in these tests: long enough for what is honest, short enough to be waited for.
pub const DEADLINE: Duration = Duration::from_secs(1);
/// How often counts of strangers go on record here.
pub const INTERVAL: Duration = Duration::from_millis(500);
/// The most by which the process, attackers included, may grow, unless a test says otherwise.
pub const GROWTH: u64 = 96 << 20;

/// One at a time: memory is that of the process.
static TURN: Mutex<()> = Mutex::const_new(());

pub struct Stage {
    pub world: World,
    pub front: RunningFront,
    pub ca: DevCa,
    token: String,
    _dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// Raises the curtain, or says loudly that the test did not run.
macro_rules! stage {
    ($options:expr, $limits:expr) => {
        match crate::stage::Stage::start($options, $limits).await {
            Some(stage) => stage,
            None => {
                eprintln!("NOT RUN: {}: PostgreSQL cannot be installed", module_path!());
                return;
            }
        }
    };
}
pub(crate) use stage;

impl Stage {
    pub async fn start(mut options: Options, change: impl FnOnce(&mut Limits)) -> Option<Self> {
        let turn = TURN.lock().await;
        if options.limits == GatewayLimits::default() {
            options.limits.strangers_interval = INTERVAL;
        }
        // A machine that stands still for a while is no log that does: no session may end for that here.
        options.max_wait = 2 * PATIENCE;
        let world = World::start(options).await?;
        let dir = tempfile::tempdir().unwrap();
        let ca = DevCa::create_or_load(&dir.path().join("tls")).unwrap();
        let identity = ServerIdentity::load(&ca.cert_path(), &ca.key_path()).unwrap();
        let mut config = FrontConfig::new("127.0.0.1:0".parse().unwrap(), identity);
        change(&mut config.limits);
        let service: Arc<dyn TunnelService> = Arc::new(world.gateway.clone());
        let api = tallyport_gateway::api::router(&world.gateway);
        let front = Front::start(config, service, api).await.unwrap();
        let token = world.token("agent", None).await;
        Some(Self { world, front, ca, token, _dir: dir, _turn: turn })
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    pub fn connector(&self, transport: Transport) -> Connector {
        let token = Arc::new(StaticToken::new(BearerToken::new(self.token.clone())));
        let mut config = ConnectConfig::new(self.front.quic_addr.to_string(), token);
        config.ca = Some(self.ca.ca_path());
        config.tcp_only = transport == Transport::Tcp;
        // A busy machine must not turn a QUIC test into one of TCP.
        config.quic_deadline = PATIENCE;
        Connector::new(config).unwrap()
    }

    /// An honest agent's ordinary client, on a connection of its own.
    pub async fn honest(&self) -> tokio_postgres::Client {
        let open = async {
            let tunnel = self.connector(Transport::Quic).open("db").await.expect("lets in");
            let mut config = tokio_postgres::Config::new();
            config.user("honest").dbname("postgres");
            let (client, connection) = config.connect_raw(tunnel, NoTls).await.expect("connects");
            tokio::spawn(connection);
            client
        };
        tokio::time::timeout(PATIENCE, open).await.expect("an honest agent is let in in time")
    }

    /// Runs `attack` while an honest session is served; gives what it gave. A session that was there before must get its
    /// answers, and so must one that comes while the attack goes on.
    pub async fn while_served<T>(&self, attack: impl Future<Output = T>) -> T {
        let old = self.honest().await;
        let over = AtomicBool::new(false);
        let serve = async {
            let mut answers = 0;
            let new = self.honest().await;
            while !over.load(Ordering::SeqCst) || answers < 2 {
                for client in [&old, &new] {
                    if let Err(error) = ask(client).await {
                        panic!("an honest agent got {error}; ended: {:?}", self.ends().await);
                    }
                }
                answers += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let attack = async {
            let outcome = attack.await;
            over.store(true, Ordering::SeqCst);
            outcome
        };
        tokio::join!(attack, serve).0
    }

    /// Waits for the count of strangers, on record, of one code; gives the events.
    pub async fn turned_away(&self, code: &str) -> Vec<Event> {
        let events = self.world.wait_for(code, |events| events.iter().any(|e| is_failure(e, code)));
        events.await.into_iter().filter(|event| is_failure(event, code)).collect()
    }

    /// Waits for the end of a session that was lost for `cause`; gives its message.
    pub async fn lost(&self, cause: &str) -> String {
        let found = |event: &Event| match &event.body {
            Body::Session(Session::Lost { cause: found, message, .. }) if found == cause => {
                Some(message.clone())
            }
            _ => None,
        };
        let events = self.world.wait_for(cause, |events| events.iter().any(|e| found(e).is_some()));
        events.await.iter().find_map(found).unwrap()
    }

    /// How sessions ended so far.
    async fn ends(&self) -> Vec<Session> {
        let end = |event: Event| match event.body {
            Body::Session(Session::Opened { .. }) => None,
            Body::Session(end) => Some(end),
            _ => None,
        };
        self.world.events().await.into_iter().filter_map(end).collect()
    }

    /// All events of refused authentications.
    pub async fn failures(&self) -> Vec<Event> {
        let failed = |event: &Event| matches!(&event.body, Body::Authentication(authentication) if authentication.outcome == Outcome::Failure);
        self.world.events().await.into_iter().filter(failed).collect()
    }
}

/// One question of an honest agent, answered in time.
async fn ask(client: &tokio_postgres::Client) -> Result<(), String> {
    let answer = client.query_one("SELECT name FROM app.customers WHERE id = 1", &[]);
    let answer = tokio::time::timeout(PATIENCE, answer).await.map_err(|late| late.to_string())?;
    let row = answer.map_err(|error| error.to_string())?;
    assert_eq!(row.get::<_, &str>(0), "Ada");
    Ok(())
}

fn is_failure(event: &Event, code: &str) -> bool {
    matches!(&event.body, Body::Authentication(Authentication { failure: Some(failure), .. }) if failure == code)
}

/// How often an event says that it counted; 1 for one that stands for itself.
pub fn times(event: &Event) -> u64 {
    let Body::Authentication(authentication) = &event.body else { return 0 };
    let message = authentication.message.as_deref().unwrap_or_default();
    let counted = message.strip_prefix("counted ").and_then(|rest| rest.split(' ').next());
    counted.map_or(1, |number| number.parse().unwrap())
}

/// Memory of the process, and by how much it has grown since.
pub struct Memory {
    before: u64,
}

impl Memory {
    pub fn now() -> Self {
        Self { before: resident_bytes() }
    }

    pub fn assert_growth_below(&self, bound: u64) {
        let grown = resident_bytes().saturating_sub(self.before);
        assert!(grown < bound, "the process grew by {} KiB", grown >> 10);
    }
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// Waits for a condition that nobody announces.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Fails the test when `future` takes too long.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it took too long")
}
