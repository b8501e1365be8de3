//! One process with all services, a database, and a realm that it trusts.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dev_services::{DevService, repo_root};
use serde_json::{Value, json};
use tallyport_gateway::tls::DevCa;
use tallyport_tests::{
    Forward, Role, binary, eventually, free_port, psql, rows, said, start_or_say,
};

use super::realm::Realm;

const AGENT: &str = "support-agent";
/// One target is for those alone whose token is bound to a key of theirs.
const POLICY: &str = r#"
@id("all") permit (principal, action, resource);
@id("bound") forbid (principal, action == Tallyport::Action::"sql:connect", resource == Tallyport::Target::"bound")
unless { principal.tokenBinding == "dpop" };
"#;
/// After so long the realm's keys are fetched anew.
pub const KEYS_MAX_AGE: Duration = Duration::from_secs(1);

pub struct World {
    pub realm: Realm,
    folder: tempfile::TempDir,
    gateway: u16,
    query: u16,
    _postgres: DevService,
    _up: Role,
}

impl World {
    pub fn start(test: &str) -> Option<Self> {
        let postgres = start_or_say(test, "postgres", &[])?;
        let (gateway, query) = (free_port(), free_port());
        let origin = format!("https://localhost:{gateway}");
        let realm = Realm::start(test, &format!("{origin}/console/callback/sso"))?;
        let folder = tempfile::tempdir().unwrap();
        DevCa::create_or_load(&folder.path().join("tls")).unwrap();
        std::fs::write(folder.path().join("policy.cedar"), POLICY).unwrap();
        std::fs::create_dir(folder.path().join("lake")).unwrap();
        let target = |name| {
            let port = postgres.port("port");
            format!(
                "[[targets]]\nname = '{name}'\naddress = '127.0.0.1:{port}'\ndatabase = 'postgres'\n\
                 user = 'postgres'\nsslmode = 'disable'\n"
            )
        };
        let text = format!(
            "node = 'keycloak'\n[log]\nurl = 'embedded:{log}'\n[lake]\nurl = 'file://{lake}'\n\
             [[issuers]]\nissuer = '{issuer}'\nprofile = 'rfc9068'\naudiences = ['{audience}']\n\
             [issuers.keys]\nmin_refresh_seconds = 1\nmax_age_seconds = {age}\n\
             [policy]\npath = 'policy.cedar'\n[recorder]\ncommit_max_age_ms = 200\n\
             [query]\nhttp = '127.0.0.1:{query}'\n\
             [gateway]\nlisten = '127.0.0.1:{gateway}'\ncert = 'tls/server.pem'\nkey = 'tls/server.key'\n\
             {targets}\
             [console]\npublic_url = '{origin}'\n[[console.sign_in]]\nid = 'sso'\nname = 'Company sign-in'\n\
             issuer = '{issuer}'\nclient_id = 'tallyport-people'\n",
            log = folder.path().join("log").display(),
            lake = folder.path().join("lake").display(),
            issuer = realm.text("issuer"),
            audience = realm.text("audience"),
            age = KEYS_MAX_AGE.as_secs(),
            targets = ["db", "bound"].map(target).concat(),
        );
        let config = folder.path().join("tallyport.toml");
        std::fs::write(&config, text).unwrap();
        let up = Role::start("up", &config);
        Some(Self { realm, folder, gateway, query, _postgres: postgres, _up: up })
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// The options by which the agent asks the realm for tokens by itself.
    pub fn agent_access(&self) -> Vec<String> {
        let secret = self.file("secret", self.realm.secret(AGENT));
        ["--issuer", self.realm.text("issuer"), "--client-id", AGENT, "--client-secret-file"]
            .into_iter()
            .chain([secret.as_str()])
            .map(str::to_owned)
            .collect()
    }

    /// A token of the agent's as the realm signs it now, and the options by which it is shown.
    pub fn token(&self, name: &str) -> (String, Vec<String>) {
        let token = self.realm.bearer(AGENT);
        let file = self.file(name, &token);
        (token, vec!["--token-file".to_owned(), file])
    }

    pub fn connect(&self, target: &str, access: &[String]) -> Forward {
        let gateway = format!("localhost:{}", self.gateway);
        let ca = self.folder.path().join("tls/ca.pem");
        let mut arguments = vec![target, "--gateway", &gateway, "--ca", ca.to_str().unwrap()];
        arguments.extend(access.iter().map(String::as_str));
        Forward::start(&arguments)
    }

    /// The rows of an audit question, once there are some.
    pub fn eventually(&self, sql: &str) -> Vec<Value> {
        let (_, access) = self.token("auditor");
        let at = format!("http://127.0.0.1:{}", self.query);
        let mut found = Vec::new();
        let some = eventually(|| {
            let mut asked = Command::new(binary());
            asked.args(["sql", sql, "--json", "--query-url", &at]).args(&access);
            found = rows(&asked.env_remove("TALLYPORT_READY_FILE").output().unwrap());
            !found.is_empty()
        });
        assert!(some, "nothing is known of: {sql}");
        found
    }

    /// One walk of tests/browser/walk.mjs.
    pub fn walk(&self, name: &str, with: &Value) {
        let mut given = with.clone();
        given["base"] = json!(format!("https://localhost:{}", self.gateway));
        let script = repo_root().join("tests/browser/walk.mjs");
        let output = browser(&[script.to_str().unwrap(), name, &given.to_string()]);
        assert!(output.status.success(), "{}", said(&output));
    }

    /// A person runs `tallyport login`, confirms its code, and opens a local port with it.
    pub fn sign_in_at_the_terminal(&self, confirm: impl FnOnce(&str)) -> Forward {
        let file = self.folder.path().join("login.json").display().to_string();
        let mut login = Command::new(binary())
            .args(["login", "--issuer", self.realm.text("issuer")])
            .args(["--client-id", "tallyport-people", "--login-file", &file])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(login.stdout.take().unwrap()).read_line(&mut line).unwrap();
        confirm(line.split_whitespace().last().unwrap());
        assert!(login.wait().unwrap().success());
        self.connect("db", &["--login-file".to_owned(), file])
    }
}

/// A psql that stays.
pub struct Session {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    asked: u32,
}

impl Session {
    pub fn open(forward: &Forward) -> Self {
        let mut psql = psql(forward.port(), "agent", "postgres");
        psql.args(["-At", "-v", "ON_ERROR_STOP=1"]);
        let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, to, from: BufReader::new(from), asked: 0 }
    }

    /// Runs a statement and has its answer.
    pub fn answers(&mut self) {
        self.asked += 1;
        writeln!(self.to, "SELECT 1000 + {};", self.asked).unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), (1_000 + self.asked).to_string(), "the session lives");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// One statement through psql, and all that it printed.
pub fn read(forward: &Forward, statement: &str) -> String {
    let ran = psql(forward.port(), "agent", "postgres").args(["-Atc", statement]).output();
    said(&ran.unwrap()).trim().to_owned()
}

/// The key that a token says it was signed with.
pub fn key_id(token: &str) -> Value {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].clone()
}

pub fn browser(arguments: &[&str]) -> Output {
    Command::new(repo_root().join("deploy/dev/browser")).args(arguments).output().unwrap()
}
