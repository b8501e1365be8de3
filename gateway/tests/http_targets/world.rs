//! A gateway with one HTTP target, real tokens and a log that can fail.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tallyport_access::Authenticator;
use tallyport_access::dev_issuer::{DevClient, DevIssuer};
use tallyport_access::policy::PolicyStore;
use tallyport_eventlog::backends::memory::MemoryLog;
use tallyport_eventlog::faults::FaultLog;
use tallyport_eventlog::{Appender, AppenderOptions, Log, Position, Topic};
use tallyport_gateway::config::{GatewayConfig, GatewayLimits, RawAnyTarget};
use tallyport_gateway::front::{Front, FrontConfig, RunningFront};
use tallyport_gateway::targets::MaskingStore;
use tallyport_gateway::tls::{DevCa, ServerIdentity};
use tallyport_gateway::{
    BearerToken, ConnectRequest, Gateway, OpenTunnel, Refusal, TunnelService as _, api,
};
use tallyport_schemas::{
    Body, Command, Decision, Event, Front as CameBy, PrincipalKind, ProducerId,
    Response as Answered, ResponseSummary, Session, TraceId, ocsf,
};
use tokio::io::DuplexStream;

use super::tls;
use super::upstream::{self, SECRET, Upstream};

/// Anything that should happen soon happens within this.
pub const SOON: Duration = Duration::from_secs(20);

const POLICY: &str = r#"
@id("connect") permit (principal in Tallyport::Group::"agents", action == Tallyport::Action::"http:connect", resource)
  when { resource == Tallyport::Target::"crm" };
@id("reads") permit (principal in Tallyport::Group::"agents", action == Tallyport::Action::"http:request", resource)
  when { resource in Tallyport::Target::"crm" && context.readOnly };
@id("small") permit (principal in Tallyport::Group::"agents", action == Tallyport::Action::"http:request", resource == Tallyport::Route::"crm/order")
  when { context has call && context.call.hasTag("/body/amount") && context.call.getTag("/body/amount") == "10" };
@id("refund") @require_approval("1 of dba; within 1h")
permit (principal in Tallyport::Group::"agents", action == Tallyport::Action::"http:request", resource == Tallyport::Route::"crm/refund");
@id("not-13") forbid (principal, action == Tallyport::Action::"http:request", resource)
  when { context has call && context.call.hasTag("/path/id") && context.call.getTag("/path/id") == "13" };
@id("ends") permit (principal in Tallyport::Group::"dba", action in Tallyport::Action::"access:any", resource);
"#;

const ROUTES: &str = r#"
[[routes]]
name = "customer"
method = "GET"
path = "/customers/{id}"
query = ["expand", "tag*"]
masks = [{ at = ["/card"], mask = "partial:last4" }]
[[routes]]
name = "note"
method = "GET"
path = "/notes/{which}"
[[routes]]
name = "line"
method = "GET"
path = "/notes/lines"
masks = [{ at = ["/card"], mask = "redact" }]
[[routes]]
name = "order"
method = "POST"
path = "/orders"
body = ["/amount", "/lines/*/sku"]
[[routes]]
name = "refund"
method = "POST"
path = "/customers/{id}/refunds"
body = ["/amount", "/reason"]
[[routes]]
name = "events"
method = "GET"
path = "/events"
follows = true
[[routes]]
name = "file"
method = "GET"
path = "/{rest*}"
opaque = true
"#;

/// It says that it has no body, and has one: the framing counts (RFC 9112 section 6.3).
const DENIES_ITS_BODY: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 0\r\n\
     transfer-encoding: chunked\r\n\r\n1b\r\n{\"card\":\"4111111111111111\"}\r\n0\r\n\r\n";

pub struct World {
    pub gateway: Gateway,
    pub upstream: Upstream,
    pub faults: Arc<FaultLog>,
    pub issuer: DevIssuer,
    pub front: RunningFront,
    pub ca: DevCa,
    log: Arc<MemoryLog>,
    _folder: tempfile::TempDir,
}

/// One connection of an agent.
pub struct Client(http1::SendRequest<Full<Bytes>>);

impl World {
    pub async fn start() -> Self {
        Self::saying("").await
    }

    /// With more keys of the target.
    pub async fn saying(more: &str) -> Self {
        Self::told(more, ROUTES).await
    }

    pub async fn told(more: &str, routes: &str) -> Self {
        Self::within(more, routes, GatewayLimits::default()).await
    }

    /// With limits of the gateway.
    pub async fn limited(limits: GatewayLimits) -> Self {
        Self::within("", ROUTES, limits).await
    }

    async fn within(more: &str, routes: &str, limits: GatewayLimits) -> Self {
        let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let issuer = DevIssuer::start(local, clients()).await.unwrap();
        let authenticator = Authenticator::new(vec![issuer.issuer_config()]).unwrap();
        let log = Arc::new(MemoryLog::new());
        let faults = Arc::new(FaultLog::new(Arc::clone(&log) as Arc<dyn Log>));
        let options =
            AppenderOptions { max_wait: Duration::from_millis(400), ..AppenderOptions::default() };
        let producer = ProducerId::parse("test/gateway").unwrap();
        let for_appender = Arc::clone(&faults) as Arc<dyn Log>;
        let appender = Appender::start(for_appender, producer, "gateway", options).await.unwrap();
        let upstream = Upstream::start().await;
        let detectors = if more.contains("detectors") {
            ""
        } else {
            "detectors = { payment_card = 'mask', secrets = 'deny' }"
        };
        let patience = if more.contains("patience") { "" } else { "patience_seconds = 1" };
        let is_named = ["basic", "oauth2"].iter().any(|it| more.contains(it));
        let token =
            if is_named { String::new() } else { format!("token = {{ value = '{SECRET}' }}") };
        let secret = issuer.clients().iter().find(|it| it.id == "second").unwrap().secret.expose();
        let more = more.replace("TOKEN_URL", &issuer.token_url).replace("CLIENT_SECRET", secret);
        let folder = tempfile::tempdir().unwrap();
        let more = if more.contains("ISSUER_BY_TLS") {
            let url: reqwest::Url = issuer.token_url.parse().unwrap();
            let (port, roots) = tls::before(url.port().unwrap(), folder.path(), false).await;
            let at = format!("token_url = 'https://localhost:{port}{}'", url.path());
            more.replace("ISSUER_BY_TLS", &at).replace("ROOTS", &roots)
        } else {
            more
        };
        let (url, more) = if more.contains("MUTUAL_TLS") {
            let (port, keys) = tls::before(upstream.port, folder.path(), true).await;
            (format!("https://localhost:{port}/api"), more.replace("MUTUAL_TLS", &keys))
        } else if more.contains("DENIES_ITS_BODY") {
            let port = upstream::bare(DENIES_ITS_BODY).await;
            (format!("http://127.0.0.1:{port}/api"), String::new())
        } else {
            (format!("http://127.0.0.1:{}/api", upstream.port), more)
        };
        let text = format!(
            "kind = 'http'\nname = 'crm'\nurl = '{url}'\n{token}\n{patience}\n{detectors}\n{more}\n{routes}"
        );
        let target: RawAnyTarget = toml::from_str(&text).unwrap();
        let ca = DevCa::create_or_load(&folder.path().join("tls")).unwrap();
        let identity = ServerIdentity::load(&ca.cert_path(), &ca.key_path()).unwrap();
        let config = GatewayConfig {
            targets: vec![target.check(Path::new("/")).unwrap()],
            names: identity.names().to_vec(),
            limits,
            ..GatewayConfig::default()
        };
        let policy = PolicyStore::from_text(POLICY, "test.cedar").unwrap();
        let gateway =
            Gateway::start(config, authenticator, policy, MaskingStore::none(), appender).unwrap();
        let service = Arc::new(gateway.clone());
        let config = FrontConfig::new(local, identity);
        let front = Front::start(config, service, api::router(&gateway)).await.unwrap();
        let world = Self { gateway, upstream, faults, issuer, front, ca, log, _folder: folder };
        // Both stores report what is in force at the start: later faults meet nothing of that.
        world.wait_for("the start", |events| events.len() >= 2).await;
        world
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

    pub async fn open(&self, token: &str) -> Result<Box<dyn OpenTunnel>, Refusal> {
        let request = ConnectRequest {
            target: "crm".to_owned(),
            token: Some(BearerToken::new(token.to_owned())),
            proof: None,
            certificate: None,
            peer: "192.0.2.7:4711".parse().unwrap(),
            front: CameBy::Quic,
            trace_id: TraceId::new(),
        };
        self.gateway.open(request).await
    }

    /// The bytes of a session of this client.
    pub async fn tunnel(&self, client: &str) -> DuplexStream {
        let token = self.token(client, None).await;
        let tunnel = self.open(&token).await.unwrap();
        let (near, far) = tokio::io::duplex(64 * 1024);
        tokio::spawn(tunnel.run(Box::new(far)));
        near
    }

    pub async fn client(&self) -> Client {
        Client::on(self.tunnel("agent").await).await
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

    pub async fn commands(&self) -> Vec<Command> {
        let events = self.events().await.into_iter();
        let commands = events.filter_map(|event| match event.body {
            Body::Command(command) => Some(*command),
            _ => None,
        });
        commands.collect()
    }

    pub async fn decisions(&self) -> Vec<Decision> {
        let events = self.events().await.into_iter();
        let decisions = events.filter_map(|event| match event.body {
            Body::Decision(decision) => Some(decision),
            _ => None,
        });
        decisions.collect()
    }

    /// How the answers ended.
    pub async fn summaries(&self) -> Vec<ResponseSummary> {
        summaries(&self.events().await)
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

    /// Waits until the one session ended, and says how.
    pub async fn ended(&self) -> Session {
        let is_end = |event: &Event| match &event.body {
            Body::Session(Session::Opened { .. } | Session::Granted { .. }) => None,
            Body::Session(session) => Some(session.clone()),
            _ => None,
        };
        let events =
            self.wait_for("end", |events| events.iter().any(|it| is_end(it).is_some())).await;
        events.iter().find_map(is_end).unwrap()
    }
}

pub fn summaries(events: &[Event]) -> Vec<ResponseSummary> {
    let ended = events.iter().filter_map(|event| match &event.body {
        Body::Response(response) => match &**response {
            Answered::Completed(summary) => Some(summary.clone()),
            _ => None,
        },
        _ => None,
    });
    ended.collect()
}

impl Client {
    pub async fn on(io: DuplexStream) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Response<hyper::body::Incoming> {
        self.0.ready().await.unwrap();
        self.0.send_request(request).await.unwrap()
    }

    /// Whether the gateway ended it, soon.
    pub async fn is_over(&mut self) -> bool {
        let deadline = Instant::now() + SOON;
        while Instant::now() < deadline {
            if self.0.is_closed() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    pub async fn get(&mut self, target: &str) -> (u16, String) {
        let request = Request::get(target).body(Full::default()).unwrap();
        whole(self.send(request).await).await
    }

    pub async fn post(&mut self, target: &str, body: &str) -> (u16, String) {
        let request = Request::post(target).header("content-type", "application/json");
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        whole(self.send(request).await).await
    }
}

pub async fn whole(response: Response<hyper::body::Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

fn clients() -> Vec<DevClient> {
    let human = DevClient {
        kind: PrincipalKind::Human,
        groups: vec!["dba".to_owned()],
        ..DevClient::new("dana")
    };
    let agent = |id: &str| DevClient { groups: vec!["agents".to_owned()], ..DevClient::new(id) };
    vec![agent("agent"), agent("second"), DevClient::new("other"), human]
}
