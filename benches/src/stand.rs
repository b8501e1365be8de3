//! The gateway alone, in this process, without recorder and query service; `connect` in a child, which is this program
//! again: a bench starts by [`run`].

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_core::masking::Masking;
use tallyport_access::Authenticator;
use tallyport_access::dev_issuer::{DevClient, DevIssuer};
use tallyport_access::policy::PolicyStore;
use tallyport_eventlog::backends::memory::MemoryLog;
use tallyport_eventlog::{Appender, AppenderOptions, EmbeddedOptions, Log, LogUrl, open};
use tallyport_gateway::config::{
    AnyTarget, GatewayConfig, GatewayLimits, McpConfig, RawAnyTarget, RawMcp,
};
use tallyport_gateway::connect::{ConnectConfig, Connector, TokenFile};
use tallyport_gateway::front::{Front, FrontConfig, RunningFront};
use tallyport_gateway::targets::MaskingStore;
use tallyport_gateway::tls::{DevCa, ServerIdentity};
use tallyport_gateway::{Gateway, api};
use tallyport_schemas::{Body, Context, Draft, Integrity, PrincipalKind, ProducerId};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Failure;
use crate::figures::Waits;

/// Everything is permitted, nothing masked, all of every answer recorded.
pub const ALLOW_ALL: &str = include_str!("../../tests/fixtures/allow-all.cedar");
/// PostgreSQL as a target.
pub const TARGET: &str = "sample";
/// An upstream as a target.
pub const SERVICE: &str = "rest";
/// An upstream as an MCP server.
pub const SERVER: &str = "orders";
const CLIENT: &str = "bench-agent";
/// Tokens live longer than any run.
const TOKEN_SECONDS: &str = "3600";
const CONNECT: &str = "--connect";
/// Ids of 32 digits in an event of an append: it has the size of a command's then.
const APPEND_IDS: usize = 28;

/// What a stand is made of.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The port of a PostgreSQL on this machine, where that is the target.
    pub target: Option<u16>,
    /// The port of an [upstream](crate::upstream), where that is the HTTP target [`SERVICE`] and the MCP server [`SERVER`].
    pub upstream: Option<u16>,
    /// Cedar.
    pub policy: &'static str,
    /// A log in memory instead of the embedded one, which takes the disk and SQLite away.
    pub in_memory: bool,
    /// Sessions that may be open at once, of the one principal that there is.
    pub sessions: usize,
}

impl Setup {
    /// What most benches want.
    #[must_use]
    pub const fn new(target: u16) -> Self {
        Self { target: Some(target), ..Self::without() }
    }

    /// The same before an upstream of calls.
    #[must_use]
    pub const fn before(upstream: u16) -> Self {
        Self { upstream: Some(upstream), ..Self::without() }
    }

    const fn without() -> Self {
        Self { target: None, upstream: None, policy: ALLOW_ALL, in_memory: false, sessions: 4096 }
    }

    fn targets(self) -> Result<Vec<AnyTarget>, Failure> {
        let postgres = self.target.map(|port| {
            serde_json::json!({
                "name": TARGET, "address": format!("127.0.0.1:{port}"), "database": "postgres",
                "user": "postgres", "sslmode": "disable",
            })
        });
        let http = self.upstream.map(|port| {
            serde_json::json!({
                "kind": "http", "name": SERVICE, "url": format!("http://127.0.0.1:{port}"), "limits": no_limits(),
                "routes": [{ "name": "order", "method": "GET", "path": "/orders/{id}" }],
            })
        });
        let raw = postgres.into_iter().chain(http);
        raw.map(|raw| {
            let raw: RawAnyTarget = serde_json::from_value(raw)?;
            Ok(raw.check(Path::new("/"))?)
        })
        .collect()
    }

    fn mcp(self) -> Result<Option<McpConfig>, Failure> {
        let Some(port) = self.upstream else { return Ok(None) };
        let raw: RawMcp = serde_json::from_value(serde_json::json!({
            "servers": [{
                "name": SERVER, "url": format!("http://127.0.0.1:{port}/mcp"), "timeout_seconds": 3600,
                "limits": no_limits(),
            }],
        }))?;
        let mut config = raw.check(Path::new("/"))?;
        config.limits.max_calls = self.sessions;
        config.limits.max_calls_per_principal = self.sessions;
        Ok(Some(config))
    }
}

/// A running gateway.
pub struct Stand {
    front: RunningFront,
    gateway: Gateway,
    appender: Appender,
    _issuer: DevIssuer,
    dir: TempDir,
}

impl Stand {
    /// Starts it on a directory below the current one, so that the log is on the disk that one means.
    ///
    /// # Errors
    /// When a part does not start.
    pub async fn start(setup: Setup) -> Result<Self, Failure> {
        let dir = tempfile::tempdir_in(std::env::current_dir()?)?;
        let client = DevClient { kind: PrincipalKind::Agent, ..DevClient::new(CLIENT) };
        let issuer = DevIssuer::start("127.0.0.1:0".parse()?, vec![client]).await?;
        std::fs::write(dir.path().join("token"), token(&issuer).await?)?;
        let log: Arc<dyn Log> = if setup.in_memory {
            Arc::new(MemoryLog::new())
        } else {
            open(&LogUrl::Embedded(EmbeddedOptions::new(dir.path().join("log")))).await?
        };
        let id = ProducerId::parse("bench/gateway")?;
        let appender = Appender::start(log, id, "gateway", AppenderOptions::default()).await?;
        let ca = DevCa::create_or_load(&dir.path().join("tls"))?;
        let identity = ServerIdentity::load(&ca.cert_path(), &ca.key_path())?;
        let limits = GatewayLimits {
            max_sessions: setup.sessions,
            max_sessions_per_principal: setup.sessions,
            ..GatewayLimits::default()
        };
        let config = GatewayConfig {
            targets: setup.targets()?,
            limits,
            mcp: setup.mcp()?,
            names: identity.names().to_vec(),
            seal: identity.seal(),
            ..GatewayConfig::default()
        };
        let authenticator = Authenticator::new(vec![issuer.issuer_config()])?;
        let policy = PolicyStore::from_text(setup.policy, "bench.cedar")?;
        let masking = MaskingStore::fixed(Masking::parse("", "none.toml")?);
        let gateway = Gateway::start(config, authenticator, policy, masking, appender.clone())?;
        let front = FrontConfig::new("127.0.0.1:0".parse()?, identity);
        let front = Front::start(front, Arc::new(gateway.clone()), api::router(&gateway)).await?;
        Ok(Self { front, gateway, appender, _issuer: issuer, dir })
    }

    /// `connect` as a process of its own, with a port for ordinary clients of PostgreSQL.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn connect(&self) -> Result<(Peer, u16), Failure> {
        self.connect_to(TARGET).await
    }

    /// The same for clients of another target.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn connect_to(&self, target: &str) -> Result<(Peer, u16), Failure> {
        let mut peer = self.spawn(CONNECT, &[target])?;
        let port = peer.line().await?.parse()?;
        Ok((peer, port))
    }

    /// This program again as `role`, with what it needs to reach the gateway and `more` behind it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, role: &str, more: &[&str]) -> Result<Peer, Failure> {
        let reach = [self.front.quic_addr.to_string(), path(self.ca()?)?, path(self.token_file())?];
        Peer::start(role, reach.iter().map(String::as_str).chain(more.iter().copied()))
    }

    /// `https://localhost:PORT` of its front over TCP.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.front.tcp_addr.port())
    }

    /// The token of the one client, in a file.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.dir.path().join("token")
    }

    /// The certificate that its front shows, its key, and the CA of it.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn certificate(&self) -> Result<[String; 3], Failure> {
        let ca = DevCa::create_or_load(&self.dir.path().join("tls"))?;
        Ok([path(ca.cert_path())?, path(ca.key_path())?, path(ca.ca_path())?])
    }

    /// How long a durable append of so many events takes, by the gateway's own writer, one after another.
    ///
    /// One of the events has what does not compress, as a call's has in its ids and digests; less of it than a call's.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub async fn appends(&self, events: usize, count: usize) -> Result<Waits, Failure> {
        let mut waits = Waits::new();
        for _ in 0..count {
            let random = || Uuid::new_v4().simple().to_string();
            let content: String = std::iter::repeat_with(random).take(APPEND_IDS).collect();
            let others = std::iter::repeat_n(String::new(), events - 1);
            let drafts: Vec<Draft> = std::iter::once(content).chain(others).map(draft).collect();
            let began = Instant::now();
            let _on_record = self.appender.commit(drafts).await?;
            waits.add(began.elapsed());
        }
        Ok(waits)
    }

    /// Bytes of its log on disk, its index and what is not merged yet included.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        let files = std::fs::read_dir(self.dir.path().join("log")).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|data| data.len()).sum()
    }

    /// Ends it at once.
    pub async fn stop(self) {
        self.gateway.shutdown(Duration::ZERO).await;
        self.front.shutdown(Duration::ZERO).await;
    }

    fn ca(&self) -> Result<PathBuf, Failure> {
        Ok(DevCa::create_or_load(&self.dir.path().join("tls"))?.ca_path())
    }
}

/// A child of this bench. It ends with its owner.
pub struct Peer {
    child: Child,
    /// What it waits for.
    pub stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    /// This program again as `role`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start<'a>(
        role: &'a str,
        arguments: impl Iterator<Item = &'a str>,
    ) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(role)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let stdin = child.stdin.take().ok_or("no standard input")?;
        Ok(Self { child, stdin, lines: BufReader::new(stdout).lines() })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// The next line that it prints.
    ///
    /// # Errors
    /// When it ended.
    pub async fn line(&mut self) -> Result<String, Failure> {
        self.lines.next_line().await?.ok_or_else(|| "the child ended (see above)".into())
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn kill(mut self) -> Result<(), Failure> {
        Ok(self.child.kill().await?)
    }
}

/// Runs a bench: as `connect` when the arguments say so, which [`Stand::connect`] sees to, else what `measure` does with
/// them.
///
/// # Errors
/// The first thing that went wrong.
pub fn run(measure: impl AsyncFnOnce(Vec<String>) -> Result<(), Failure>) -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match role(&arguments, CONNECT) {
            Some(rest) => connect(rest).await,
            None => measure(arguments).await,
        }
    })
}

/// What follows `role`, where this is the child that [`Stand::spawn`] started as that.
#[must_use]
pub fn role<'a>(arguments: &'a [String], role: &str) -> Option<&'a [String]> {
    let [_program, first, rest @ ..] = arguments else { return None };
    (first == role).then_some(rest)
}

async fn connect(arguments: &[String]) -> Result<(), Failure> {
    let connector = Arc::new(connector(arguments)?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let target = arguments.get(3).map_or(TARGET, String::as_str);
    Ok(connector.forward(listener, target, CancellationToken::new()).await?)
}

/// A connector by the arguments of [`Stand::spawn`].
///
/// # Errors
/// When they are not that.
pub fn connector(arguments: &[String]) -> Result<Connector, Failure> {
    let [gateway, ca, token, ..] = arguments else { return Err("GATEWAY CA TOKEN".into()) };
    let token = Arc::new(TokenFile::new(PathBuf::from(token)));
    let mut config = ConnectConfig::new(gateway.clone(), token);
    config.server_name = Some("localhost".to_owned());
    config.ca = Some(PathBuf::from(ca));
    Ok(Connector::new(config)?)
}

fn draft(version: String) -> Draft {
    let body = Integrity::ProducerStarted { version, role: "bench".to_owned() };
    Draft::new(Context::default().into(), None, Body::Integrity(body))
}

/// A path as an argument.
///
/// # Errors
/// When it is no text.
pub(crate) fn path(path: PathBuf) -> Result<String, Failure> {
    path.into_os_string()
        .into_string()
        .map_err(|path| format!("{} is no text", path.display()).into())
}

fn no_limits() -> serde_json::Value {
    serde_json::json!({
        "max_requests": 100_000, "max_requests_per_principal": 100_000, "requests_per_minute": u32::MAX,
    })
}

async fn token(issuer: &DevIssuer) -> Result<String, Failure> {
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
    Ok(token.ok_or("the issuer gave no token")?.to_owned())
}
