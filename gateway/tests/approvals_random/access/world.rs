//! Three gateways over one log, their target, and the sessions that clients have there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as Polled, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body as HttpBody;
use axum::extract::ConnectInfo;
use http::Request;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use serde_json::Value;
use tallyport_eventlog::backends::memory::MemoryLog;
use tallyport_eventlog::faults::FaultLog;
use tallyport_eventlog::{Appender, AppenderOptions, Log, Topic};
use tallyport_gateway::config::{GatewayConfig, RawTarget};
use tallyport_gateway::targets::MaskingStore;
use tallyport_gateway::{
    BearerToken, ConnectRequest, Gateway, OpenTunnel, TunnelService as _, api,
};
use tallyport_schemas::{Front, ProducerId, TraceId};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf,
};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tower::ServiceExt as _;

use super::cast::Cast;
use super::journal::{Asked, Journal, Label, Node, Opening, Tap, What};
use crate::backend::{Backend, Watch};

/// Every so many statements one takes the target a while.
const SLOW: u64 = 4;
const SLOW_TIME: Duration = Duration::from_millis(15);

/// A gateway that runs.
#[derive(Clone)]
pub struct Running {
    pub node: Node,
    pub gateway: Gateway,
    pub lag: Arc<AtomicU64>,
}

/// A client with a tunnel.
pub struct Client {
    pub label: Label,
    node: Node,
    /// Until its first packet.
    tunnel: Option<Box<dyn OpenTunnel>>,
    says: mpsc::UnboundedSender<Vec<u8>>,
    said: Option<mpsc::UnboundedReceiver<Vec<u8>>>,
    task: Option<AbortHandle>,
}

pub struct World {
    pub cast: Cast,
    pub journal: Arc<Journal>,
    pub log: Arc<FaultLog>,
    backend: Backend,
    started: AtomicU64,
    labels: AtomicU64,
    calls: AtomicU64,
    statements: AtomicU64,
    pub clients: Mutex<Vec<Client>>,
}

struct Target(Arc<Journal>);

#[async_trait]
impl Watch for Target {
    fn dialled(&self, startup: &BTreeMap<String, String>) {
        // The gateway's user there says which target and which gateway; the client's name which session.
        let (target, node) = startup["user"].split_once('-').unwrap();
        let label = startup["application_name"].strip_prefix('s').map(|it| it.parse().unwrap());
        self.0.note(What::Dialled(node.parse().unwrap(), target.to_owned(), label));
    }

    async fn runs(&self, text: &str) {
        self.0.note(What::Ran(text.to_owned()));
        let number: u64 = text.rsplit(' ').next().unwrap().parse().unwrap();
        if number.is_multiple_of(SLOW) {
            tokio::time::sleep(SLOW_TIME).await;
        }
    }
}

/// The gateway's end of a tunnel: what is sent to the agent is noted.
struct Door {
    io: DuplexStream,
    label: Label,
    journal: Arc<Journal>,
}

impl AsyncRead for Door {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Polled<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Door {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Polled<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes));
        if let (Ok(1..), Some(first)) = (&written, bytes.first()) {
            self.journal.note(What::Told(self.label, *first));
        }
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Polled<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Polled<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl World {
    pub async fn new(cast: Cast) -> Self {
        let journal = Arc::new(Journal::default());
        Self {
            cast,
            log: Arc::new(FaultLog::new(Arc::new(MemoryLog::new()))),
            backend: Backend::start(Arc::new(Target(Arc::clone(&journal)))).await,
            journal,
            started: AtomicU64::new(0),
            labels: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            statements: AtomicU64::new(1),
            clients: Mutex::default(),
        }
    }

    /// Starts a gateway that is handed the first piece of the control log so many microseconds late.
    pub async fn start(&self, lag: u64) -> Running {
        let node = self.started.fetch_add(1, Ordering::Relaxed);
        let length = self.log.inner().latest(Topic::Control, 0).await.unwrap();
        self.journal.note(What::Started(node, length));
        let target = |name: &str| {
            let text = format!(
                "name = '{name}'\naddress = '{}'\ndatabase = 'postgres'\nuser = '{name}-{node}'\nsslmode = 'disable'\ncatalog_refresh_seconds = 3600\n",
                self.backend.addr
            );
            let raw: RawTarget = toml::from_str(&text).unwrap();
            raw.check(Path::new("/")).unwrap()
        };
        let targets = vec![target("open").into(), target("locked").into()];
        let id = ProducerId::parse(format!("g{node}/gateway")).unwrap();
        let lag = Arc::new(AtomicU64::new(lag));
        let (log, journal) = (Arc::clone(&self.log), Arc::clone(&self.journal));
        let tap: Arc<dyn Log> = Arc::new(Tap { log, node, journal, lag: Arc::clone(&lag) });
        // Its first event may meet a fault of the script: then it starts again, as a service manager would have it.
        let appender = loop {
            let options = AppenderOptions::default();
            match Appender::start(Arc::clone(&tap), id.clone(), "gateway", options).await {
                Ok(appender) => break appender,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        let config = GatewayConfig { targets, ..GatewayConfig::default() };
        let (authenticator, policy) = (self.cast.authenticator.clone(), self.cast.policy.clone());
        let gateway =
            Gateway::start(config, authenticator, policy, MaskingStore::none(), appender).unwrap();
        Running { node, gateway, lag }
    }

    /// Asks for a tunnel; nothing is sent on it yet.
    pub async fn open(
        &self,
        at: &Running,
        who: &'static str,
        target: &'static str,
    ) -> Option<Client> {
        let label = self.labels.fetch_add(1, Ordering::Relaxed);
        let trace_id = TraceId::new();
        let request = ConnectRequest {
            target: target.to_owned(),
            token: Some(BearerToken::new(self.cast.token(who))),
            proof: None,
            certificate: None,
            peer: "192.0.2.7:4711".parse().unwrap(),
            front: Front::Quic,
            trace_id,
        };
        let node = at.node;
        self.journal.note(What::Opening(Opening { label, node, who, target, trace_id }));
        match at.gateway.open(request).await {
            Ok(tunnel) => {
                self.journal.note(What::LetIn(label));
                let (says, said) = mpsc::unbounded_channel();
                let (tunnel, said) = (Some(tunnel), Some(said));
                Some(Client { label, node, tunnel, says, said, task: None })
            }
            Err(refusal) => {
                self.journal.note(What::Refused(label, refusal.status, refusal.code));
                None
            }
        }
    }

    /// Sends a session's first packet, and a statement behind it.
    pub fn begin(&self, client: &mut Client) {
        let (Some(tunnel), Some(mut said)) = (client.tunnel.take(), client.said.take()) else {
            return;
        };
        let label = client.label;
        let (mut ours, io) = tokio::io::duplex(64 * 1024);
        let body = format!("user\0u\0application_name\0s{label}\0\0");
        let body = [&(3_u32 << 16).to_be_bytes()[..], body.as_bytes()].concat();
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        let hello = [&length[..], &body].concat();
        self.say(client);
        self.journal.note(What::Starting(label));
        let talk = tokio::spawn(async move {
            let mut sink = vec![0; 64 * 1024];
            let _gone = ours.write_all(&hello).await;
            loop {
                tokio::select! {
                    read = ours.read(&mut sink) => match read {
                        Ok(1..) => {}
                        _ => return,
                    },
                    Some(bytes) = said.recv() => {
                        let _gone = ours.write_all(&bytes).await;
                    }
                }
            }
        });
        client.task = Some(talk.abort_handle());
        let journal = Arc::clone(&self.journal);
        tokio::spawn(async move {
            let door = Door { io, label, journal: Arc::clone(&journal) };
            tunnel.run(Box::new(door)).await;
            journal.note(What::Over(label));
        });
    }

    /// Whoever was let in at this gateway begins: it waits for them when it stops.
    pub fn begin_all(&self, node: Node) {
        for client in self.clients.lock().iter_mut().filter(|client| client.node == node) {
            self.begin(client);
        }
    }

    /// One statement that nobody else says.
    pub fn say(&self, client: &Client) {
        let number = self.statements.fetch_add(1, Ordering::Relaxed);
        let text = format!("DELETE FROM app.orders WHERE id = {number}");
        let length = u32::try_from(text.len() + 5).unwrap().to_be_bytes();
        let _gone = client.says.send([b"Q", &length[..], text.as_bytes(), b"\0"].concat());
    }

    /// The client goes without a goodbye.
    pub fn leave(&self, mut client: Client) {
        self.begin(&mut client);
        self.journal.note(What::Left(client.label));
        if let Some(task) = &client.task {
            task.abort();
        }
    }

    /// Asks the API.
    pub async fn call(
        &self,
        at: &Running,
        who: &'static str,
        path: String,
        body: Option<Value>,
    ) -> (u16, Value) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let peer: SocketAddr = "192.0.2.9:4712".parse().unwrap();
        let sent = body.as_ref().map_or_else(String::new, Value::to_string);
        let request = Request::builder()
            .method(if body.is_some() { "POST" } else { "GET" })
            .uri(&path)
            .header("authorization", format!("Bearer {}", self.cast.token(who)))
            .extension(ConnectInfo(peer))
            .extension(Front::Tcp)
            .extension(TraceId::new())
            .body(HttpBody::from(sent))
            .unwrap();
        self.journal.note(What::Asked(Asked { call, node: at.node, who, path, body }));
        let answer = api::router(&at.gateway).oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        self.journal.note(What::Answered(call, status, body.clone()));
        (status, body)
    }
}
