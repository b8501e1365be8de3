//! What is counted of services and of MCP servers, and their spans.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use tallyport_tests::{AGENT, Desk, Role, Site, eventually, free_port, start_or_say};

use crate::collector::{Collector, Got};
use crate::scrape::Scrape;
use crate::spans::{hex, spans_of, text, within};

const POLICY: &str = r#"
@id("crm") permit (principal, action in [Tallyport::Action::"http:connect", Tallyport::Action::"http:request"], resource)
  unless { resource is Tallyport::Route && resource.path like "/secret*" };
@id("mcp") permit (principal, action in Tallyport::Action::"mcp:any", resource) unless { resource is Tallyport::Tool && resource.name like "*error*" };
"#;

/// Traces of a caller, of which one is collected, and the span that its calls are part of.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const UNSAMPLED: &str = "4bf92f3577b34da6a3ce929d0e0e4737";
const CALLER: &str = "00f067aa0ba902b7";

/// A service that answers every request with a word.
fn service() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for io in listener.incoming() {
            let Ok(mut io) = io else { continue };
            let _read = io.read(&mut [0; 4096]);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
            let _wrote = io.write_all(answer);
        }
    });
    port
}

fn curl(port: u16, path: &str) -> String {
    let url = format!("http://127.0.0.1:{port}{path}");
    let output = Command::new("curl").args(["-s", "--noproxy", "*", &url]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn requests_and_calls_are_counted_by_target_and_what_fails_by_why() {
    let test = "requests_and_calls_are_counted_by_target_and_what_fails_by_why";
    let Some(site) = Site::start(test) else { return };
    let Some(reference) = start_or_say(test, "mcp-reference", &[]) else { return };
    let collector = Collector::start();
    let (telemetry, gone) = (format!("127.0.0.1:{}", free_port()), free_port());
    let policy = std::fs::read_to_string(site.path("policy.cedar")).unwrap();
    std::fs::write(site.path("policy.cedar"), policy + POLICY).unwrap();
    let log = format!("embedded:{}", site.path("log").display());
    let config = site.config("counted.toml", &log, "", &["gateway"]);
    let text = std::fs::read_to_string(&config).unwrap();
    let servers = [
        ("reference", reference.text("url").to_owned()),
        ("gone", format!("http://127.0.0.1:{gone}/mcp")),
    ]
    .map(|(name, url)| format!("[[gateway.mcp.servers]]\nname = '{name}'\nurl = '{url}'\n"));
    let targets = [("crm", service()), ("down", gone)].map(|(name, port)| {
        format!(
            "[[targets]]\nkind = 'http'\nname = '{name}'\nurl = 'http://127.0.0.1:{port}'\ntoken = {{ value = 'of-the-gateway' }}\n\
             [[targets.routes]]\nname = 'all'\nmethod = 'GET'\npath = '/a'\n[[targets.routes]]\nname = 'secret'\nmethod = 'GET'\npath = '/secret'\n"
        )
    });
    let more = format!(
        "[telemetry]\nlisten = '{telemetry}'\notlp_endpoint = '{}'\nsample_ratio = 1.0\n[gateway.mcp]\n{}{}[[targets]]",
        collector.endpoint(),
        servers.concat(),
        targets.concat()
    );
    std::fs::write(&config, text.replacen("[[targets]]", &more, 1)).unwrap();
    let _gateway = Role::start("gateway", &config);
    let gateway = format!("127.0.0.1:{}", site.gateway_port());
    let ca = site.path("tls/ca.pem");
    let access = site.access(AGENT);
    let at = ["--gateway", &gateway, "--ca", ca.to_str().unwrap()];
    let access: Vec<&str> = at.into_iter().chain(access.iter().map(String::as_str)).collect();

    for (target, port_of) in [("crm", "ok"), ("down", "target_unavailable")] {
        let forward = tallyport_tests::Forward::start(&[&[target], &access[..]].concat());
        assert!(curl(forward.port(), "/a").contains(port_of), "{target}");
        if target == "crm" {
            assert!(curl(forward.port(), "/secret").contains("denied_by_policy"));
        }
    }
    let mut desk = Desk::start(&access);
    let told = desk.call("reference__test_simple_text", &json!({}));
    assert_eq!(told["result"]["isError"], false, "{told}");
    let told = desk.call("reference__test_error_handling", &json!({}));
    assert!(
        told.to_string().contains("Unknown tool") || told.to_string().contains("denied"),
        "{told}"
    );

    let last = || Scrape::of(&telemetry);
    assert!(eventually(|| counted(&last())), "{}", last().text);
    strangers_trace_goes_on(site.gateway_port());
    let is_whole =
        || requests_have_their_spans(&collector.got()) && calls_have_theirs(&collector.got());
    assert!(eventually(is_whole), "{:?}", names(&collector.got()));
}

/// Whether the scrape has what was asked, and nothing else.
fn counted(scrape: &Scrape) -> bool {
    let of = |target: &'static str, more: (&'static str, &'static str)| [("target", target), more];
    let statements = "tallyport_gateway_statements_total";
    let failures = "tallyport_gateway_dial_failures_total";
    let seconds = "tallyport_gateway_request_seconds_count";
    scrape.sum(statements, &of("crm", ("decision", "allow"))) == 1.0
        && scrape.sum(statements, &of("crm", ("decision", "deny"))) == 1.0
        && scrape.sum(seconds, &[("target", "crm")]) == 1.0
        && scrape.sum(failures, &of("down", ("code", "unreachable"))) >= 1.0
        && scrape.sum(failures, &of("gone", ("code", "unreachable"))) >= 1.0
        && scrape.sum(failures, &[("target", "crm")]) == 0.0
        && scrape.sum(statements, &of("reference", ("decision", "allow"))) == 1.0
        && scrape.sum(seconds, &[("target", "reference")]) >= 1.0
}

/// What of it there is, for whoever reads why it failed.
fn names(got: &Got) -> Vec<(String, String, String)> {
    let told = |id: &[u8]| hex(id);
    got.spans
        .iter()
        .map(|it| (it.name.clone(), told(&it.span_id), told(&it.parent_span_id)))
        .collect()
}

/// A request that passed waited for four things, one that was refused for its judgement alone.
fn requests_have_their_spans(got: &Got) -> bool {
    let is_session = |it: &&Span| {
        it.name == "session" && text(it, "target").is_some_and(|target| target == "crm")
    };
    let sessions: Vec<_> = got.spans.iter().filter(is_session).collect();
    let is_request = |it: &&Span| {
        let of = |session: &&Span| {
            it.parent_span_id == session.span_id && it.trace_id == session.trace_id
        };
        it.name == "request" && sessions.iter().any(of)
    };
    let requests: Vec<_> = got.spans.iter().filter(is_request).collect();
    let parts = |request| {
        ["judge", "commit_intent", "target", "commit_outcome"]
            .map(|name| within(&got.spans, name, request))
    };
    let mut all: Vec<_> = requests.into_iter().map(parts).collect();
    all.sort_unstable();
    all == [[1, 0, 0, 0], [1, 1, 1, 1]]
}

/// A call of a server's tool is a trace, and what it waited for is in it.
fn calls_have_theirs(got: &Got) -> bool {
    let is_called = |span: &&Span| {
        let spans = spans_of(got, &hex(&span.trace_id));
        let parts = ["authentication", "judge", "commit_intent", "target", "commit_outcome"];
        span.name == "mcp_call"
            && span.parent_span_id.is_empty()
            && text(span, "target").is_some_and(|target| target == "reference")
            && parts.map(|name| within(&spans, name, span)) == [1; 5]
    };
    let goes_on = |span: &Span| span.name == "mcp_call" && hex(&span.parent_span_id) == CALLER;
    got.spans.iter().find(is_called).is_some()
        && spans_of(got, TRACE).iter().any(goes_on)
        && spans_of(got, UNSAMPLED).is_empty()
}

/// Calls of somebody whom the gateway does not know, in traces of their own.
fn strangers_trace_goes_on(gateway: u16) {
    for (trace, flag) in [(UNSAMPLED, "00"), (TRACE, "01")] {
        let mut curl = Command::new("curl");
        curl.args([
            "-sk",
            "--noproxy",
            "*",
            "--max-time",
            "15",
            "-H",
            "Authorization: Bearer none",
        ]);
        curl.args(["-H", &format!("traceparent: 00-{trace}-{CALLER}-{flag}"), "--data", "{}"]);
        curl.args(["-o", "/dev/null", "-w", "%{http_code}"]);
        let output = curl.arg(format!("https://localhost:{gateway}/mcp")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "401");
    }
}
