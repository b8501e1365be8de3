//! What is counted of services and of MCP servers.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use serde_json::json;
use tallyport_tests::{AGENT, Desk, Role, Site, eventually, free_port, start_or_say};

use crate::scrape::Scrape;

const POLICY: &str = r#"
@id("crm") permit (principal, action in [Tallyport::Action::"http:connect", Tallyport::Action::"http:request"], resource)
  unless { resource is Tallyport::Route && resource.path like "/secret*" };
@id("mcp") permit (principal, action in Tallyport::Action::"mcp:any", resource) unless { resource is Tallyport::Tool && resource.name like "*error*" };
"#;

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
        "[telemetry]\nlisten = '{telemetry}'\n[gateway.mcp]\n{}{}[[targets]]",
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

    let of = |target: &'static str, more: (&'static str, &'static str)| [("target", target), more];
    let counted = |scrape: &Scrape| {
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
    };
    let last = || Scrape::of(&telemetry);
    assert!(eventually(|| counted(&last())), "{}", last().text);
}
