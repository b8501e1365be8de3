//! The gateway alone, in this process, without recorder and query service; `connect` in a child, which is this program
//! again: a bench starts by [`run`].

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

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
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_util::sync::CancellationToken;

use crate::Failure;

/// Everything is permitted, nothing masked, all of every answer recorded.
pub const ALLOW_ALL: &str = include_str!("../../tests/fixtures/allow-all.cedar");
/// The one target.
pub const TARGET: &str = "sample";
const CLIENT: &str = "bench-agent";
/// Tokens live longer than any run.
const TOKEN_SECONDS: &str = "3600";
const CONNECT: &str = "--connect";

/// What a stand is made of.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The target's port on this machine.
    pub target: u16,
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
        Self { target, policy: ALLOW_ALL, in_memory: false, sessions: 4096 }
    }
}

/// A running gateway.
pub struct Stand {
    front: RunningFront,
    gateway: Gateway,
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
        let target: RawTarget = serde_json::from_value(serde_json::json!({
            "name": TARGET, "address": format!("127.0.0.1:{}", setup.target), "database": "postgres",
            "user": "postgres", "sslmode": "disable",
        }))?;
        let limits = GatewayLimits {
            max_sessions: setup.sessions,
            max_sessions_per_principal: setup.sessions,
            ..GatewayLimits::default()
        };
        let config = GatewayConfig {
            targets: vec![target.check(Path::new("/"))?.into()],
            limits,
            ..GatewayConfig::default()
        };
        let authenticator = Authenticator::new(vec![issuer.issuer_config()])?;
        let policy = PolicyStore::from_text(setup.policy, "bench.cedar")?;
        let masking = MaskingStore::fixed(Masking::parse("", "none.toml")?);
        let gateway = Gateway::start(config, authenticator, policy, masking, appender.clone())?;
        let ca = DevCa::create_or_load(&dir.path().join("tls"))?;
        let identity = ServerIdentity::load(&ca.cert_path(), &ca.key_path())?;
        let front = FrontConfig::new("127.0.0.1:0".parse()?, identity);
        let front = Front::start(front, Arc::new(gateway.clone()), api::router(&gateway)).await?;
        Ok(Self { front, gateway, _issuer: issuer, dir })
    }

    /// `connect` as a process of its own, with a port for ordinary clients.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn connect(&self) -> Result<(Peer, u16), Failure> {
        let mut peer = self.spawn(CONNECT, &[])?;
        let port = peer.line().await?.parse()?;
        Ok((peer, port))
    }

    /// This program again as `role`, with what it needs to reach the gateway and `more` behind it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(&self, role: &str, more: &[&str]) -> Result<Peer, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([role, &self.front.quic_addr.to_string()])
            .args([self.ca()?, self.dir.path().join("token")])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let stdin = child.stdin.take().ok_or("no standard input")?;
        Ok(Peer { child, stdin, lines: BufReader::new(stdout).lines() })
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
    Ok(connector.forward(listener, TARGET, CancellationToken::new()).await?)
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
