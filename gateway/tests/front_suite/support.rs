//! A gateway with the double of a service, and ways to reach it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tallyport_gateway::connect::{ConnectConfig, Connector, StaticToken};
use tallyport_gateway::front::{Authenticated, Front, FrontConfig, Limits, RunningFront};
use tallyport_gateway::tls::{DevCa, ServerIdentity};
use tallyport_gateway::{
    BearerToken, ConnectRequest, OpenTunnel, Refusal, TunnelIo, TunnelService, TurnedAway,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, mpsc};

/// The one token that the double takes.
pub const GOOD_TOKEN: &str = "good-token";
/// No condition of a test may take longer.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// What `source` sends.
pub const SOURCE_BYTES: usize = 8 << 20;

/// How a tunnel's read ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    Eof,
    Error,
}

/// Echoes; and has targets that misbehave on purpose.
pub struct Double {
    /// One entry for every tunnel that ended.
    ended: mpsc::UnboundedSender<Ended>,
    /// Lets `stuck` go on.
    pub release: Arc<Notify>,
    pub opened: AtomicUsize,
    /// Every request that reached the service.
    pub asked: AtomicUsize,
}

impl Double {
    pub fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Ended>) {
        let (sender, ended) = mpsc::unbounded_channel();
        let double = Self {
            ended: sender,
            release: Arc::default(),
            opened: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
        };
        (Arc::new(double), ended)
    }
}

#[async_trait]
impl TunnelService for Double {
    async fn open(&self, request: ConnectRequest) -> Result<Box<dyn OpenTunnel>, Refusal> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let refuse = |status, code, message: &str| Err(Refusal::new(status, code, message));
        match &request.token {
            Some(token) if token.expose() == GOOD_TOKEN => {}
            _ => return refuse(401, "invalid_token", "the token is not valid; get a new one"),
        }
        match request.target.as_str() {
            "echo" | "sink" | "stuck" | "source" | "answer" => {}
            "denied" => return refuse(403, "denied_by_policy", "reading payroll is not allowed"),
            "down" => return refuse(503, "log_unavailable", "the log takes no events; try again"),
            "nonce" => {
                let refusal = Refusal::new(401, "use_dpop_nonce", "make the proof again");
                return Err(Refusal { nonce: Some("the-nonce".to_owned()), ..refusal });
            }
            "never" => std::future::pending().await,
            _ => return refuse(404, "unknown_target", "there is no target of that name"),
        }
        self.opened.fetch_add(1, Ordering::SeqCst);
        let (ended, release) = (self.ended.clone(), self.release.clone());
        Ok(Box::new(DoubleTunnel { target: request.target, ended, release }))
    }

    fn turned_away(&self, _who: TurnedAway) {}
}

struct DoubleTunnel {
    target: String,
    ended: mpsc::UnboundedSender<Ended>,
    release: Arc<Notify>,
}

#[async_trait]
impl OpenTunnel for DoubleTunnel {
    async fn run(self: Box<Self>, mut io: Box<dyn TunnelIo>) {
        let ended = match self.target.as_str() {
            "source" => {
                let block = vec![7; 64 << 10];
                for _ in 0..SOURCE_BYTES / block.len() {
                    if io.write_all(&block).await.is_err() {
                        break;
                    }
                }
                let _ = io.shutdown().await;
                drain(&mut io).await
            }
            "answer" => {
                // Speaks only when it was spoken to.
                let asked = drain(&mut io).await;
                let said = io.write_all(&vec![7; SOURCE_BYTES]).await;
                if asked == Ended::Eof && said.is_ok() { Ended::Eof } else { Ended::Error }
            }
            "sink" | "stuck" => {
                // Reads nothing until it is let go.
                self.release.notified().await;
                drain(&mut io).await
            }
            _ => echo(&mut io).await,
        };
        let _ = self.ended.send(ended);
    }
}

async fn echo(io: &mut Box<dyn TunnelIo>) -> Ended {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match io.read(&mut buffer).await {
            Ok(0) => {
                let _ = io.shutdown().await;
                return Ended::Eof;
            }
            Ok(count) => {
                if io.write_all(&buffer[..count]).await.is_err() || io.flush().await.is_err() {
                    return Ended::Error;
                }
            }
            Err(_) => return Ended::Error,
        }
    }
}

async fn drain(io: &mut Box<dyn TunnelIo>) -> Ended {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match io.read(&mut buffer).await {
            Ok(0) => return Ended::Eof,
            Ok(_) => {}
            Err(_) => return Ended::Error,
        }
    }
}

pub fn api() -> axum::Router {
    async fn whoami(ConnectInfo(peer): ConnectInfo<SocketAddr>, headers: HeaderMap) -> Response {
        let expected = format!("Bearer {GOOD_TOKEN}");
        if headers.get("authorization").is_none_or(|value| value.as_bytes() != expected.as_bytes())
        {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        let mut response = peer.ip().to_string().into_response();
        response.extensions_mut().insert(Authenticated);
        response
    }
    // Holds its body and never reads it.
    async fn hang(_body: axum::body::Body) {
        std::future::pending::<()>().await;
    }
    axum::Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/v1/whoami", get(whoami))
        .route("/v1/echo", post(|body: axum::body::Bytes| async { body }))
        .route("/v1/hang", post(hang))
        .route("/v1/early", post(|| async { "answered" }))
        .merge(crate::departures::routes())
}

/// A running gateway.
pub struct Gateway {
    pub front: RunningFront,
    pub double: Arc<Double>,
    pub ended: mpsc::UnboundedReceiver<Ended>,
    pub identity: ServerIdentity,
    pub ca: DevCa,
    _dir: TempDir,
}

impl Gateway {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Limits)) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), tempfile::tempdir().unwrap(), change).await
    }

    pub async fn at(listen: SocketAddr, dir: TempDir, change: impl FnOnce(&mut Limits)) -> Self {
        let ca = DevCa::create_or_load(&dir.path().join("tls")).unwrap();
        let identity = ServerIdentity::load(&ca.cert_path(), &ca.key_path()).unwrap();
        let mut config = FrontConfig::new(listen, identity.clone());
        change(&mut config.limits);
        // A gateway that was here before may need a moment to let go of its socket.
        until(|| config.quic.port() == 0 || std::net::UdpSocket::bind(config.quic).is_ok()).await;
        let (double, ended) = Double::new();
        let front = Front::start(config, double.clone(), api()).await.unwrap();
        Self { front, double, ended, identity, ca, _dir: dir }
    }

    pub fn ca_path(&self) -> PathBuf {
        self.ca.ca_path()
    }

    pub fn config(&self) -> ConnectConfig {
        self.config_with(GOOD_TOKEN)
    }

    pub fn config_with(&self, token: &str) -> ConnectConfig {
        let token = Arc::new(StaticToken::new(BearerToken::new(token.to_owned())));
        let mut config = ConnectConfig::new(self.front.quic_addr.to_string(), token);
        config.ca = Some(self.ca_path());
        config
    }

    pub fn connector(&self, tcp_only: bool) -> Arc<Connector> {
        let mut config = self.config();
        config.tcp_only = tcp_only;
        Arc::new(Connector::new(config).unwrap())
    }

    pub async fn next_end(&mut self) -> Ended {
        within(self.ended.recv()).await.unwrap()
    }
}

/// Fails the test when `future` takes too long.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it took too long")
}

/// Waits for a condition that nobody announces.
pub async fn until(mut holds: impl FnMut() -> bool) {
    within(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
