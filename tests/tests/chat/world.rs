//! One gateway with a webhook, a database, a provider, a homeserver, and the bridge.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use dev_services::{DevService, repo_root};
use serde_json::Value;
use tallyport_tests::{
    Forward, Role, Site, eventually, free_port, psql, said, say_not_run, start_or_say,
};

use crate::room::Room;

/// Their ids in the chat, and who they are at the provider. The agent's owner is among them; Mallory is not.
const REVIEWERS: [(&str, &str, &str); 2] =
    [("@ann:localhost", "approver", "Ann"), ("@bob:localhost", "ops-owner", "grace@example.com")];

pub struct World {
    pub site: Site,
    pub room: Room,
    agents: Forward,
    up: Role,
    bridge: Option<DevService>,
}

impl World {
    pub fn start(test: &str) -> Option<Self> {
        let tried = bridge(&["--test"]);
        if tried.status.code() == Some(75) {
            say_not_run(test, &said(&tried));
            return None;
        }
        let room = Room::new(start_or_say(test, "matrix", &[])?);
        let site = Site::start(test)?;
        let port = free_port();
        for name in ["chat.secret", "chat-answers.secret"] {
            let drawn = Command::new("openssl").args(["rand", "-base64", "32"]).output().unwrap();
            let drawn = String::from_utf8(drawn.stdout).unwrap();
            private(&site.path(name), &format!("whsec_{drawn}"));
        }
        private(&site.path("matrix.token"), room.token("bridge"));
        let log = format!("embedded:{}", site.path("log").display());
        let lake = format!("[lake]\nurl = \"file://{}\"\n", site.path("lake").display());
        let all =
            site.config("all.toml", &log, &lake, &["gateway", "console", "recorder", "query"]);
        let text = std::fs::read_to_string(&all).unwrap() + &webhook(&site.issuer().0, port);
        std::fs::write(&all, text).unwrap();
        std::fs::write(site.path("bridge.toml"), bridge_config(&site, &room, port)).unwrap();
        let up = Role::start("up", &all);

        let checked = bridge(&["--check", site.path("bridge.toml").to_str().unwrap()]);
        assert!(said(&checked).contains("in order: @bridge:localhost"), "{}", said(&checked));
        let agents = site.connect_as(&site.access("ops-agent"));
        let mut world = Self { site, room, agents, up, bridge: None };
        world.start_bridge();
        Some(world)
    }

    /// The agent's psql with this statement; its errors carry their SQLSTATE.
    pub fn agent(&self, statement: &str) -> Child {
        let mut command = psql(self.agents.port(), "agent", "postgres");
        command.args(["-At", "-v", "VERBOSITY=verbose", "-c", statement]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("psql starts")
    }

    pub fn audit_tells(&self, sql: &str, wanted: &Value) {
        let mut rows = Vec::new();
        let told = eventually(|| {
            rows = self.site.sql(sql);
            Value::from(rows.clone()) == *wanted
        });
        assert!(told, "{sql}: {rows:#?}");
    }

    /// The only row of the answer, once there is one.
    pub fn audit_tells_one(&self, sql: &str) -> Value {
        let mut rows = Vec::new();
        let told = eventually(|| {
            rows = self.site.sql(sql);
            rows.len() == 1
        });
        assert!(told, "{sql}: {rows:#?}");
        rows.remove(0)
    }

    pub fn start_bridge(&mut self) {
        let config = self.site.path("bridge.toml");
        let started = DevService::start("chat-bridge", &[config.to_str().unwrap()]);
        self.bridge = Some(started.unwrap_or_else(|error| panic!("{error}")));
    }

    pub fn stop_bridge(&mut self) {
        self.bridge = None;
    }

    pub fn gateway_log(&self) -> String {
        self.up.log()
    }
}

pub fn bridge(arguments: &[&str]) -> Output {
    Command::new(repo_root().join("deploy/dev/chat-bridge")).args(arguments).output().unwrap()
}

fn webhook(issuer: &str, port: u16) -> String {
    let mut text = format!(
        "[[gateway.webhooks]]\nname = \"chat\"\nurl = \"http://127.0.0.1:{port}/tallyport\"\n\
         secret = {{ file = \"chat.secret\" }}\nstatements = true\n\
         [gateway.webhooks.answers]\nsecret = {{ file = \"chat-answers.secret\" }}\n"
    );
    for (id, subject, name) in REVIEWERS {
        let _written = write!(
            text,
            "[[gateway.webhooks.answers.reviewers]]\nid = \"{id}\"\nissuer = \"{issuer}\"\nsubject = \"{subject}\"\n\
             display_name = \"{name}\"\ngroups = [\"order-approvers\"]\n"
        );
    }
    text
}

fn bridge_config(site: &Site, room: &Room, port: u16) -> String {
    format!(
        "listen = \"127.0.0.1:{port}\"\nstate_file = \"bridge.json\"\nsecret_file = \"chat.secret\"\n\
         answers_url = \"{}/v1/webhooks/chat/answers\"\nanswers_secret_file = \"chat-answers.secret\"\n\
         tallyport_ca_file = \"tls/ca.pem\"\nhomeserver = \"{}\"\ntoken_file = \"matrix.token\"\nroom = \"{}\"\n",
        site.origin(),
        room.url(),
        room.id()
    )
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
