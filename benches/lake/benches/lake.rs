//! From the log to committed Delta, beside reading the log alone on the same cores; then how soon an event is visible to SQL
//! after its append.
//!
//! Kafka is the real one, with 6 partitions, and librdkafka reads it alone; `--log embedded` takes the log of one machine in its
//! place. The recorder runs in this process with the settings of production, the lake is a directory below the current one. `--serve` stays up afterwards with a query service over the same log and
//! lake, prints where they are in one line of JSON and ends with its standard input: for `audit_questions.py`.
//!
//! `cargo bench -p tallyport-lake-benches [-- --help]`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser as _;
use dev_services::{DevService, StartError};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use tallyport_access::Authenticator;
use tallyport_access::dev_issuer::{DevClient, DevIssuer};
use tallyport_access::policy::PolicyStore;
use tallyport_benches::Failure;
use tallyport_benches::figures::{Waits, peak_kib, processor_us, profile};
use tallyport_eventlog::{
    Appender, AppenderOptions, EmbeddedOptions, Log, LogUrl, Position, Topic, open,
};
use tallyport_lake_benches::generate::Events;
use tallyport_query::{LakeConfig, Limits, ListenConfig, QueryConfig, QueryService, RunningQuery};
use tallyport_recorder::{LakeUrl, Recorder, RecorderConfig, RunningRecorder, maintenance};
use tallyport_schemas::{Body, Context, Draft, Integrity, PrincipalKind, ProducerId};
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;
use url::Url;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PARTITIONS: u32 = 6;
const POLICY: &str = r#"@id("all") permit (principal, action, resource);"#;
const AUDITOR: &str = "bench-auditor";
/// Beside log and lake: what they hold, once they hold all of it.
const COMPLETE: &str = "complete";
/// Records of one append while the topic is filled.
const BATCH: u64 = 5_000;
/// More than fit into a commit of the default size.
const ROWS_OF_A_COMMIT: u64 = 16_384;
/// What the embedded log may take, in bytes: nothing is released while it is measured.
const EMBEDDED_BYTES: u64 = 1 << 40;
/// What one read of the log asks for.
const READ_BYTES: usize = 4 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_hours(1);

/// The recorder beside librdkafka alone, and how soon SQL sees an event.
#[derive(clap::Parser)]
struct Options {
    /// Events to record.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// The log: Kafka, or the embedded one.
    #[arg(long, value_enum, default_value = "kafka")]
    log: Kind,
    /// Events to wait for in SQL, one after the other.
    #[arg(long, default_value_t = 200)]
    appends: usize,
    /// Stay up with a query service until standard input ends.
    #[arg(long)]
    serve: bool,
    /// Rewrite the files into few large ones first, as `tallyport lake compact` does with closed days.
    #[arg(long)]
    compact: bool,
    /// Leave log and lake in this directory, or use those that an earlier run left there: then nothing is appended, recorded
    /// or compacted. With the embedded log.
    #[arg(long, requires = "serve")]
    keep: Option<PathBuf>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Kafka,
    Embedded,
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let temporary = tempfile::tempdir_in(std::env::current_dir()?)?;
    if options.log == Kind::Embedded {
        let dir = options.keep.as_deref().unwrap_or(temporary.path());
        let log = LogUrl::Embedded(EmbeddedOptions {
            max_bytes: EMBEDDED_BYTES,
            ..EmbeddedOptions::new(dir.join("log"))
        });
        return runtime.block_on(run(&options, &log, dir, None));
    }
    if options.keep.is_some() {
        return Err("--keep keeps the log of one machine: add `--log embedded`".into());
    }
    match DevService::start("kafka", &[]) {
        Ok(kafka) => {
            let bootstrap = kafka.text("bootstrap");
            let log = LogUrl::parse(&format!("kafka://{bootstrap}?partitions={PARTITIONS}"))?;
            runtime.block_on(run(&options, &log, temporary.path(), Some(bootstrap.to_owned())))
        }
        Err(StartError::NotInstallable { .. }) => {
            println!("NOT RUN: recorder and query service over Kafka: it cannot be installed");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// The lake is below `dir`; `bootstrap` is where librdkafka finds the log.
async fn run(
    options: &Options,
    log: &LogUrl,
    dir: &Path,
    bootstrap: Option<String>,
) -> Result<(), Failure> {
    let log = open(log).await?;
    let kept = dir.join("lake/events");
    let lake = Url::from_directory_path(dir.join("lake")).map_err(|()| "no such path")?;
    let of = format!("{} events, compact: {}", options.events, options.compact);
    match std::fs::read_to_string(dir.join(COMPLETE)) {
        Ok(left) if left == of => eprintln!("profile: {}; {} as left", profile(), dir.display()),
        Ok(left) => return Err(format!("{} has {left}; asked for: {of}", dir.display()).into()),
        Err(_) if kept.exists() => {
            let unfinished = "what is left there is of a run that did not end: remove it";
            return Err(format!("{}: {unfinished}", dir.display()).into());
        }
        Err(_) => {
            measure(options, &log, &lake, bootstrap).await?;
            std::fs::write(dir.join(COMPLETE), of)?;
        }
    }
    let recorder = recorder(&log, &lake).await?;
    let query = Query::start(&log, &lake).await?;
    query.freshness(options.appends).await?;
    if options.serve {
        let told = json!({"sql": query.url, "token": query.token, "pid": std::process::id(),
            "events": kept, "count": options.events});
        println!("{told}");
        tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    }
    query.running.stop().await;
    recorder.stop().await?;
    Ok(())
}

/// Fills the log, reads it alone and records it.
async fn measure(
    options: &Options,
    log: &Arc<dyn Log>,
    lake: &Url,
    bootstrap: Option<String>,
) -> Result<(), Failure> {
    eprintln!("profile: {}; appending {} events", profile(), options.events);
    fill(log, options.events).await?;
    let mut ends = Vec::new();
    for partition in 0..log.partitions(Topic::Audit) {
        ends.push(log.latest(Topic::Audit, partition).await?);
    }
    let alone = if bootstrap.is_some() { "librdkafka alone" } else { "reading alone" };
    let consumed = match bootstrap {
        Some(bootstrap) => {
            let ends = ends.clone();
            tokio::task::spawn_blocking(move || consume(&bootstrap, &ends)).await??
        }
        None => read(log, &ends).await?,
    };
    let recorded = record(log, lake, &ends, consumed.bytes).await?;
    eprintln!(
        "{:<18} {:>10} {:>8} {:>14} {:>14}",
        "way", "events/s", "MB/s", "of it alone", "us/event (cpu)"
    );
    for (way, figure) in [(alone, &consumed), ("recorder to Delta", &recorded)] {
        let rate = |figure: &Moved| figure.events as f64 / figure.took.as_secs_f64();
        eprintln!(
            "{way:<18} {:>10.0} {:>8.1} {:>14.2} {:>14.1}",
            rate(figure),
            figure.bytes as f64 / 1e6 / figure.took.as_secs_f64(),
            rate(figure) / rate(&consumed),
            figure.processor_us / figure.events as f64,
        );
    }
    eprintln!("most memory of this process: {:.0} MiB", peak_kib(std::process::id()) / 1024.0);
    if options.compact {
        compact(lake).await?;
    }
    Ok(())
}

/// What was moved, and what it took.
struct Moved {
    events: u64,
    bytes: u64,
    took: Duration,
    processor_us: f64,
}

async fn fill(log: &Arc<dyn Log>, count: u64) -> Result<(), Failure> {
    let mut events = Events::new(count)?;
    let begun = Instant::now();
    let mut appended = 0;
    loop {
        let records = events.records(BATCH);
        if records.is_empty() {
            return Ok(());
        }
        appended += records.len();
        log.append(records).await?;
        if appended.is_multiple_of(1_000_000) {
            eprintln!("{appended} events appended in {:.0?}", begun.elapsed());
        }
    }
}

/// As the log gives its records, without looking into them.
async fn read(log: &Arc<dyn Log>, ends: &[u64]) -> Result<Moved, Failure> {
    let (mut events, mut bytes) = (0, 0);
    let (begun, before) = (Instant::now(), processor_us(std::process::id()));
    for (partition, end) in (0..).zip(ends) {
        let mut offset = 0;
        while offset < *end {
            let from = Position { partition, offset };
            let entries = log.read(Topic::Audit, from, READ_BYTES, PATIENCE).await?;
            let last = entries.last().ok_or("the log ended early")?;
            offset = last.position.offset + 1;
            events += entries.len() as u64;
            bytes += entries.iter().map(|entry| entry.value.len() as u64).sum::<u64>();
        }
    }
    let processor_us = processor_us(std::process::id()) - before;
    Ok(Moved { events, bytes, took: begun.elapsed(), processor_us })
}

/// As the client library gives the messages, without looking into them.
fn consume(bootstrap: &str, ends: &[u64]) -> Result<Moved, Failure> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .create()?;
    let mut from = TopicPartitionList::new();
    for partition in 0..ends.len() {
        from.add_partition_offset(
            Topic::Audit.name(),
            i32::try_from(partition)?,
            Offset::Beginning,
        )?;
    }
    consumer.assign(&from)?;
    let (mut events, mut bytes, wanted) = (0, 0, ends.iter().sum::<u64>());
    let (begun, before) = (Instant::now(), processor_us(std::process::id()));
    while events < wanted {
        let message = consumer.poll(Duration::from_secs(30)).ok_or("the topic ended early")??;
        events += 1;
        bytes += message.payload_len() as u64;
    }
    let processor_us = processor_us(std::process::id()) - before;
    Ok(Moved { events, bytes, took: begun.elapsed(), processor_us })
}

async fn recorder(log: &Arc<dyn Log>, lake: &Url) -> Result<RunningRecorder, Failure> {
    let config = RecorderConfig::new(LakeUrl::parse(lake.as_str())?);
    Ok(Recorder::start(config, Arc::clone(log), CancellationToken::new()).await?)
}

/// To the last event on the log. Near its end it is asked to stop, so that the last commit of a partition does not wait
/// for the age at which it would be due.
async fn record(
    log: &Arc<dyn Log>,
    lake: &Url,
    ends: &[u64],
    bytes: u64,
) -> Result<Moved, Failure> {
    let (begun, before) = (Instant::now(), processor_us(std::process::id()));
    let recorder = recorder(log, lake).await?;
    let mut progress = recorder.progress();
    for (partition, end) in ends.iter().enumerate() {
        let near = end.saturating_sub(ROWS_OF_A_COMMIT);
        recorder.wait_until(u32::try_from(partition)?, near, PATIENCE).await?;
    }
    recorder.stop().await?;
    let took = begun.elapsed();
    let processor_us = processor_us(std::process::id()) - before;
    let last = progress.borrow_and_update().clone();
    let recorded = last.partitions.iter().map(|one| one.recorded).collect::<Vec<_>>();
    if recorded != ends {
        return Err(format!("the log ends at {ends:?}, recorded is up to {recorded:?}").into());
    }
    Ok(Moved { events: ends.iter().sum(), bytes, took, processor_us })
}

async fn compact(lake: &Url) -> Result<(), Failure> {
    let (begun, before) = (Instant::now(), processor_us(std::process::id()));
    let url = LakeUrl::parse(lake.as_str())?;
    let day = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date().tomorrow()?;
    let done = maintenance::compact_days_before(&url, &HashMap::new(), day, |_| ()).await?;
    eprintln!(
        "{} files became {} in {:.1?}, {:.1} s of processor time",
        done.files_before,
        done.files_after,
        begun.elapsed(),
        (processor_us(std::process::id()) - before) / 1e6
    );
    Ok(())
}

/// The query service with a reader's token.
struct Query {
    running: RunningQuery,
    appender: Appender,
    http: reqwest::Client,
    url: String,
    token: String,
    _issuer: DevIssuer,
}

impl Query {
    async fn start(log: &Arc<dyn Log>, lake: &Url) -> Result<Self, Failure> {
        let auditor = DevClient { kind: PrincipalKind::Human, ..DevClient::new(AUDITOR) };
        let issuer = DevIssuer::start("127.0.0.1:0".parse()?, vec![auditor]).await?;
        let http = reqwest::Client::new();
        let secret = issuer.clients().first().map(|client| client.secret.expose().to_owned());
        let form = [("grant_type", "client_credentials"), ("ttl", "3600")];
        let asked = http.post(&issuer.token_url).basic_auth(AUDITOR, secret).form(&form);
        let answer: Value = asked.send().await?.json().await?;
        let token =
            answer.get("access_token").and_then(Value::as_str).ok_or("no token")?.to_owned();
        let start = async |id: &str, role: &'static str| {
            let id = ProducerId::parse(id)?;
            Ok::<_, Failure>(
                Appender::start(Arc::clone(log), id, role, AppenderOptions::default()).await?,
            )
        };
        let config = QueryConfig {
            lake: LakeConfig::new(lake.clone()),
            http: Some(ListenConfig::plain("127.0.0.1:0".parse()?)),
            pgwire: None,
            limits: Limits { max_memory_bytes: 4 << 30, ..Limits::default() },
        };
        let authenticator = Authenticator::new(vec![issuer.issuer_config()])?;
        let policies = PolicyStore::from_text(POLICY, "bench.cedar")?;
        let own = start("bench/query", "query").await?;
        let running =
            QueryService::start(config, Arc::clone(log), authenticator, policies, own).await?;
        let address = running.http_addr.ok_or("no address")?;
        let appender = start("bench/gateway", "gateway").await?;
        Ok(Self {
            running,
            appender,
            http,
            url: format!("http://{address}/v1/sql"),
            token,
            _issuer: issuer,
        })
    }

    async fn count(&self, sql: &str) -> Result<u64, Failure> {
        let asked = self.http.post(&self.url).bearer_auth(&self.token).json(&json!({ "sql": sql }));
        let answer: Value = asked.send().await?.json().await?;
        let value = answer.pointer("/rows/0/0").and_then(Value::as_u64);
        value.ok_or_else(|| answer.to_string().into())
    }

    /// From the acknowledged append to the answer that has the event.
    async fn freshness(&self, times: usize) -> Result<(), Failure> {
        let mut waits = Waits::new();
        for number in 0..times {
            let body = Integrity::Checkpoint {
                tree_size: number as u64,
                root: "0".repeat(64),
                key_id: "bench".to_owned(),
                signature: "0".repeat(64),
            };
            let draft = Draft::new(Context::default().into(), None, Body::Integrity(body));
            let sql = format!("SELECT count(*) FROM events WHERE event_id = '{}'", draft.event_id);
            let _on_record = self.appender.commit(draft).await?;
            let begun = Instant::now();
            while self.count(&sql).await? == 0 {}
            waits.add(begun.elapsed());
        }
        let [p50, p99] = waits.at([50, 99]);
        eprintln!(
            "an event is visible to SQL after its append: p50 {p50:.1} ms, p99 {p99:.1} ms ({times} appends)"
        );
        Ok(())
    }
}
