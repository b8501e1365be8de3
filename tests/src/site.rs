//! A site: PostgreSQL, an OpenID provider, and one configuration file whose roles are started as processes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "helpers of tests fail as tests do"
)]

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use crate::{Forward, binary, eventually, kill, rows, start_or_say};
use dev_services::{DevService, StartError, repo_root};
use serde_json::Value;
use tallyport_gateway::BearerToken;
use tallyport_gateway::connect::{ConnectConfig, Connector, StaticToken};
use tallyport_gateway::tls::DevCa;

/// The agent of the load, and the one who asks the audit; clients of the provider.
pub const AGENT: &str = "support-agent";
const AUDITOR: &str = "analyst";

/// Real parts, and what a configuration file says of them.
pub struct Site {
    /// With the sample database, and its own log of statements.
    pub postgres: DevService,
    oidc: DevService,
    ca: DevCa,
    folder: tempfile::TempDir,
    gateway: u16,
    query: u16,
}

/// One process of a site.
pub struct Role {
    service: DevService,
    name: &'static str,
}

impl Site {
    /// Starts PostgreSQL and the provider; none where they cannot be installed, which is said.
    pub fn start(test: &str) -> Option<Self> {
        Self::start_with(test, &[])
    }

    /// The same with more options of the provider.
    pub fn start_with(test: &str, more: &[&str]) -> Option<Self> {
        let sample = repo_root().join("deploy/examples/sample.sql");
        let postgres = start_or_say(test, "postgres", &["--sql", &sample.to_string_lossy()])?;
        let gateway = free_port();
        let back = format!("https://localhost:{gateway}/console/callback/sso");
        let oidc = start_or_say(test, "oidc", &[&["--redirect", &back], more].concat())?;
        let folder = tempfile::Builder::new().prefix("tallyport-roles-").tempdir().unwrap();
        let ca = DevCa::create_or_load(&folder.path().join("tls")).unwrap();
        for name in ["policy.cedar", "masking.toml"] {
            let from = repo_root().join("deploy/examples").join(name);
            std::fs::copy(from, folder.path().join(name)).unwrap();
        }
        let clients = oidc.ready()["clients"].as_array().unwrap();
        for client in clients {
            let file = folder.path().join(client["id"].as_str().unwrap());
            std::fs::write(file, client["secret"].as_str().unwrap()).unwrap();
        }
        let key = oidc.ready()["key_agent"]["pem"].as_str().unwrap();
        std::fs::write(folder.path().join("key-agent.pem"), key).unwrap();
        Some(Self { postgres, oidc, ca, folder, gateway, query: free_port() })
    }

    /// A place below the site's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The gateway's port, TCP and UDP.
    pub const fn gateway_port(&self) -> u16 {
        self.gateway
    }

    /// Where the pages for people are.
    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.gateway)
    }

    /// A configuration file of this log, this lake, and these sections out of `gateway`, `console`, `recorder`, `query`,
    /// `trust_domain`. With `takeover` its gateway gives its port, and asks for it.
    pub fn config(&self, name: &str, log: &str, lake: &str, sections: &[&str]) -> PathBuf {
        let (issuer, audience) = (self.oidc.text("issuer"), self.oidc.text("audience"));
        let mut text = format!(
            "node = \"site-1\"\n[log]\nurl = \"{log}\"\n[[issuers]]\nissuer = \"{issuer}\"\naudiences = [\"{audience}\"]\n\
             [policy]\npath = \"policy.cedar\"\n[masking]\npath = \"masking.toml\"\n{lake}"
        );
        let mut more = String::new();
        if sections.contains(&"takeover") {
            more += "takeover_socket = \"front.sock\"\ndrain_seconds = 60\n";
        }
        if sections.contains(&"trust_domain") {
            more += "ask_client_certificates = true\n";
        }
        for section in sections {
            text += &match *section {
                "takeover" => String::new(),
                // Its bundle is the caller's to put there.
                "trust_domain" => format!(
                    "[[trust_domains]]\nname = \"prod.example.com\"\nbundle_file = \"bundle.json\"\naudiences = [\"{audience}\"]\n\
                     [[trust_domains.workloads]]\npath = \"/ns/agents/*\"\nkind = \"agent\"\ngroups = [\"support-agents\"]\n\
                     [[trust_domains.workloads]]\npath = \"/ns/audit/*\"\ngroups = [\"analysts\", \"auditors\"]\n"
                ),
                "gateway" => format!(
                    "[gateway]\nlisten = \"127.0.0.1:{}\"\ncert = \"tls/server.pem\"\nkey = \"tls/server.key\"\n{more}\
                     [[targets]]\nname = \"sample\"\naddress = \"127.0.0.1:{}\"\ndatabase = \"postgres\"\n\
                     user = \"postgres\"\nsslmode = \"disable\"\n",
                    self.gateway,
                    self.postgres.port("port")
                ),
                "console" => format!(
                    "[console]\npublic_url = \"{}\"\n[[console.sign_in]]\nid = \"sso\"\nname = \"Company sign-in\"\n\
                     issuer = \"{issuer}\"\nclient_id = \"tallyport-people\"\naudience = \"urn:tallyport:{audience}\"\n",
                    self.origin()
                ),
                "recorder" => "[recorder]\ncommit_max_age_ms = 1000\n".to_owned(),
                "query" => format!("[query]\nhttp = \"127.0.0.1:{}\"\n", self.query),
                other => panic!("no section {other}"),
            };
        }
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// `tallyport connect` as the agent.
    pub fn connect(&self) -> Forward {
        self.connect_as(&self.access(AGENT))
    }

    /// `tallyport connect` as whoever these arguments say.
    pub fn connect_as(&self, access: &[String]) -> Forward {
        let gateway = format!("127.0.0.1:{}", self.gateway);
        let ca = self.ca.ca_path();
        let mut arguments = vec!["sample", "--gateway", &gateway, "--ca", ca.to_str().unwrap()];
        arguments.extend(access.iter().map(String::as_str));
        Forward::start(&arguments)
    }

    /// Runs a command that asks the query service, as the auditor.
    pub fn ask(&self, arguments: &[&str]) -> Output {
        self.ask_as(arguments, &self.access(AUDITOR))
    }

    /// The same as whoever these arguments say.
    pub fn ask_as(&self, arguments: &[&str], access: &[String]) -> Output {
        Command::new(binary())
            .args(arguments)
            .args(["--query-url", &format!("http://127.0.0.1:{}", self.query)])
            .args(access)
            .output()
            .expect("the binary runs; build it with make build")
    }

    /// The rows of an audit question in SQL.
    pub fn sql(&self, sql: &str) -> Vec<Value> {
        rows(&self.ask(&["sql", sql, "--json"]))
    }

    /// Where the query service takes SQL over HTTP.
    pub fn sql_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1/sql", self.query)
    }

    /// A token of the auditor.
    pub async fn token(&self) -> String {
        self.token_of(AUDITOR).await
    }

    /// A token of this client.
    pub async fn token_of(&self, client: &str) -> String {
        let secret = std::fs::read_to_string(self.path(client)).expect("its secret");
        let resource = format!("urn:tallyport:{}", self.oidc.text("audience"));
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", &secret),
            ("resource", &resource),
        ];
        let request = reqwest::Client::new().post(self.oidc.text("token_url")).form(&form);
        let answer: Value =
            request.send().await.expect("the provider answers").json().await.expect("JSON");
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// The audience of this site's services.
    pub fn audience(&self) -> String {
        self.oidc.text("audience").to_owned()
    }

    /// The issuer, and the audience to ask it for.
    pub fn issuer(&self) -> (String, String) {
        let audience = format!("urn:tallyport:{}", self.oidc.text("audience"));
        (self.oidc.text("issuer").to_owned(), audience)
    }

    /// Makes clients of the gateway with this token, each with a connection of its own.
    pub fn connector_maker(&self, token: &str) -> impl Fn() -> Connector + Send + use<> {
        let token = token.to_owned();
        let (gateway, ca) = (format!("127.0.0.1:{}", self.gateway), self.ca.ca_path());
        move || {
            let token = Arc::new(StaticToken::new(BearerToken::new(token.clone())));
            let mut config = ConnectConfig::new(gateway.clone(), token);
            config.ca = Some(ca.clone());
            Connector::new(config).expect("the CA can be read")
        }
    }

    /// Whether the gateway's port takes connections.
    pub fn gateway_listens(&self) -> bool {
        std::net::TcpStream::connect(("127.0.0.1", self.gateway)).is_ok()
    }

    /// PostgreSQL's own log.
    pub fn statement_log(&self) -> &Path {
        Path::new(self.postgres.text("log_file"))
    }

    /// The arguments by which a command asks as this client.
    pub fn access(&self, client: &str) -> [String; 8] {
        let secret = self.path(client).to_string_lossy().into_owned();
        let audience = format!("urn:tallyport:{}", self.oidc.text("audience"));
        [
            ["--issuer", self.oidc.text("issuer")],
            ["--client-id", client],
            ["--client-secret-file", &secret],
            ["--audience", &audience],
        ]
        .concat()
        .iter()
        .map(|text| (*text).to_owned())
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
    }
}

impl Role {
    /// Starts `tallyport NAME --config FILE` and waits until it serves.
    pub fn start(name: &'static str, config: &Path) -> Self {
        Self::start_with(name, config, &[])
    }

    /// The same with arguments that need what may not be installable: none then.
    pub fn try_start(name: &'static str, config: &Path, more: &[&str]) -> Option<Self> {
        let path = config.to_str().expect("a readable path");
        match DevService::start("tallyport", &[&[name, "--config", path], more].concat()) {
            Ok(service) => Some(Self { service, name }),
            Err(StartError::NotInstallable { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The same with more arguments.
    pub fn start_with(name: &'static str, config: &Path, more: &[&str]) -> Self {
        let path = config.to_str().expect("a readable path");
        let service = DevService::start("tallyport", &[&[name, "--config", path], more].concat());
        Self { service: service.unwrap_or_else(|error| panic!("{error}")), name }
    }

    /// `kill -9`.
    pub fn kill(self) {
        kill(self.pid());
    }

    /// Asks it to end in order, and waits until it has, without an error in what it logged.
    pub fn stop(self) {
        let log = self.end();
        assert!(!log.contains(" ERROR "), "{}: {log}", self.name);
    }

    /// Asks it to end in order, and waits until it has; gives what it logged.
    pub fn end(&self) -> String {
        self.terminate();
        assert!(eventually(|| self.is_gone()), "the {} ends: {}", self.name, self.log());
        self.log()
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let pid = self.pid().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(asked.success(), "the {} was there to be stopped: {}", self.name, self.log());
    }

    /// Whether the process has ended.
    pub fn is_gone(&self) -> bool {
        !Path::new("/proc").join(self.pid().to_string()).exists()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.service.text("stderr")).unwrap_or_default()
    }

    fn pid(&self) -> u64 {
        self.service.ready()["pid"].as_u64().expect("a pid")
    }
}

/// `[lake]` in the bucket of this store, with these keys, or those that the process finds by itself.
pub fn lake_on(store: &DevService, prefix: &str, keys: Option<(&str, &str)>) -> String {
    let lake = format!(
        "[lake]\nurl = \"s3://{}/{prefix}\"\n[lake.options]\nAWS_ENDPOINT_URL = \"{}\"\nAWS_ALLOW_HTTP = \"true\"\n\
         AWS_REGION = \"{}\"\n",
        store.text("bucket"),
        store.text("endpoint"),
        store.text("region")
    );
    let keys = keys.map(|(id, secret)| {
        format!("AWS_ACCESS_KEY_ID = \"{id}\"\nAWS_SECRET_ACCESS_KEY = \"{secret}\"\n")
    });
    lake + &keys.unwrap_or_default()
}

/// Those that a store of deploy/dev/s3 takes.
pub fn keys_of(store: &DevService) -> Option<(&str, &str)> {
    Some((store.text("access_key"), store.text("secret_key")))
}

/// A port that is free for TCP and UDP now, and that no connection to elsewhere takes before a server does: the kernel gives
/// those from 32,768 up.
pub fn free_port() -> u16 {
    loop {
        let drawn = RandomState::new().build_hasher().finish() % 20_000;
        let port = 12_000 + u16::try_from(drawn).expect("below 20,000");
        let tcp = TcpListener::bind(("127.0.0.1", port));
        if tcp.is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
