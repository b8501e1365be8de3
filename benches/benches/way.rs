//! `pgbench -S -M prepared` through the gateway alone, without recorder and query service: throughput beside a direct
//! connection and beside pgbouncer in session mode, and the processor time of each process per transaction.
//!
//! The gateway runs in this process on an embedded log, `connect` in a child process (this program again), PostgreSQL
//! and pgbench are the real ones. `--log memory` takes the disk and SQLite away, to tell their share.
//!
//! `cargo bench -p tallyport-benches --bench way [-- --clients 1,64 --seconds 5 --log embedded|memory --hold]`;
//! `--hold` stays up after the load and prints the process ids, for a profiler.

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use dev_services::DevService;
use gateway_core::masking::Masking;
use tallyport_access::Authenticator;
use tallyport_access::dev_issuer::{DevClient, DevIssuer};
use tallyport_access::policy::PolicyStore;
use tallyport_eventlog::backends::memory::MemoryLog;
use tallyport_eventlog::{Appender, AppenderOptions, EmbeddedOptions, Log, LogUrl, open};
use tallyport_gateway::config::{GatewayConfig, GatewayLimits, RawTarget};
use tallyport_gateway::connect::{ConnectConfig, Connector, TokenFile};
use tallyport_gateway::front::{Front, FrontConfig, RunningFront};
use tallyport_gateway::targets::MaskingStore;
use tallyport_gateway::tls::{DevCa, ServerIdentity};
use tallyport_gateway::{Gateway, api};
use tallyport_schemas::{PrincipalKind, ProducerId};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn Error + Send + Sync>;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const POLICY: &str = include_str!("../../tests/fixtures/allow-all.cedar");
const CLIENT: &str = "bench-agent";
/// Tokens live longer than any run.
const TOKEN_SECONDS: &str = "3600";

struct Options {
    clients: Vec<u32>,
    seconds: u32,
    in_memory: bool,
    hold: bool,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.first().map(String::as_str) {
        Some("--connect") => runtime.block_on(connect(arguments.get(1..).unwrap_or_default())),
        _ => runtime.block_on(measure(&options(&arguments)?)),
    }
}

fn options(arguments: &[String]) -> Result<Options, Failure> {
    let mut options = Options { clients: vec![1, 64], seconds: 5, in_memory: false, hold: false };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--bench" => {}
            "--clients" => {
                let counts = value()?.split(',').map(str::parse);
                options.clients = counts.collect::<Result<_, _>>()?;
            }
            "--seconds" => options.seconds = value()?.parse()?,
            "--log" => options.in_memory = value()? == "memory",
            "--hold" => options.hold = true,
            // As the other benches take it, for the smoke run.
            seconds => options.seconds = seconds.parse()?,
        }
    }
    Ok(options)
}

async fn measure(options: &Options) -> Result<(), Failure> {
    let postgres = tokio::task::spawn_blocking(|| DevService::start("postgres", &[])).await??;
    let dir = tempfile::tempdir_in(std::env::current_dir()?)?;
    let direct = postgres.port("port");
    // The fixture logs every statement for tests: that is not what is measured.
    run("psql", direct, &["-X", "-q", "-c", "ALTER SYSTEM SET log_statement = 'none'"]).await?;
    run("psql", direct, &["-X", "-q", "-c", "SELECT pg_reload_conf()"]).await?;
    run("pgbench", direct, &["-i", "-q", "-s", "10"]).await?;
    let server = format!("127.0.0.1:{direct}");
    let peer = move || DevService::start("pgbouncer", &["--server", &server]);
    let pgbouncer = tokio::task::spawn_blocking(peer).await??;
    let (_issuer, gateway, front) = start_gateway(dir.path(), options, direct).await?;
    let (mut child, port) = start_connect(dir.path(), front.quic_addr).await?;
    let peer = pgbouncer.port("port");
    for port in [direct, peer, port] {
        load(port, 2, 2).await?;
    }
    println!("profile: {}", if cfg!(debug_assertions) { "dev" } else { "release" });
    println!(
        "{:>7} {:>11} {:>13} {:>11} {:>9} {:>12} {:>14} {:>14}",
        "clients",
        "direct tps",
        "pgbouncer tps",
        "gateway tps",
        "of direct",
        "of pgbouncer",
        "gateway us/tx",
        "connect us/tx"
    );
    for &clients in &options.clients {
        let straight = load(direct, clients, options.seconds).await?;
        let bounced = load(peer, clients, options.seconds).await?;
        let pids = [std::process::id(), child.id().unwrap_or_default()];
        let before = pids.map(processor_us);
        let through = load(port, clients, options.seconds).await?;
        let after = pids.map(processor_us);
        let transactions = through * f64::from(options.seconds);
        let [gateway_us, connect_us] =
            [0, 1].map(|n: usize| spent(&before, &after, n) / transactions);
        let (of_direct, of_peer) = (through / straight, through / bounced);
        println!(
            "{clients:>7} {straight:>11.0} {bounced:>13.0} {through:>11.0} {of_direct:>9.3} {of_peer:>12.3} \
             {gateway_us:>14.1} {connect_us:>14.1}"
        );
    }
    if options.hold {
        println!(
            "port {port}; gateway is process {}, connect {:?}",
            std::process::id(),
            child.id()
        );
        tokio::signal::ctrl_c().await?;
    }
    child.kill().await?;
    gateway.shutdown(std::time::Duration::ZERO).await;
    front.shutdown(std::time::Duration::ZERO).await;
    Ok(())
}

fn spent(before: &[f64; 2], after: &[f64; 2], n: usize) -> f64 {
    after.get(n).copied().unwrap_or_default() - before.get(n).copied().unwrap_or_default()
}

/// Processor time of a process in microseconds, user and system (proc(5), fields 14 and 15, ticks of 10 ms).
fn processor_us(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() * 10_000.0
}

async fn start_gateway(
    dir: &Path,
    options: &Options,
    port: u16,
) -> Result<(DevIssuer, Gateway, RunningFront), Failure> {
    let client = DevClient { kind: PrincipalKind::Agent, ..DevClient::new(CLIENT) };
    let issuer = DevIssuer::start("127.0.0.1:0".parse()?, vec![client]).await?;
    let secret = issuer.clients().first().map(|client| client.secret.expose().to_owned());
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT),
        ("client_secret", &secret.unwrap_or_default()),
        ("ttl", TOKEN_SECONDS),
    ];
    let answer = reqwest::Client::new().post(&issuer.token_url).form(&form).send().await?;
    let answer: serde_json::Value = answer.json().await?;
    let token = answer.get("access_token").and_then(|token| token.as_str());
    std::fs::write(dir.join("token"), token.ok_or("the issuer gave no token")?)?;

    let log: Arc<dyn Log> = if options.in_memory {
        Arc::new(MemoryLog::new())
    } else {
        open(&LogUrl::Embedded(EmbeddedOptions::new(dir.join("log")))).await?
    };
    let id = ProducerId::parse("bench/gateway")?;
    let appender = Appender::start(log, id, "gateway", AppenderOptions::default()).await?;
    let target: RawTarget = toml_target(port)?;
    let config = GatewayConfig {
        targets: vec![target.check(Path::new("/"))?],
        limits: GatewayLimits::default(),
    };
    let authenticator = Authenticator::new(vec![issuer.issuer_config()])?;
    let policy = PolicyStore::from_text(POLICY, "allow-all.cedar")?;
    let masking = MaskingStore::fixed(Masking::parse("", "none.toml")?);
    let gateway = Gateway::start(config, authenticator, policy, masking, appender.clone())?;
    let ca = DevCa::create_or_load(&dir.join("tls"))?;
    let identity = ServerIdentity::load(&ca.cert_path(), &ca.key_path())?;
    let front = FrontConfig::new("127.0.0.1:0".parse()?, identity);
    let front = Front::start(front, Arc::new(gateway.clone()), api::router(appender)).await?;
    Ok((issuer, gateway, front))
}

fn toml_target(port: u16) -> Result<RawTarget, Failure> {
    Ok(serde_json::from_value(serde_json::json!({
        "name": "sample", "address": format!("127.0.0.1:{port}"), "database": "postgres",
        "user": "postgres", "sslmode": "disable",
    }))?)
}

/// This program again, as `tallyport connect` is: a process of its own.
async fn start_connect(dir: &Path, gateway: SocketAddr) -> Result<(Child, u16), Failure> {
    let ca = DevCa::create_or_load(&dir.join("tls"))?.ca_path();
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--connect")
        .arg(gateway.to_string())
        .args([ca, dir.join("token")])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let line = BufReader::new(stdout).lines().next_line().await?;
    Ok((child, line.ok_or("connect did not start")?.parse()?))
}

async fn connect(arguments: &[String]) -> Result<(), Failure> {
    let [gateway, ca, token] = arguments else { return Err("--connect GATEWAY CA TOKEN".into()) };
    let token = Arc::new(TokenFile::new(PathBuf::from(token)));
    let mut config = ConnectConfig::new(gateway.clone(), token);
    config.server_name = Some("localhost".to_owned());
    config.ca = Some(PathBuf::from(ca));
    let connector = Arc::new(Connector::new(config)?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    connector.forward(listener, "sample", CancellationToken::new()).await?;
    Ok(())
}

/// Transactions per second.
async fn load(port: u16, clients: u32, seconds: u32) -> Result<f64, Failure> {
    let (clients, seconds) = (clients.to_string(), seconds.to_string());
    let arguments = ["-n", "-S", "-M", "prepared", "-c", &clients, "-j", "2", "-T", &seconds];
    let out = run("pgbench", port, &arguments).await?;
    let tps = out.lines().find_map(|line| line.strip_prefix("tps = "));
    let tps = tps.and_then(|rest| rest.split_whitespace().next()).ok_or("pgbench told no tps")?;
    Ok(tps.parse()?)
}

async fn run(program: &str, port: u16, arguments: &[&str]) -> Result<String, Failure> {
    let out = Command::new(program)
        .env("PATH", programs())
        .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string()])
        .args(arguments)
        .args(["-d", "postgres"])
        .output()
        .await?;
    if !out.status.success() {
        return Err(String::from_utf8_lossy(&out.stderr).into_owned().into());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Debian keeps pgbench beside the server's programs.
fn programs() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = found.map(|version| version.path().join("bin")).max();
    newest.map_or(path.clone(), |bin| format!("{}:{path}", bin.display()))
}
