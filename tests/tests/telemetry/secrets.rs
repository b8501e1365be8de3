//! Secrets that are in use, looked for wherever something is told: what the gateway shows to a database, a service, a cluster's
//! kind of server and MCP servers, what agents show to the gateway, and what is wrong of both. All roles log as much as they can.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dev_services::DevService;
use serde_json::{Value, json};
use tallyport_eventlog::{LogUrl, Position, Topic};
use tallyport_schemas::Content;
use tallyport_tests::{
    AGENT, Desk, Forward, Role, Site, eventually, free_port, psql, said, start_or_say,
};

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
/// In place of a signature.
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

/// A site whose parts all have secrets.
struct World {
    site: Site,
    postgres: DevService,
    reference: DevService,
    collector: Collector,
    telemetry: String,
    log: String,
}

impl World {
    fn start(test: &str) -> Option<Self> {
        let sample = dev_services::repo_root().join("deploy/examples/sample.sql");
        let scram = ["--auth", "scram", "--sql", &sample.to_string_lossy()];
        let postgres = start_or_say(test, "postgres", &scram)?;
        let reference = start_or_say(test, "mcp-reference", &[])?;
        let site = Site::start(test)?;
        let telemetry = format!("127.0.0.1:{}", free_port());
        let log = format!("embedded:{}", site.path("log").display());
        Some(Self { site, postgres, reference, collector: Collector::start(), telemetry, log })
    }

    fn config(&self) -> PathBuf {
        let Self { site, postgres, reference, collector, telemetry, log } = self;
        let policy = std::fs::read_to_string(site.path("policy.cedar")).unwrap();
        std::fs::write(site.path("policy.cedar"), policy + POLICY).unwrap();
        for name in ["log", "lake"] {
            std::fs::create_dir(site.path(name)).unwrap();
        }
        std::fs::write(site.path("of-the-service"), SHOWN[0]).unwrap();
        let lake = format!("[lake]\nurl = \"file://{}\"\n", site.path("lake").display());
        let config = site.config("secrets.toml", log, &lake, &["gateway", "recorder", "query"]);
        let text = std::fs::read_to_string(&config).unwrap();
        let (from, to) = (site.postgres.port("port"), postgres.port("port"));
        let text = text.replace(&format!("127.0.0.1:{from}"), &format!("127.0.0.1:{to}"));
        let password =
            format!("password = {{ command = ['echo', '{}'] }}\n", postgres.text("password"));
        let more = format!(
            "[telemetry]\nlisten = '{telemetry}'\notlp_endpoint = '{}'\nsample_ratio = 1.0\n[gateway.mcp]\n\
             [[gateway.mcp.servers]]\nname = 'reference'\nurl = '{}'\ntoken = {{ value = '{}' }}\n\
             [[gateway.mcp.servers]]\nname = 'child'\ncommand = ['/bin/sh', '-c', 'env >&2; read line; exit 1']\nenv = {{ CHILD_KEY = {{ value = '{}' }} }}\n\
             [[targets]]\nkind = 'http'\nname = 'crm'\nurl = 'http://127.0.0.1:{}'\ntoken = {{ file = 'of-the-service' }}\nheaders = {{ x-api-key = {{ value = '{}' }} }}\n\
             [[targets.routes]]\nname = 'all'\nmethod = 'GET'\npath = '/a'\n[[targets]]\n{password}",
            collector.endpoint(),
            reference.text("url"),
            SHOWN[2],
            SHOWN[3],
            echo(),
            SHOWN[1],
        );
        std::fs::write(&config, text.replacen("[[targets]]\n", &more, 1)).unwrap();
        config
    }

    /// Sessions, requests and calls with this token, on every way in.
    fn use_it(&self, token: &str) -> Uses {
        let (gateway, ca) =
            (format!("127.0.0.1:{}", self.site.gateway_port()), self.site.path("tls/ca.pem"));
        let access = ["--gateway", &gateway, "--ca", ca.to_str().unwrap(), "--token", token];
        let forward = |target: &str| Forward::start(&[&[target], &access[..]].concat());
        let sql = ["-Atc", "SELECT 'it is ' || 'in'"];
        let database = psql(forward("sample").port(), "anyone", "postgres").args(sql).output();
        let service = forward("crm");
        let mut desk = Desk::start(&access);
        let tool = desk.call("reference__test_simple_text", &json!({})).to_string();
        let _fails = desk.call("child__anything", &json!({}));
        let _unknown = desk.call(token, &json!({}));
        let shown = format!("Authorization: Bearer {token}");
        let mcp = format!("{}/mcp/child", self.site.origin());
        let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} });
        curl(&["-H", &shown, "--json", &list.to_string(), &mcp]);
        curl(&["-H", &shown, &format!("{}/v1/sessions", self.site.origin())]);
        let proxied = format!("Proxy-{shown}");
        let proxy = ["--proxytunnel", "--proxy-insecure", "--proxy", &self.site.origin()];
        curl(&[&proxy[..], &["--proxy-header", &proxied, "http://sample:1/"]].concat());
        // Where no token belongs, and somebody puts it all the same.
        curl(&[&format!("{mcp}?access_token={token}")]);
        Uses {
            database: said(&database.unwrap()),
            service: curl(&[&format!("http://127.0.0.1:{}/a", service.port())]),
            tool,
        }
    }

    /// Once all of it can be asked for: what the audit, and whoever watches, are told.
    fn told(&self) -> Told {
        let recorded = "SELECT count(DISTINCT target) AS n FROM commands WHERE target IN ('sample', 'crm', 'reference')";
        assert!(eventually(|| self.site.sql(recorded)[0]["n"] == 3));
        let called = || self.collector.got().spans.iter().any(|it| it.name == "mcp_call");
        assert!(eventually(called));
        let mut told = Told { places: Vec::new() };
        for table in ["events", "commands", "decisions", "responses", "sessions", "authentications"]
        {
            let rows = self.site.ask(&["sql", &format!("SELECT * FROM {table}"), "--json"]);
            told.has("an answer of the audit", said(&rows));
        }
        told.has("/metrics", Scrape::of(&self.telemetry).text);
        told.has("/readyz", readyz(&self.telemetry).1.to_string());
        told
    }
}

/// What the ways in gave.
struct Uses {
    database: String,
    service: String,
    tool: String,
}

fn curl(arguments: &[&str]) -> String {
    let curl = Command::new("curl").args(["-sk", "--noproxy", "*"]).args(arguments).output();
    said(&curl.unwrap())
}

#[test]
fn secrets_in_use_are_told_nowhere() {
    let Some(world) = World::start("secrets_in_use_are_told_nowhere") else { return };
    let site = &world.site;
    let role = Role::start_with("up", &world.config(), &["-vvv"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let token = runtime.block_on(site.token_of(AGENT));
    let (signed, signature) = token.rsplit_once('.').unwrap();

    let good = world.use_it(&token);
    assert!(good.database.contains("it is in"), "{}: {}", good.database, role.log());
    assert!(
        good.service.contains("Bearer [redacted]"),
        "it was shown what it wants: {}",
        good.service
    );
    assert!(good.tool.contains("\"isError\":false"), "{}", good.tool);
    // Good in its form, and signed by nobody.
    let bad = world.use_it(&format!("{signed}.{FORGED}"));
    assert!(bad.database.contains("invalid_token"), "{}", bad.database);
    assert!(!bad.tool.contains("isError"), "{}", bad.tool);

    let mut told = world.told();
    told.has("the log", role.end());
    told.has("OTLP", String::from_utf8_lossy(&world.collector.got().bytes));
    for folder in ["log", "lake"] {
        told.files(&site.path(folder));
    }
    assert!(runtime.block_on(told.events(&world.log)) > 20);
    // What is looked for is there to be found.
    assert!(told.says("what passed", "it is in") && told.says("what passed", "GET /a"));
    assert!(told.says("the log", "CHILD_KEY=[redacted]"), "the child said what it knows");
    assert!(told.says("the log", "authentication") && told.says("OTLP", "mcp_call"));
    let of_clients =
        [AGENT, "analyst"].map(|name| std::fs::read_to_string(site.path(name)).unwrap());
    let shown =
        SHOWN.into_iter().chain([world.postgres.text("password"), &token, signature, FORGED]);
    for secret in shown.chain(of_clients.iter().map(String::as_str)) {
        told.is_silent_about(secret);
    }
}
