//! What watches a gateway in production, around one that is measured: metrics, and a collector of spans.
//!
//! The collector is a process of its own (this program again). It takes what comes and counts it, so what is measured is
//! the gateway's side.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use tallyport_telemetry::{Build, Logs, Settings, Telemetry};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::Failure;
use crate::stand::{self, Peer};

/// The role of a process that is the collector.
const ROLE: &str = "--collector";
/// As much as the exporter sends at once, by far.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// How the gateway is watched.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Watch {
    /// What watches the gateway: `nothing`, its own `metrics`, or `spans` as well, which a collector takes.
    #[arg(long, default_value = "nothing", value_enum)]
    watch: By,
    /// The part of the traces that is exported, where spans are.
    #[arg(long, default_value_t = 1.0)]
    sample_ratio: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum By {
    Nothing,
    Metrics,
    Spans,
}

/// What watches it, running.
pub struct Watched {
    telemetry: Telemetry,
    collector: Option<Peer>,
    /// Whether each trace is exported: then there are some.
    all: bool,
}

impl Watch {
    /// Starts it; to be called before the gateway is started. None where nothing watches.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(self) -> Result<Option<Watched>, Failure> {
        if self.watch == By::Nothing {
            return Ok(None);
        }
        let mut collector = None;
        let mut otlp_endpoint = None;
        if self.watch == By::Spans {
            let mut peer = Peer::start(ROLE, std::iter::empty())?;
            otlp_endpoint = Some(format!("http://127.0.0.1:{}", peer.line().await?).parse()?);
            collector = Some(peer);
        }
        let settings = Settings {
            listen: Some("127.0.0.1:0".parse()?),
            otlp_endpoint,
            otlp_headers: None,
            sample_ratio: self.sample_ratio,
            instance: "bench".to_owned(),
            build: Build {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                commit: "bench".to_owned(),
                schema: tallyport_schemas::SCHEMA_VERSION.to_owned(),
            },
        };
        let logs = Logs { filter: "warn".to_owned(), json: true };
        let telemetry = Telemetry::start(&settings, &logs).await?;
        Ok(Some(Watched { telemetry, collector, all: self.sample_ratio >= 1.0 }))
    }
}

impl Watched {
    /// Exports what is left, ends it, and says what the collector took.
    ///
    /// # Errors
    /// When all spans were to be exported and none came.
    pub async fn stop(self) -> Result<(), Failure> {
        self.telemetry.stop().await;
        let Some(mut collector) = self.collector else { return Ok(()) };
        collector.stdin.write_all(b"\n").await?;
        let bytes: u64 = collector.line().await?.parse()?;
        collector.kill().await?;
        if bytes == 0 && self.all {
            return Err(
                "the collector was sent no span: what was measured is not what was meant".into()
            );
        }
        println!("the collector took {:.1} MB of spans", bytes as f64 / 1e6);
        Ok(())
    }
}

/// Serves, where this process is the collector.
///
/// # Errors
/// When it cannot listen.
pub async fn serve(arguments: &[String]) -> Result<bool, Failure> {
    if stand::role(arguments, ROLE).is_none() {
        return Ok(false);
    }
    let spans = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&spans);
    let count = move |body: Bytes| async move {
        counted.fetch_add(body.len() as u64, Ordering::Relaxed);
    };
    let router = Router::new()
        .route("/v1/traces", post(count))
        .route("/v1/metrics", post(async || {}))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    tokio::spawn(async move {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(_asked)) = lines.next_line().await {
            println!("{}", spans.load(Ordering::Relaxed));
        }
        // Its owner is gone.
        std::process::exit(0);
    });
    axum::serve(listener, router).await?;
    Ok(true)
}
