//! A known load, and what is told of it.

use std::path::Path;
use std::process::Command;

use dev_services::{DevService, repo_root};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;
use tallyport_tests::{Forward, binary, eventually, rows, start_or_say};
use tokio_postgres::{Client, NoTls};

use crate::collector::{Collector, Got};
use crate::documented;
use crate::process::{Process, ready};
use crate::scrape::{Scrape, readyz};
use crate::spans::{hex, spans_of, within};

const ALLOWED: usize = 7;
const DENIED: usize = 2;
/// Part of every statement.
const CONSTANT: &str = "planted-constant-4711";
/// No token at all.
const TOKEN: &str = "planted-token-0815";
/// The password of the target's role, which PostgreSQL does not ask for here.
const PASSWORD: &str = "planted-password-1234";
const TARGET: &[(&str, &str)] = &[("target", "sample")];

struct World {
    dev: Process,
    ready_file: std::path::PathBuf,
    ready: Value,
    telemetry: String,
    _postgres: DevService,
}

impl World {
    fn start(folder: &Path, collector: &Collector) -> Option<Self> {
        let sample = repo_root().join("deploy/examples/sample.sql");
        let test = "a_known_load_is_told_exactly_and_without_secrets";
        let postgres = start_or_say(test, "postgres", &["--sql", &sample.to_string_lossy()])?;
        let url =
            format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/postgres", postgres.port("port"));
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint()),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "300"),
        ];
        let (dev, ready_file) =
            Process::dev(folder, &["--log-json", "--target-url", &url], &environment);
        let ready = ready(&ready_file);
        let telemetry = ready["telemetry"].as_str().expect("an address").to_owned();
        let telemetry = telemetry.trim_start_matches("http://").to_owned();
        Some(Self { dev, ready_file, ready, telemetry, _postgres: postgres })
    }

    fn scrape(&self) -> Scrape {
        Scrape::of(&self.telemetry)
    }

    fn connect(&self, access: &[&str]) -> Forward {
        let ready_file = self.ready_file.to_str().unwrap();
        Forward::start(&[&["sample", "--ready-file", ready_file], access].concat())
    }

    fn sql(&self, sql: &str) -> Vec<Value> {
        let mut command = Command::new(binary());
        command.args(["sql", sql, "--as", "auditor", "--json", "--ready-file"]);
        rows(&command.arg(&self.ready_file).output().unwrap())
    }

    /// Waits until `what` is as it should be.
    fn comes(&self, what: &str, mut is: impl FnMut(&Scrape) -> bool) {
        assert!(eventually(|| is(&self.scrape())), "{what}: {}", self.scrape().text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_load_is_told_exactly_and_without_secrets() {
    let folder = tempfile::Builder::new().prefix("tallyport-telemetry-").tempdir().unwrap();
    let collector = Collector::start();
    let Some(world) = World::start(folder.path(), &collector) else { return };
    sessions(&world).await;
    let trace_id = events_match_what_was_counted(&world);
    let text = world.scrape().text;
    documented::names_are_those_of(&world.scrape());
    let (_, report) = readyz(&world.telemetry);
    callers_trace_goes_on(&world, &collector);
    lost_session_is_logged_with_its_trace(&world).await;
    let all_spans = || spans_of(&collector.got(), &trace_id).len() >= ALLOWED * 5;
    assert!(eventually(all_spans), "{:?}", collector.got().spans);
    let needed = "tallyport_gateway_statements_total";
    assert!(eventually(|| collector.got().metrics.contains(needed)), "metrics are exported");
    let World { dev, ready, .. } = world;
    let log = dev.stop();
    let got = collector.got();
    statements_have_their_spans(&got, &trace_id);
    let secrets: Vec<String> = ready["issuer"]["clients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|client| client["secret"].as_str().unwrap().to_owned())
        .chain([CONSTANT, TOKEN, PASSWORD].map(str::to_owned))
        .collect();
    assert!(secrets.iter().all(|secret| secret.len() > 10));
    let exported = String::from_utf8_lossy(&got.bytes).into_owned();
    for secret in &secrets {
        for (place, told) in [
            ("/metrics", &text),
            ("/readyz", &report.to_string()),
            ("the log", &log),
            ("OTLP", &exported),
        ] {
            assert!(!told.contains(secret.as_str()), "{secret} is in {place}: {told}");
        }
    }
}

/// Sessions whose figures are known, and the figures.
async fn sessions(world: &World) {
    let before = world.scrape();
    let forward = world.connect(&["--as", "support-agent"]);
    let (client, driver) = connect(forward.port()).await.expect("the agent gets in");
    world.comes("one session is open", |now| now.sum("tallyport_gateway_sessions", TARGET) == 1.0);
    assert!(world.scrape().sum("tallyport_gateway_connections", &[("front", "quic")]) >= 1.0);
    for number in 0..ALLOWED {
        client.simple_query(&format!("SELECT '{CONSTANT}-{number}'")).await.expect("allowed");
    }
    for _ in 0..DENIED {
        let sql = format!("CREATE TABLE app.t (a text DEFAULT '{CONSTANT}')");
        client.simple_query(&sql).await.expect_err("denied");
    }
    drop(client);
    driver.await.unwrap();
    let stranger = world.connect(&["--token", TOKEN]);
    assert!(connect(stranger.port()).await.is_none(), "no token opens a session");
    world.comes("no session is open", |now| now.sum("tallyport_gateway_sessions", TARGET) == 0.0);
    let now = world.scrape();
    let grown =
        |name: &str, labels: &[(&str, &str)]| now.sum(name, labels) - before.sum(name, labels);
    let sample = ("target", "sample");
    for (name, labels, by) in [
        ("gateway_sessions_opened_total", &[sample][..], 1.0),
        ("gateway_sessions_closed_total", &[sample, ("reason", "client")], 1.0),
        ("gateway_sessions_refused_total", &[("code", "invalid_token")], 1.0),
        ("gateway_statements_total", &[sample, ("decision", "allow")], ALLOWED as f64),
        ("gateway_statements_total", &[sample, ("decision", "deny")], DENIED as f64),
        ("gateway_authentications_total", &[("outcome", "accepted")], 1.0),
        ("gateway_authentications_total", &[("outcome", "refused")], 1.0),
        ("gateway_dial_seconds_count", &[sample], 1.0),
        ("log_commits_total", &[("producer", "gateway"), ("outcome", "failed")], 0.0),
    ] {
        assert_eq!(
            grown(&format!("tallyport_{name}"), labels),
            by,
            "{name} {labels:?}: {}",
            now.text
        );
    }
    let durable = [("producer", "gateway"), ("outcome", "durable")];
    let commits = now.sum("tallyport_log_commits_total", &durable);
    assert_eq!(now.sum("tallyport_log_commit_seconds_count", &durable[..1]), commits);
    assert_eq!(now.sum("tallyport_log_healthy", &[("producer", "gateway")]), 1.0);
    let (used, capacity) =
        (now.sum("tallyport_log_used_bytes", &[]), now.sum("tallyport_log_capacity_bytes", &[]));
    assert!(0.0 < used && used < capacity, "{used} of {capacity}");
    assert_eq!(now.sum("tallyport_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
}

/// What the log confirmed is what the lake has. Gives the trace of the session's events.
fn events_match_what_was_counted(world: &World) -> String {
    let count = "SELECT count(*) AS n FROM events WHERE producer_id = 'dev/gateway'";
    let events = || world.sql(count)[0]["n"].as_f64().unwrap();
    let counted = || world.scrape().sum("tallyport_log_events_total", &[("producer", "gateway")]);
    // A look of the gateway at its target may come in between.
    assert!(eventually(|| counted() == events()), "{} counted, {} told", counted(), events());
    let asked = world.scrape().sum("tallyport_query_statements_total", &[("face", "http")]);
    let sql = format!("SELECT DISTINCT trace_id FROM commands WHERE statement LIKE '%{CONSTANT}%'");
    let traces = world.sql(&sql);
    assert_eq!(traces.len(), 1, "one session, one trace: {traces:?}");
    let completed = [("face", "http"), ("outcome", "completed")];
    world.comes("the question is counted", |now| {
        now.sum("tallyport_query_statements_total", &completed) == asked + 1.0
            && now.sum("tallyport_query_seconds_count", &completed[..1]) == asked + 1.0
    });
    world.comes("all is recorded", |now| {
        let recorded = now.sum("tallyport_recorder_committed_events_total", &[("partition", "0")]);
        recorded == now.sum("tallyport_log_events_total", &[])
            && now.sum("tallyport_recorder_lag_events", &[]) == 0.0
            && now.sum("tallyport_recorder_commit_seconds_count", &[]) > 0.0
    });
    traces[0]["trace_id"].as_str().unwrap().replace('-', "")
}

/// A line about a session names its trace, and every line is an object.
async fn lost_session_is_logged_with_its_trace(world: &World) {
    let forward = world.connect(&["--as", "support-agent"]);
    let (_client, driver) = connect(forward.port()).await.expect("the agent gets in");
    driver.abort();
    let line = || {
        let log = world.dev.log();
        let lines = log.lines().map(|line| {
            serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("no object: {line}"))
        });
        lines.into_iter().find(|line| line["fields"]["message"] == "session lost")
    };
    assert!(eventually(|| line().is_some()), "{}", world.dev.log());
    let line = line().unwrap();
    let session = line["fields"]["session"].as_str().expect("a field of its own").to_owned();
    let span = &line["spans"][0];
    assert_eq!(span["name"], "session", "{line}");
    assert_eq!(span["session"], Value::String(session.clone()), "{line}");
    assert_eq!(span["trace_id"].as_str().map(str::len), Some(32), "{line}");
    let sql = format!("SELECT DISTINCT trace_id FROM events WHERE session_id = '{session}'");
    let told = world.sql(&sql);
    assert_eq!(told[0]["trace_id"].as_str().unwrap().replace('-', ""), span["trace_id"], "{line}");
}

/// Who traces its own call and says so finds the session in its trace; who says that it does not is not traced.
fn callers_trace_goes_on(world: &World, collector: &Collector) {
    const SAMPLED: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const UNSAMPLED: &str = "4bf92f3577b34da6a3ce929d0e0e4737";
    const SPAN: &str = "00f067aa0ba902b7";
    let https = world.ready["gateway"]["https"].as_str().unwrap();
    for (trace, flag) in [(UNSAMPLED, "00"), (SAMPLED, "01")] {
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--max-time",
            "15",
            "--noproxy",
            "",
            "--proxy-insecure",
            "--proxytunnel",
        ]);
        curl.args([
            "--proxy",
            https,
            "--proxy-header",
            &format!("Proxy-Authorization: Bearer {TOKEN}"),
        ]);
        curl.args(["--proxy-header", &format!("traceparent: 00-{trace}-{SPAN}-{flag}")]);
        let answered = curl.arg("http://sample:5432/").output().expect("curl runs");
        assert!(!answered.status.success(), "a stranger gets no session");
        let id = format!(
            "{}-{}-{}-{}-{}",
            &trace[..8],
            &trace[8..12],
            &trace[12..16],
            &trace[16..20],
            &trace[20..]
        );
        let sql = format!("SELECT count(*) AS n FROM authentications WHERE trace_id = '{id}'");
        assert_eq!(world.sql(&sql)[0]["n"], 1, "the event is of the caller's trace");
    }
    assert!(eventually(|| !spans_of(&collector.got(), SAMPLED).is_empty()));
    let spans = spans_of(&collector.got(), SAMPLED);
    let session = spans.iter().find(|span| span.name == "session").expect("the session's span");
    assert_eq!(hex(&session.parent_span_id), SPAN);
    // It came before the one that is there.
    assert!(spans_of(&collector.got(), UNSAMPLED).is_empty());
}

/// Every statement is a span of the session's trace, and what it waited for are spans of it.
fn statements_have_their_spans(got: &Got, trace_id: &str) {
    let spans = spans_of(got, trace_id);
    let session: Vec<_> = spans.iter().filter(|span| span.name == "session").collect();
    assert_eq!(session.len(), 1, "the session's span has the trace of its events");
    assert!(session[0].parent_span_id.is_empty(), "it begins the trace");
    let within = |name: &str, parent: &Span| within(&spans, name, parent);
    for name in ["authentication", "session_open"] {
        assert_eq!(within(name, session[0]), 1, "{name}");
    }
    let statements: Vec<_> = spans.iter().filter(|span| span.name == "statement").collect();
    // A goodbye goes to the target, too, and is no statement of the agent's.
    let passed: Vec<_> = statements
        .iter()
        .filter(|statement| within("target", statement) == 1 && number(statement, "commands") == 1)
        .collect();
    assert_eq!(passed.len(), ALLOWED, "{statements:?}");
    for statement in passed {
        assert_eq!(statement.parent_span_id, session[0].span_id);
        for name in ["judge", "commit_intent"] {
            assert_eq!(within(name, statement), 1, "{name}");
        }
        // What comes in two pieces goes on record in two.
        assert!(within("commit_outcome", statement) >= 1);
    }
    for name in ["connection", "recorder_commit", "query"] {
        assert!(got.spans.iter().any(|span| span.name == name), "{name}");
    }
}

fn number(span: &Span, key: &str) -> i64 {
    let value = span.attributes.iter().find(|attribute| attribute.key == key);
    match value.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Attribute::IntValue(number)) => *number,
        other => panic!("{key} is no number: {other:?}"),
    }
}

async fn connect(port: u16) -> Option<(Client, tokio::task::JoinHandle<()>)> {
    let options =
        format!("host=127.0.0.1 port={port} user=anyone dbname=postgres connect_timeout=20");
    let (client, connection) = tokio_postgres::connect(&options, NoTls).await.ok()?;
    Some((client, tokio::spawn(async move { drop(connection.await) })))
}
