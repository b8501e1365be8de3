//! Secrets that are in use, looked for wherever something is told: what the gateway shows to a database, a service, a cluster's
//! kind of server and MCP servers, what agents show to the gateway, and what is wrong of both. All roles log as much as they can.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;

use dev_services::DevService;
use serde_json::json;
use tallyport_tests::{
    AGENT, Desk, Forward, Role, Site, eventually, free_port, psql, said, start_or_say,
};

use crate::collector::Collector;
use crate::told::{Told, curl};

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
        Told::of(&self.site, &self.telemetry)
    }
}

/// What the ways in gave.
struct Uses {
    database: String,
    service: String,
    tool: String,
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
