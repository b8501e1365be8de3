//! How long whoever is revoked goes on: from the order at one of three gateways to the last byte that reaches any of the
//! revoked principal's clients, under load, on the embedded log or on Kafka.
//!
//! In every round a principal reads an endless result at each gateway, and is revoked at the next of the three in turn. The
//! limit beside it is an order that ends nobody: two appends, one behind the other, and the reading back. The three gateways
//! are in this process and share its two cores with PostgreSQL, their clients and the load.
//!
//! `cargo bench -p tallyport-benches --bench revoke [-- --help]`.

use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use clap::{Parser as _, ValueEnum};
use dev_services::{DevService, StartError};
use gateway_core::masking::Masking;
use serde_json::{Value, json};
use tallyport_access::Authenticator;
use tallyport_access::dev_issuer::{DevClient, DevIssuer};
use tallyport_access::policy::PolicyStore;
use tallyport_benches::Failure;
use tallyport_benches::figures::{Waits, profile};
use tallyport_benches::load::postgres;
use tallyport_benches::stand::ALLOW_ALL;
use tallyport_benches::wire::Client;
use tallyport_eventlog::{Appender, AppenderOptions, EmbeddedOptions, Log, LogUrl, open};
use tallyport_gateway::config::{GatewayConfig, GatewayLimits, RawTarget};
use tallyport_gateway::targets::MaskingStore;
use tallyport_gateway::{BearerToken, ConnectRequest, Gateway, TunnelService as _, api};
use tallyport_schemas::{Front, PrincipalKind, ProducerId, TraceId};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GATEWAYS: usize = 3;
const PEER: &str = "127.0.0.1:9";
const ENDLESS: &str = "SELECT i, md5(i::text) FROM generate_series(1, 1000000000) i";
/// Rows flow at all three gateways by then.
const FLOWS: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Where {
    Embedded,
    Kafka,
    Both,
}

/// Revocation to the last byte, over three gateways.
#[derive(clap::Parser)]
struct Options {
    /// Principals that are revoked, one after the other.
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// Sessions of others at each gateway that read without pause.
    #[arg(long, default_value_t = 8)]
    load: usize,
    /// The log.
    #[arg(long, value_enum, default_value_t = Where::Both)]
    log: Where,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(&options))
}

async fn measure(options: &Options) -> Result<(), Failure> {
    println!("profile: {}", profile());
    let server = postgres(&[]).await?;
    if matches!(options.log, Where::Embedded | Where::Both) {
        let dir = tempfile::tempdir_in(std::env::current_dir()?)?;
        let url = LogUrl::Embedded(EmbeddedOptions::new(dir.path().join("log")));
        revoke_all("embedded", open(&url).await?, server.port("port"), options).await?;
    }
    if matches!(options.log, Where::Kafka | Where::Both) {
        match tokio::task::spawn_blocking(|| DevService::start("kafka", &[])).await? {
            Ok(kafka) => {
                let url = format!("kafka://{}?partitions=3", kafka.text("bootstrap"));
                let log = open(&LogUrl::parse(&url)?).await?;
                revoke_all("Kafka", log, server.port("port"), options).await?;
            }
            Err(StartError::NotInstallable { .. }) => {
                println!("NOT RUN: revocation over Kafka: it cannot be installed");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn revoke_all(
    name: &str,
    log: Arc<dyn Log>,
    target: u16,
    options: &Options,
) -> Result<(), Failure> {
    let site = Site::start(log, target, options.rounds).await?;
    let mut load = JoinSet::new();
    let (statements, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    for gateway in 0..GATEWAYS {
        for _ in 0..options.load {
            let (tunnel, statements) =
                (site.tunnel(gateway, "load").await?, Arc::clone(&statements));
            load.spawn(read_on(tunnel, statements));
        }
    }
    let (mut last_bytes, mut orders) = (Waits::new(), Waits::new());
    for round in 0..options.rounds {
        let at = round % GATEWAYS;
        orders.add(site.revoke(at, &format!("nobody-{round}")).await?);
        last_bytes.add(site.one_round(at, &format!("victim-{round}")).await?);
    }
    let rate = statements.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    if let Some(ended) = load.try_join_next() {
        ended??;
    }
    load.abort_all();
    let ([p50, p99, most], [limit50, limit99, _]) =
        (last_bytes.at([50, 99, 100]), orders.at([50, 99, 100]));
    println!(
        "{name}: {} revocations over {GATEWAYS} gateways, {rate:.0} statements/s beside them: last byte after p50 {p50:.1} \
         ms, p99 {p99:.1} ms, at most {most:.1} ms; an order that ends nobody p50 {limit50:.1} ms, p99 {limit99:.1} ms \
         ({:.2}, {:.2} times it)",
        last_bytes.count(),
        p50 / limit50,
        p99 / limit99
    );
    site.stop().await;
    Ok(())
}

/// One of others: it only ends by an error.
async fn read_on(tunnel: DuplexStream, statements: Arc<AtomicU64>) -> Result<Infallible, Failure> {
    let mut client = Client::login(tunnel).await?;
    loop {
        client.query("SELECT 1").await?;
        statements.fetch_add(1, Ordering::Relaxed);
    }
}

struct Site {
    gateways: Vec<Gateway>,
    apis: Vec<Router>,
    issuer: DevIssuer,
    reviewer: String,
}

impl Site {
    async fn start(log: Arc<dyn Log>, target: u16, rounds: usize) -> Result<Self, Failure> {
        let agent = |id: &str| DevClient { kind: PrincipalKind::Agent, ..DevClient::new(id) };
        let mut clients = vec![agent("load"), agent("reviewer")];
        clients.extend((0..rounds).map(|round| agent(&format!("victim-{round}"))));
        let issuer = DevIssuer::start("127.0.0.1:0".parse()?, clients).await?;
        let authenticator = Authenticator::new(vec![issuer.issuer_config()])?;
        let mut gateways = Vec::new();
        for number in 0..GATEWAYS {
            let id = ProducerId::parse(format!("bench-{number}/gateway"))?;
            let options = AppenderOptions::default();
            let appender = Appender::start(Arc::clone(&log), id, "gateway", options).await?;
            let raw: RawTarget = serde_json::from_value(json!({
                "name": "sample", "address": format!("127.0.0.1:{target}"), "database": "postgres",
                "user": "postgres", "sslmode": "disable",
            }))?;
            let config = GatewayConfig {
                targets: vec![raw.check(Path::new("/"))?.into()],
                limits: GatewayLimits::default(),
                ..GatewayConfig::default()
            };
            let policy = PolicyStore::from_text(ALLOW_ALL, "bench.cedar")?;
            let masking = MaskingStore::fixed(Masking::parse("", "none.toml")?);
            gateways.push(Gateway::start(
                config,
                authenticator.clone(),
                policy,
                masking,
                appender,
            )?);
        }
        let apis = gateways.iter().map(api::router).collect();
        let reviewer = token(&issuer, "reviewer").await?;
        Ok(Self { gateways, apis, issuer, reviewer })
    }

    async fn tunnel(&self, gateway: usize, who: &str) -> Result<DuplexStream, Failure> {
        let request = ConnectRequest {
            target: "sample".to_owned(),
            token: Some(BearerToken::new(token(&self.issuer, who).await?)),
            proof: None,
            certificate: None,
            peer: PEER.parse()?,
            front: Front::Tcp,
            trace_id: TraceId::random(),
        };
        let gateway = self.gateways.get(gateway).ok_or("no such gateway")?;
        let tunnel = gateway.open(request).await.map_err(|refusal| refusal.message)?;
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(tunnel.run(Box::new(theirs)));
        Ok(ours)
    }

    /// Revokes a principal, and says how long the answer took.
    async fn revoke(&self, at: usize, subject: &str) -> Result<Duration, Failure> {
        let issuer = self.issuer.issuer_config().issuer;
        let revoked = json!({"kind": "principal", "issuer": issuer, "subject": subject});
        let order = json!({"revoked": revoked, "reason": "bench"}).to_string();
        let peer: std::net::SocketAddr = PEER.parse()?;
        let request = Request::post("/v1/revocations")
            .header("authorization", format!("Bearer {}", self.reviewer))
            .extension(ConnectInfo(peer))
            .extension(Front::Tcp)
            .extension(TraceId::random())
            .body(Body::from(order))?;
        let api = self.apis.get(at).ok_or("no such gateway")?.clone();
        let begun = Instant::now();
        let answer = api.oneshot(request).await?;
        let took = begun.elapsed();
        if answer.status().is_success() {
            Ok(took)
        } else {
            Err(answer.status().to_string().into())
        }
    }

    /// From the order to the last byte that reached any of the three clients.
    async fn one_round(&self, at: usize, who: &str) -> Result<Duration, Failure> {
        let mut readers = JoinSet::new();
        for gateway in 0..GATEWAYS {
            let stream = Timed { inner: self.tunnel(gateway, who).await?, last: Instant::now() };
            let mut client = Client::login(stream).await?;
            readers.spawn(async move {
                // It ends by an error: it is endless.
                let ended = client.query(ENDLESS).await.is_err();
                (ended, client.into_inner().last)
            });
        }
        sleep(FLOWS).await;
        let begun = Instant::now();
        self.revoke(at, who).await?;
        let mut longest = Duration::ZERO;
        while let Some(ended) = timeout(PATIENCE, readers.join_next()).await? {
            let (ended, last) = ended?;
            if !ended || last <= begun {
                return Err(format!("{who} did not read until it was revoked").into());
            }
            longest = longest.max(last - begun);
        }
        Ok(longest)
    }

    async fn stop(self) {
        for gateway in self.gateways {
            gateway.shutdown(Duration::ZERO).await;
        }
    }
}

/// Knows when it was read last.
struct Timed {
    inner: DuplexStream,
    last: Instant,
}

impl AsyncRead for Timed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.last = Instant::now();
        }
        read
    }
}

impl AsyncWrite for Timed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

async fn token(issuer: &DevIssuer, who: &str) -> Result<String, Failure> {
    let client = issuer.clients().iter().find(|it| it.id == who).ok_or("no such client")?;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", who),
        ("client_secret", client.secret.expose()),
    ];
    let answer = reqwest::Client::new().post(&issuer.token_url).form(&form).send().await?;
    let answer: Value = answer.json().await?;
    let token = answer.get("access_token").and_then(Value::as_str);
    Ok(token.ok_or("the issuer gave no token")?.to_owned())
}
