//! One run: a script of a seed, played on three gateways.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body as HttpBody;
use axum::extract::ConnectInfo;
use http::Request;
use http_body_util::BodyExt as _;
use jiff::ToSpan as _;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use tallyport_access::Authenticator;
use tallyport_access::dev_issuer::{DevClient, DevIssuer};
use tallyport_access::policy::PolicyStore;
use tallyport_eventlog::backends::memory::MemoryLog;
use tallyport_eventlog::faults::{Fault, FaultKind, FaultLog};
use tallyport_eventlog::{Appender, AppenderOptions, Log, Record, Topic};
use tallyport_gateway::config::{GatewayConfig, RawTarget};
use tallyport_gateway::targets::MaskingStore;
use tallyport_gateway::{BearerToken, ConnectRequest, Gateway, TunnelService as _, api};
use tallyport_schemas::{
    Approval, ApprovalId, Body, Draft, Front, PrincipalKind, Producer, ProducerId, TraceId, ocsf,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tower::ServiceExt as _;

use crate::backend::Backend;
use crate::oracle::{Asking, Oracle, Ran, Tally};

const POLICY: &str = r#"
@id("rest") permit (principal, action in [Tallyport::Action::"sql:connect", Tallyport::Action::"sql:select",
    Tallyport::Action::"sql:session", Tallyport::Action::"sql:catalog"], resource);
@id("deletes") @require_approval("2 of dba; within 1h") permit (principal, action == Tallyport::Action::"sql:delete", resource);
@id("updates") @require_approval("1 of dba; within 1h; for session")
permit (principal, action == Tallyport::Action::"sql:update", resource);
"#;
const GATEWAYS: usize = 3;
const STEPS: usize = 60;
const REVIEWERS: [&str; 4] = ["dana", "eli", "fay", "sam"];
const AGENTS: [&str; 2] = ["one", "two"];

/// Who plays, and with which tokens; the same for all runs.
#[derive(Clone)]
pub struct Cast {
    _issuer: Arc<DevIssuer>,
    authenticator: Authenticator,
    tokens: Arc<std::collections::BTreeMap<&'static str, String>>,
    /// One for all: it has no file to follow, and reading it is most of what a gateway's start costs.
    policy: PolicyStore,
}

impl Cast {
    pub async fn new() -> Self {
        let client = |id: &str, kind, group: &str| DevClient {
            groups: vec![group.to_owned()],
            kind,
            ..DevClient::new(id)
        };
        // The agents are of the group, too, and Sam is not: neither counts.
        let mut clients: Vec<DevClient> =
            AGENTS.iter().map(|id| client(id, PrincipalKind::Agent, "dba")).collect();
        clients.extend(REVIEWERS.iter().map(|id| {
            client(id, PrincipalKind::Human, if *id == "sam" { "security" } else { "dba" })
        }));
        let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let issuer = DevIssuer::start(local, clients).await.unwrap();
        let authenticator = Authenticator::new(vec![issuer.issuer_config()]).unwrap();
        let mut tokens = std::collections::BTreeMap::new();
        for id in AGENTS.into_iter().chain(REVIEWERS) {
            let known = issuer.clients().iter().find(|known| known.id == id).unwrap();
            let form = [
                ("grant_type", "client_credentials"),
                ("client_id", id),
                ("client_secret", known.secret.expose()),
                ("ttl", "3600"),
            ];
            let answer = reqwest::Client::new().post(&issuer.token_url).form(&form).send().await;
            let answer: Value = answer.unwrap().json().await.unwrap();
            tokens.insert(id, answer["access_token"].as_str().unwrap().to_owned());
        }
        let policy = PolicyStore::from_text(POLICY, "test.cedar").unwrap();
        Self { _issuer: Arc::new(issuer), authenticator, tokens: Arc::new(tokens), policy }
    }
}

pub struct Run {
    rng: StdRng,
    cast: Cast,
    log: Arc<FaultLog>,
    backend: Backend,
    ran: Arc<Mutex<Ran>>,
    gateways: Vec<Gateway>,
    sessions: Vec<DuplexStream>,
    started: usize,
    tally: Tally,
}

impl Run {
    pub async fn new(seed: u64, cast: Cast) -> Self {
        let log = Arc::new(FaultLog::new(Arc::new(MemoryLog::new())));
        let ran = Arc::new(Mutex::new(Ran::default()));
        let asking = Asking { ran: Arc::clone(&ran), log: Arc::clone(log.inner()) };
        let backend = Backend::start(Arc::new(asking)).await;
        let mut run = Self {
            rng: StdRng::seed_from_u64(seed),
            cast,
            log,
            backend,
            ran,
            gateways: Vec::new(),
            sessions: Vec::new(),
            started: 0,
            tally: Tally::default(),
        };
        for _ in 0..GATEWAYS {
            let gateway = run.start_gateway().await;
            run.gateways.push(gateway);
        }
        run
    }

    async fn start_gateway(&mut self) -> Gateway {
        self.started += 1;
        let target = format!(
            "name = 'db'\naddress = '{}'\ndatabase = 'postgres'\nuser = 'u'\nsslmode = 'disable'\ncatalog_refresh_seconds = 3600\n",
            self.backend.addr
        );
        let raw: RawTarget = toml::from_str(&target).unwrap();
        let targets = vec![raw.check(Path::new("/")).unwrap().into()];
        let id = ProducerId::parse(format!("g{}/gateway", self.started)).unwrap();
        let log: Arc<dyn Log> = Arc::clone(&self.log) as _;
        // Its first event may meet a fault of the script: then it starts again, as a service manager would have it.
        let appender = loop {
            let options = AppenderOptions::default();
            match Appender::start(Arc::clone(&log), id.clone(), "gateway", options).await {
                Ok(appender) => break appender,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        let policy = self.cast.policy.clone();
        let config = GatewayConfig { targets, ..GatewayConfig::default() };
        let authenticator = self.cast.authenticator.clone();
        Gateway::start(config, authenticator, policy, MaskingStore::none(), appender).unwrap()
    }

    pub async fn play(mut self) -> Result<Tally, String> {
        for _ in 0..STEPS {
            self.step().await;
            let pause = self.rng.random_range(0..4_000);
            tokio::time::sleep(Duration::from_micros(pause)).await;
        }
        self.sessions.clear();
        for gateway in &self.gateways {
            gateway.shutdown(Duration::ZERO).await;
        }
        self.verdict().await
    }

    async fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..30 => self.ask().await,
            30..72 => self.review().await,
            72..80 => self.leave(),
            80..85 => self.say_again().await,
            85..90 => self.expire().await,
            90..95 => self.restart().await,
            _ => {
                self.tally.faults += 1;
                let persisted = self.rng.random_bool(0.5);
                let kind = if self.rng.random_bool(0.5) && !persisted {
                    FaultKind::Refuse
                } else {
                    FaultKind::Unknown
                };
                self.log.set(Fault::once(kind, persisted));
            }
        }
    }

    fn some<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.rng.random_range(0..all.len())]
    }

    fn gateway(&mut self) -> Gateway {
        let index = self.rng.random_range(0..self.gateways.len());
        self.gateways[index].clone()
    }

    fn statement(&mut self) -> String {
        // Few of them: several wait for the same.
        let id = self.rng.random_range(0..3);
        match self.rng.random_range(0..3) {
            0 => format!("UPDATE app.orders SET note = 'x' WHERE id = {id}"),
            _ => format!("DELETE FROM app.orders WHERE id = {id}"),
        }
    }

    /// A session that sends one statement and waits.
    async fn ask(&mut self) {
        let gateway = self.gateway();
        let agent = self.some(&AGENTS);
        let request = ConnectRequest {
            target: "db".to_owned(),
            token: Some(BearerToken::new(self.cast.tokens[agent].clone())),
            proof: None,
            certificate: None,
            peer: "192.0.2.7:4711".parse().unwrap(),
            front: Front::Quic,
            trace_id: TraceId::new(),
        };
        let Ok(tunnel) = gateway.open(request).await else { return };
        let (mut ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(tunnel.run(Box::new(theirs)));
        let body = [&(3_u32 << 16).to_be_bytes()[..], b"user\0u\0\0"].concat();
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        let query = self.query();
        let _gone = ours.write_all(&[&length[..], &body, &query].concat()).await;
        self.sessions.push(ours);
    }

    fn query(&mut self) -> Vec<u8> {
        let text = self.statement();
        let length = u32::try_from(text.len() + 5).unwrap().to_be_bytes();
        [b"Q", &length[..], text.as_bytes(), b"\0"].concat()
    }

    /// One that is there already sends another: behind the one that waits, or after it.
    async fn say_again(&mut self) {
        if self.sessions.is_empty() {
            return;
        }
        let query = self.query();
        let index = self.rng.random_range(0..self.sessions.len());
        let session = &mut self.sessions[index];
        // What it was told meanwhile is nobody's matter, but must not stand in its way.
        let mut sink = vec![0; 64 * 1024];
        let _told = tokio::time::timeout(Duration::ZERO, session.read(&mut sink)).await;
        let _gone =
            tokio::time::timeout(Duration::from_millis(50), session.write_all(&query)).await;
    }

    fn leave(&mut self) {
        if !self.sessions.is_empty() {
            let index = self.rng.random_range(0..self.sessions.len());
            drop(self.sessions.swap_remove(index));
        }
    }

    async fn call(&self, gateway: &Gateway, who: &str, path: &str, body: Option<Value>) -> Value {
        let peer: SocketAddr = "192.0.2.9:4712".parse().unwrap();
        let request = Request::builder()
            .method(if body.is_some() { "POST" } else { "GET" })
            .uri(path)
            .header("authorization", format!("Bearer {}", self.cast.tokens[who]))
            .extension(ConnectInfo(peer))
            .extension(Front::Tcp)
            .extension(TraceId::new())
            .body(HttpBody::from(body.map_or_else(String::new, |body| body.to_string())))
            .unwrap();
        let answer = api::router(gateway).oneshot(request).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&body).unwrap_or_default()
    }

    /// One or two people answer what one of them read; agents try, too.
    async fn review(&mut self) {
        let (here, there) = (self.gateway(), self.gateway());
        let who = self.some(&[REVIEWERS[0], REVIEWERS[1], REVIEWERS[2], REVIEWERS[3], AGENTS[0]]);
        let other = self.some(&REVIEWERS);
        let list = self.call(&here, who, "/v1/approvals", None).await;
        let Some(list) = list["approvals"].as_array().filter(|list| !list.is_empty()) else {
            return;
        };
        let asked = &list[self.rng.random_range(0..list.len())];
        let id = asked["approval_id"].as_str().unwrap();
        let body = || Some(json!({ "digest": asked["digest"] }));
        let verb = if self.rng.random_bool(0.9) { "approve" } else { "deny" };
        let path = format!("/v1/approvals/{id}/{verb}");
        if self.rng.random_bool(0.5) {
            let again = format!("/v1/approvals/{id}/approve");
            tokio::join!(
                self.call(&here, who, &path, body()),
                self.call(&there, other, &again, body())
            );
        } else {
            self.call(&here, who, &path, body()).await;
        }
    }

    /// A gateway whose clock is far ahead says that the time of a request is over: by the rules it is.
    async fn expire(&mut self) {
        let gateway = self.gateway();
        let list = self.call(&gateway, "dana", "/v1/approvals", None).await;
        let Some(asked) = list["approvals"].as_array().and_then(|list| list.first()) else {
            return;
        };
        let approval_id: ApprovalId = asked["approval_id"].as_str().unwrap().parse().unwrap();
        let late = jiff::Timestamp::now().checked_add(2.hours()).unwrap();
        let body = Body::Approval(Approval::Expired { approval_id });
        let draft = Draft { time: late, ..Draft::new(Default::default(), None, body) };
        let id = ProducerId::parse("ahead/gateway").unwrap();
        let event = draft.at(Producer { id, epoch: 0, seq: 0 });
        let value = bytes::Bytes::from(ocsf::encode(&event));
        let record = Record { topic: Topic::Control, key: bytes::Bytes::new(), value };
        self.log.inner().append(vec![record]).await.unwrap();
    }

    /// A gateway goes, with nothing but the log behind it, and another one comes.
    async fn restart(&mut self) {
        self.tally.restarts += 1;
        let index = self.rng.random_range(0..self.gateways.len());
        let gone = self.gateways.swap_remove(index);
        let ending = tokio::spawn(async move { gone.shutdown(Duration::ZERO).await });
        if self.rng.random_bool(0.5) {
            ending.await.unwrap();
        }
        let gateway = self.start_gateway().await;
        self.gateways.push(gateway);
    }

    async fn verdict(mut self) -> Result<Tally, String> {
        let oracle = Oracle::read(self.log.inner().as_ref()).await;
        let ran = self.ran.lock();
        if let Some(violation) = ran.violations.first() {
            return Err(violation.clone());
        }
        for (statement, count) in &ran.counts {
            let used = oracle.uses_of(statement);
            if used < *count {
                return Err(format!("{statement:?} ran {count} times, approved for {used}"));
            }
        }
        let mut tally = oracle.tally();
        tally.ran = ran.counts.values().sum();
        drop(ran);
        tally.restarts = self.tally.restarts;
        tally.faults = self.tally.faults;
        self.sessions.clear();
        Ok(tally)
    }
}
