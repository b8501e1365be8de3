//! Secrets that are in use, looked for wherever something is told: what the gateway shows to a database, a service, a cluster's
//! kind of server and MCP servers, what agents show to the gateway, and what is wrong of both. All roles log as much as they can.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tallyport_eventlog::{LogUrl, Position, Topic};
use tallyport_schemas::Content;
use tallyport_tests::{AGENT, Desk, Forward, Role, Site, eventually, free_port, start_or_say};

use crate::collector::Collector;
use crate::scrape::{Scrape, readyz};

const POLICY: &str = r#"
@id("crm") permit (principal, action in [Tallyport::Action::"http:connect", Tallyport::Action::"http:request"], resource);
@id("mcp") permit (principal, action in Tallyport::Action::"mcp:any", resource);
"#;
/// What the gateway shows to a service, to an MCP server, and has a process of its own know.
const SHOWN: [&str; 4] = [
    "planted-of-the-service",
    "planted-key-of-it",
    "planted-of-the-server",
    "planted-of-the-child",
];
/// The password of a proxy that somebody wrote into the address of a target which is refused.
const FORGED: &str = "planted-no-token-at-all";

/// A service that says what it was asked with, fields and all.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for io in listener.incoming() {
            let Ok(mut io) = io else { continue };
            let mut head = [0; 8192];
            let read = io.read(&mut head).unwrap_or_default();
            let said = String::from_utf8_lossy(&head[..read]).into_owned();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n";
            let _wrote = write!(io, "{head}content-length: {}\r\n\r\n{said}", said.len());
        }
    });
    port
}

/// All that a role may tell, and what must not be in it.
struct Told {
    places: Vec<(String, String)>,
}

impl Told {
    fn has(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.places.push((place.into(), text.into()));
    }

    /// Every event, and what passed as it is recorded in it.
    async fn events(&mut self, log: &str) -> usize {
        let url: LogUrl = log.parse().unwrap();
        let log = tallyport_eventlog::open(&url).await.unwrap();
        let mut count = 0;
        for topic in [Topic::Audit, Topic::Control] {
            let mut from = Position { partition: 0, offset: 0 };
            loop {
                let entries = log.read(topic, from, 1 << 22, Duration::ZERO).await.unwrap();
                let Some(last) = entries.last() else { break };
                from.offset = last.position.offset + 1;
                for entry in entries {
                    count += 1;
                    self.has("an event", String::from_utf8_lossy(&entry.value));
                    let event: Value = serde_json::from_slice(&entry.value).unwrap();
                    self.contents(&event);
                }
            }
        }
        count
    }

    fn contents(&mut self, value: &Value) {
        if let Ok(content) = serde_json::from_value::<Content>(value.clone()) {
            self.has("what passed", String::from_utf8_lossy(&content.replay().unwrap()));
        }
        match value {
            Value::Object(members) => members.values().for_each(|it| self.contents(it)),
            Value::Array(items) => items.iter().for_each(|it| self.contents(it)),
            _ => {}
        }
    }

    /// Files as they are, which is as whoever copies a disk sees them.
    fn files(&mut self, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                self.files(&path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                self.has(path.display().to_string(), String::from_utf8_lossy(&bytes));
            }
        }
    }

    fn is_silent_about(&self, secret: &str) {
        assert!(secret.len() > 10, "{secret} may be anywhere");
        for (place, text) in &self.places {
            assert!(!text.contains(secret), "{secret} is in {place}: {text}");
        }
    }

    fn says(&self, place: &str, text: &str) -> bool {
        self.places.iter().any(|it| it.0 == place && it.1.contains(text))
    }
}

#[test]
fn secrets_in_use_are_told_nowhere() {
    let test = "secrets_in_use_are_told_nowhere";
    let sample = dev_services::repo_root().join("deploy/examples/sample.sql");
    let scram = ["--auth", "scram", "--sql", &sample.to_string_lossy()];
    let Some(postgres) = start_or_say(test, "postgres", &scram) else { return };
    let Some(reference) = start_or_say(test, "mcp-reference", &[]) else { return };
    let Some(site) = Site::start(test) else { return };
    let collector = Collector::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let password = postgres.text("password");
    let telemetry = format!("127.0.0.1:{}", free_port());
    let policy = std::fs::read_to_string(site.path("policy.cedar")).unwrap();
    std::fs::write(site.path("policy.cedar"), policy + POLICY).unwrap();
    for name in ["log", "lake"] {
        std::fs::create_dir(site.path(name)).unwrap();
    }
    std::fs::write(site.path("of-the-service"), SHOWN[0]).unwrap();
    let log = format!("embedded:{}", site.path("log").display());
    let lake = format!("[lake]\nurl = \"file://{}\"\n", site.path("lake").display());
    let config = site.config("secrets.toml", &log, &lake, &["gateway", "recorder", "query"]);
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace(
        &format!(
            "address = \"127.0.0.1:{}\"\ndatabase = \"postgres\"\nuser = \"postgres\"\n",
            site.postgres.port("port")
        ),
        &format!(
            "address = \"127.0.0.1:{}\"\ndatabase = \"postgres\"\nuser = \"postgres\"\npassword = {{ command = [\"echo\", \"{password}\"] }}\n",
            postgres.port("port")
        ),
    );
    let servers = format!(
        "[telemetry]\nlisten = '{telemetry}'\notlp_endpoint = '{}'\nsample_ratio = 1.0\n[gateway.mcp]\n\
         [[gateway.mcp.servers]]\nname = 'reference'\nurl = '{}'\ntoken = {{ value = '{}' }}\n\
         [[gateway.mcp.servers]]\nname = 'child'\ncommand = ['/bin/sh', '-c', 'env >&2; read line; exit 1']\nenv = {{ CHILD_KEY = {{ value = '{}' }} }}\n\
         [[targets]]\nkind = 'http'\nname = 'crm'\nurl = 'http://127.0.0.1:{}'\ntoken = {{ file = 'of-the-service' }}\nheaders = {{ x-api-key = {{ value = '{}' }} }}\n\
         [[targets.routes]]\nname = 'all'\nmethod = 'GET'\npath = '/a'\n[[targets]]",
        collector.endpoint(),
        reference.text("url"),
        SHOWN[2],
        SHOWN[3],
        echo(),
        SHOWN[1],
    );
    std::fs::write(&config, text.replacen("[[targets]]", &servers, 1)).unwrap();
    let role = Role::start_with("up", &config, &["-vvv"]);
    let token = runtime.block_on(site.token_of(AGENT));
    // Good in its form, and signed by nobody.
    let forged = format!("{}.{FORGED}", token.rsplit_once('.').unwrap().0);

    let gateway = format!("127.0.0.1:{}", site.gateway_port());
    let ca = site.path("tls/ca.pem");
    let at = ["--gateway", &gateway, "--ca", ca.to_str().unwrap()];
    let with = |access: &[&str]| {
        [&at[..], access].concat().iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()
    };
    let (good, bad) = (with(&["--token", &token]), with(&["--token", &forged]));
    let forward = |target: &str, access: &[String]| {
        let arguments: Vec<_> =
            std::iter::once(target).chain(access.iter().map(String::as_str)).collect();
        Forward::start(&arguments)
    };
    let psql = |port: u16| {
        let url = format!("postgres://anyone@127.0.0.1:{port}/postgres?sslmode=disable");
        let output = Command::new("psql").args([&url, "-Atc", "SELECT 'it is ' || 'in'"]).output();
        tallyport_tests::said(&output.unwrap())
    };
    assert!(psql(forward("sample", &good).port()).contains("it is in"), "{}", role.log());
    assert!(psql(forward("sample", &bad).port()).contains("invalid_token"));
    let crm = forward("crm", &good);
    let curl = |arguments: &[&str]| {
        let curl = Command::new("curl").args(["-sk", "--noproxy", "*"]).args(arguments).output();
        tallyport_tests::said(&curl.unwrap())
    };
    let echoed = curl(&[&format!("http://127.0.0.1:{}/a", crm.port())]);
    assert!(
        echoed.contains("Bearer [redacted]"),
        "the service was shown what it was to be: {echoed}"
    );
    let mut desk = Desk::start(&good.iter().map(String::as_str).collect::<Vec<_>>());
    let told = desk.call("reference__test_simple_text", &json!({}));
    assert_eq!(told["result"]["isError"], false, "{told}");
    let _fails = desk.call("child__anything", &json!({}));
    let of_it = |token: &str| format!("Authorization: Bearer {token}");
    let mcp = format!("https://localhost:{}/mcp/child", site.gateway_port());
    let asked =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} }).to_string();
    for token in [&token, &forged] {
        curl(&["-H", &of_it(token), "--json", &asked, &mcp]);
        curl(&["-H", &of_it(token), &mcp.replace("/mcp/child", "/v1/sessions")]);
        curl(&[
            "--proxytunnel",
            "--proxy-insecure",
            "--proxy",
            &site.origin(),
            "--proxy-header",
            &format!("Proxy-{}", of_it(token)),
            "http://sample:1/",
        ]);
        // Where no token belongs, and somebody puts it all the same.
        curl(&[&format!("{mcp}?access_token={token}")]);
    }

    let recorded =
        "SELECT count(*) AS n FROM commands WHERE target IN ('sample', 'crm', 'reference')";
    assert!(eventually(|| site.sql(recorded)[0]["n"].as_u64().is_some_and(|n| n >= 3)));
    assert!(eventually(|| collector.got().spans.iter().any(|it| it.name == "mcp_call")));
    let mut told = Told { places: Vec::new() };
    for table in ["events", "commands", "decisions", "responses", "sessions", "authentications"] {
        let rows = site.ask(&["sql", &format!("SELECT * FROM {table}"), "--json"]);
        told.has("an answer of the audit", tallyport_tests::said(&rows));
    }
    told.has("/metrics", Scrape::of(&telemetry).text);
    told.has("/readyz", readyz(&telemetry).1.to_string());
    let logged = role.end();
    told.has("the log", &logged);
    told.has("OTLP", String::from_utf8_lossy(&collector.got().bytes));
    for folder in ["log", "lake"] {
        told.files(&site.path(folder));
    }
    assert!(runtime.block_on(told.events(&log)) > 20);
    // What is looked for is there to be found.
    assert!(told.says("what passed", "it is in") && told.says("what passed", "GET /a"));
    assert!(told.says("the log", "CHILD_KEY=[redacted]"), "{logged}");
    assert!(told.says("the log", "authentication") && told.says("OTLP", "mcp_call"));
    let (of_agent, of_auditor) = (site.path(AGENT), site.path("analyst"));
    let secrets = [of_agent, of_auditor].map(|file| std::fs::read_to_string(file).unwrap());
    let signature = token.rsplit_once('.').unwrap().1;
    for secret in SHOWN.into_iter().chain([password, &token, signature, FORGED]) {
        told.is_silent_about(secret);
    }
    secrets.iter().for_each(|secret| told.is_silent_about(secret));
}
