//! Where the added time of a statement goes: the way through the connector and the QUIC front, the parse and the
//! judgement, the two waits for the log. Each is measured alone, in turn, with one client; what pgbench adds beyond
//! their sum is the rest (framing, the session machine, task switches).
//!
//! `cargo bench -p tallyport-benches --bench stages [-- SECONDS]`

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use gateway_core::masking::Masking;
use gateway_core::sql::catalog::{CatalogRows, QUERIES};
use gateway_core::sql::{Catalog, Parsed, SessionState};
use gateway_core::verdict::Judge;
use jiff::Timestamp;
use tallyport_access::Identity;
use tallyport_access::policy::{AskContext, PolicySet};
use tallyport_eventlog::{Appender, AppenderOptions, EmbeddedOptions, LogUrl, open};
use tallyport_gateway::connect::{ConnectConfig, Connector, StaticToken};
use tallyport_gateway::front::{Front, FrontConfig, RunningFront};
use tallyport_gateway::tls::{DevCa, ServerIdentity};
use tallyport_gateway::{
    BearerToken, ConnectRequest, OpenTunnel, Refusal, TunnelIo, TunnelService, TurnedAway,
};
use tallyport_schemas::{
    AgentAttributes, AuthMethod, Body, CommandId, Context, Draft, Integrity, Principal,
    PrincipalKind, ProducerId, Recording, TargetKind, TargetRef,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn Error + Send + Sync>;

const DEFAULT_SECONDS: u64 = 3;
/// About what pgbench sends for one Bind, Execute and Sync, and gets for it.
const MESSAGE_BYTES: usize = 80;
/// As `pgbench -S` asks, over a table that the catalog of the fixture has.
const STATEMENT: &str = "SELECT name FROM app.customers WHERE id = $1";
const TURN: Duration = Duration::from_secs(1);

fn main() -> Result<(), Failure> {
    // `cargo bench` passes `--bench`.
    let seconds = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(DEFAULT_SECONDS);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(seconds))
}

async fn measure(seconds: u64) -> Result<(), Failure> {
    let dir = tempfile::tempdir_in(std::env::current_dir()?)?;
    let log = open(&LogUrl::Embedded(EmbeddedOptions::new(dir.path().join("log")))).await?;
    let id = ProducerId::parse("bench")?;
    let appender = Appender::start(log, id, "gateway", AppenderOptions::default()).await?;
    let plain = echo_server().await?;
    let tunnels = Tunnels::start(dir.path()).await?;
    let bench = JudgeBench::new()?;
    let mut direct = TcpStream::connect(plain).await?;
    let mut quic = TcpStream::connect(tunnels.quic).await?;
    let mut tls = TcpStream::connect(tunnels.tcp).await?;
    direct.set_nodelay(true)?;
    quic.set_nodelay(true)?;
    tls.set_nodelay(true)?;
    let mut stages: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    // Turns of a second each, so that what else the machine does meets all of them alike.
    for _ in 0..seconds {
        for (name, stream) in [
            ("1 loopback TCP, round trip", &mut direct),
            ("2 connect + QUIC front, round trip", &mut quic),
            ("3 connect + TLS/HTTP2 front, round trip", &mut tls),
        ] {
            let times = stages.entry(name).or_default();
            let end = Instant::now() + TURN;
            while Instant::now() < end {
                times.push(round_trip(stream).await?);
            }
        }
        let parse = stages.entry("4 parse (once per prepared statement)").or_default();
        for_a_turn(parse, || Parsed::parse(STATEMENT).map(|_| ()).map_err(Into::into))?;
        let judge = stages.entry("5 judge (analysis, Cedar)").or_default();
        for_a_turn(judge, || bench.judge())?;
        let commits = stages.entry("6 commit, durable (twice per statement)").or_default();
        let end = Instant::now() + TURN;
        while Instant::now() < end {
            let started = Instant::now();
            let _on_record = appender.commit(event()).await?;
            commits.push(started.elapsed());
        }
    }
    print(&mut stages);
    appender.stop().await?;
    Ok(())
}

fn print(stages: &mut BTreeMap<&str, Vec<Duration>>) {
    println!("profile: {}", if cfg!(debug_assertions) { "dev" } else { "release" });
    println!("{:<44} {:>9} {:>9}", "stage, one client", "p50 us", "p99 us");
    for (name, times) in stages {
        times.sort_unstable();
        let at = |percent: usize| {
            let time = times.get(times.len() * percent / 100).copied().unwrap_or_default();
            time.as_secs_f64() * 1e6
        };
        println!("{name:<44} {:>9.1} {:>9.1}", at(50), at(99));
    }
}

fn for_a_turn(
    times: &mut Vec<Duration>,
    mut work: impl FnMut() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let end = Instant::now() + TURN;
    while Instant::now() < end {
        let started = Instant::now();
        work()?;
        times.push(started.elapsed());
    }
    Ok(())
}

async fn round_trip(stream: &mut TcpStream) -> Result<Duration, Failure> {
    let mut bytes = [7; MESSAGE_BYTES];
    let started = Instant::now();
    stream.write_all(&bytes).await?;
    stream.read_exact(&mut bytes).await?;
    Ok(started.elapsed())
}

/// About the size of a command's event.
fn event() -> Draft {
    let body = Integrity::ProducerStarted { version: "x".repeat(900), role: "bench".to_owned() };
    Draft::new(Context::default().into(), None, Body::Integrity(body))
}

async fn echo_server() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _same = stream.set_nodelay(true);
            tokio::spawn(echo(Box::new(stream)));
        }
    });
    Ok(address)
}

async fn echo(mut io: Box<dyn TunnelIo>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = io.read(&mut buffer).await {
        let Some(bytes) = buffer.get(..count) else { return };
        if io.write_all(bytes).await.is_err() || io.flush().await.is_err() {
            return;
        }
    }
}

/// A service behind the front that knows no PostgreSQL, so that the way alone is measured.
struct Echo;

struct EchoTunnel;

#[async_trait]
impl TunnelService for Echo {
    async fn open(&self, _request: ConnectRequest) -> Result<Box<dyn OpenTunnel>, Refusal> {
        Ok(Box::new(EchoTunnel))
    }

    fn turned_away(&self, _who: TurnedAway) {}
}

#[async_trait]
impl OpenTunnel for EchoTunnel {
    async fn run(self: Box<Self>, io: Box<dyn TunnelIo>) {
        echo(io).await;
    }
}

/// Local ports as `tallyport connect` opens them, over each transport.
struct Tunnels {
    quic: SocketAddr,
    tcp: SocketAddr,
    _front: RunningFront,
}

impl Tunnels {
    async fn start(dir: &std::path::Path) -> Result<Self, Failure> {
        let ca = DevCa::create_or_load(&dir.join("tls"))?;
        let identity = ServerIdentity::load(&ca.cert_path(), &ca.key_path())?;
        let config = FrontConfig::new("127.0.0.1:0".parse()?, identity);
        let front = Front::start(config, Arc::new(Echo), axum::Router::new()).await?;
        let quic = forward(&front.quic_addr, &ca, false).await?;
        let tcp = forward(&front.tcp_addr, &ca, true).await?;
        Ok(Self { quic, tcp, _front: front })
    }
}

async fn forward(gateway: &SocketAddr, ca: &DevCa, tcp_only: bool) -> Result<SocketAddr, Failure> {
    let token = Arc::new(StaticToken::new(BearerToken::new("bench".to_owned())));
    let mut config = ConnectConfig::new(format!("localhost:{}", gateway.port()), token);
    config.ca = Some(ca.ca_path());
    config.tcp_only = tcp_only;
    let connector = Arc::new(Connector::new(config)?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(
        async move { connector.forward(listener, "echo", CancellationToken::new()).await },
    );
    Ok(address)
}

struct JudgeBench {
    judge: Judge,
    parsed: Parsed,
    state: SessionState,
    context: AskContext,
}

impl JudgeBench {
    fn new() -> Result<Self, Failure> {
        let json = include_str!("../../gateway/core/tests/fixtures/judged-catalog.json");
        let all: BTreeMap<String, Vec<Vec<Option<String>>>> = serde_json::from_str(json)?;
        let mut rows = CatalogRows::default();
        for query in QUERIES {
            rows.insert(query, all.get(query.name).cloned().unwrap_or_default());
        }
        let catalog = Arc::new(Catalog::from_rows(rows)?);
        let policy = include_str!("../../tests/fixtures/allow-all.cedar");
        let policies = Arc::new(PolicySet::parse(policy, "allow-all.cedar")?);
        let identity = Identity {
            method: AuthMethod::Oidc,
            principal: Principal {
                issuer: "https://issuer.example".to_owned(),
                subject: "agent-1".to_owned(),
                display_name: "agent-1".to_owned(),
                kind: PrincipalKind::Agent,
                groups: vec!["agents".to_owned()],
                owner: None,
            },
            delegation: Vec::new(),
            agent: AgentAttributes::default(),
            scopes: Default::default(),
            expires_at: Timestamp::MAX,
            token_id: None,
            key_id: None,
            binding: None,
            email: None,
        };
        let target = TargetRef {
            name: "sample".to_owned(),
            kind: TargetKind::Postgresql,
            database: Some(catalog.database().to_owned()),
        };
        let state = SessionState::new(catalog.search_path().to_vec());
        let context = AskContext::at(Timestamp::now());
        let asker = policies.asker(&identity);
        let masking = Masking::parse("", "none.toml")?;
        let judge = Judge::new(asker, &target, catalog, &masking, Recording::Full, &context);
        Ok(Self { judge, parsed: Parsed::parse(STATEMENT)?, state, context })
    }

    fn judge(&self) -> Result<(), Failure> {
        let verdict = self.judge.judge(&self.parsed, &self.state, &self.context, CommandId::new());
        if verdict.is_allowed() { Ok(()) } else { Err("the statement was denied".into()) }
    }
}
