//! One gateway with its pages, a database, a provider, and browsers.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use dev_services::repo_root;
use serde_json::{Value, json};
use tallyport_tests::{Desk, Forward, Role, Site, binary, eventually, psql, said, say_not_run};

/// Beside the example policy: something that needs two, and something that does not wait long.
const POLICY: &str = r#"
@id("two-change-orders")
@require_approval("2 of order-approvers; within 15m")
permit (
  principal in Tallyport::Group::"operators", action == Tallyport::Action::"sql:update",
  resource in Tallyport::Target::"sample"
) when { resource is Tallyport::Table && resource.schema == "app" && resource.name == "orders" };
@id("inserts-are-soon-or-never")
@require_approval("1 of order-approvers; within 10s")
permit (
  principal in Tallyport::Group::"operators", action == Tallyport::Action::"sql:insert",
  resource in Tallyport::Target::"sample"
) when { resource is Tallyport::Table && resource.schema == "app" && resource.name == "orders" };
"#;

pub struct World {
    pub site: Site,
    agents: Forward,
    _up: Role,
}

impl World {
    pub fn start(test: &str) -> Option<Self> {
        // The browser first: it says whether it can be had at all.
        let tried = browser(&["/dev/null"]);
        if tried.status.code() == Some(75) {
            say_not_run(test, &said(&tried));
            return None;
        }
        let site = Site::start(test)?;
        let policy = std::fs::read_to_string(site.path("policy.cedar")).unwrap();
        std::fs::write(site.path("policy.cedar"), policy + POLICY).unwrap();
        let log = format!("embedded:{}", site.path("log").display());
        let lake = format!("[lake]\nurl = \"file://{}\"\n", site.path("lake").display());
        let all =
            site.config("all.toml", &log, &lake, &["gateway", "console", "recorder", "query"]);
        let text = std::fs::read_to_string(&all).unwrap();
        std::fs::write(&all, text.replacen("[[targets]]", "[gateway.mcp]\n[[targets]]", 1))
            .unwrap();
        let up = Role::start("up", &all);
        let agents = site.connect_as(&site.access("ops-agent"));
        Some(Self { site, agents, _up: up })
    }

    /// One walk of tests/browser/walk.mjs.
    pub fn walk(&self, name: &str, with: &Value) {
        let mut given = with.clone();
        given["base"] = json!(self.site.origin());
        given["shots"] = json!(std::env::var("TALLYPORT_SCREENSHOTS").ok());
        let script = repo_root().join("tests/browser/walk.mjs");
        let output = browser(&[script.to_str().unwrap(), name, &given.to_string()]);
        assert!(output.status.success(), "{}", said(&output));
    }

    /// The agent's psql with these statements.
    pub fn agent(&self, statements: &str) -> Child {
        self.psql(&self.agents, statements)
    }

    pub fn psql(&self, forward: &Forward, statements: &str) -> Child {
        let mut command = psql(forward.port(), "agent", "postgres");
        command.arg("-At");
        for statement in statements.split("; ") {
            command.args(["-c", statement]);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("psql starts")
    }

    /// A person runs `tallyport login`, confirms its code in a browser, and opens a local port with it.
    pub fn sign_in_at_the_terminal(&self, who: &str) -> Forward {
        let (issuer, audience) = self.site.issuer();
        let file = self.site.path(&format!("{who}.login.json"));
        let file = file.to_str().unwrap();
        let arguments = ["login", "--issuer", &issuer, "--client-id", "tallyport-people"];
        let mut login = Command::new(binary())
            .args(arguments)
            .args(["--audience", &audience, "--login-file", file])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs; build it with make build");
        let mut line = String::new();
        let mut lines = BufReader::new(login.stdout.take().unwrap());
        lines.read_line(&mut line).unwrap();
        let url = line.split_whitespace().last().unwrap().to_owned();
        self.walk("device", &json!({ "url": url, "who": who }));
        assert!(login.wait().unwrap().success());
        self.site.connect_as(&["--login-file".to_owned(), file.to_owned()])
    }

    /// Who `tallyport mcp` is with the same sign-in.
    pub fn at_the_desk(&self, who: &str) -> String {
        let gateway = format!("127.0.0.1:{}", self.site.gateway_port());
        let (ca, file) =
            (self.site.path("tls/ca.pem"), self.site.path(&format!("{who}.login.json")));
        let (ca, file) = (ca.to_str().unwrap(), file.to_str().unwrap());
        let mut desk = Desk::start(&["--gateway", &gateway, "--ca", ca, "--login-file", file]);
        desk.call("whoami", &json!({})).to_string()
    }

    /// The only session that is live.
    pub fn live_session(&self) -> String {
        let asked = "SELECT session_id FROM sessions WHERE state = 'open' AND commands > 0";
        let mut found = Vec::new();
        let one = eventually(|| {
            found = self.site.sql(asked);
            found.len() == 1
        });
        assert!(one, "{found:?}");
        found[0]["session_id"].as_str().unwrap().to_owned()
    }
}

fn browser(arguments: &[&str]) -> std::process::Output {
    Command::new(repo_root().join("deploy/dev/browser")).args(arguments).output().unwrap()
}
