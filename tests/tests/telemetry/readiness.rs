//! Readiness of `tallyport up`, with no agent in sight: it goes when target or log go, comes back with them, and the
//! process lives on.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use dev_services::{DevService, repo_root};
use serde_json::Value;
use tallyport_gateway::tls::DevCa;
use tallyport_tests::{binary, eventually, free_port, start_or_say};

use crate::process::Process;
use crate::scrape::{Scrape, ask, readyz};

const TEST: &str = "readiness_goes_and_comes_with_target_and_log";

fn config(folder: &Path, postgres: u16, telemetry: u16) -> PathBuf {
    let _ca = DevCa::create_or_load(&folder.join("tls")).unwrap();
    let policy = repo_root().join("deploy/examples/policy.cedar");
    let at = folder.display();
    let text = format!(
        "node = \"site-1\"\n[log]\nurl = \"embedded:{at}/log\"\n\
         [[issuers]]\nissuer = \"https://issuer.example\"\naudiences = [\"tallyport\"]\n\
         [policy]\npath = \"{}\"\n[lake]\nurl = \"file://{at}/lake\"\n\
         [gateway]\nlisten = \"127.0.0.1:0\"\ncert = \"tls/server.pem\"\nkey = \"tls/server.key\"\n\
         [[targets]]\nname = \"sample\"\naddress = \"127.0.0.1:{postgres}\"\ndatabase = \"postgres\"\n\
         user = \"postgres\"\nsslmode = \"disable\"\n\
         [[targets]]\nname = \"nowhere\"\naddress = \"127.0.0.1:{}\"\ndatabase = \"postgres\"\n\
         user = \"postgres\"\nsslmode = \"disable\"\n\
         [recorder]\ncommit_max_age_ms = 1000\n[query]\nhttp = \"127.0.0.1:0\"\n\
         [telemetry]\nlisten = \"127.0.0.1:{telemetry}\"\nprobe_seconds = 1\n",
        policy.display(),
        free_port(),
    );
    let path = folder.join("up.toml");
    std::fs::write(&path, text).unwrap();
    path
}

/// PostgreSQL on a directory and a port of its own, so that it can be there again.
fn postgres(data: &Path, port: u16) -> Option<DevService> {
    let port = port.to_string();
    start_or_say(TEST, "postgres", &["--data", data.to_str().unwrap(), "--port", &port])
}

struct Up {
    process: Process,
    address: String,
}

impl Up {
    fn start(folder: &Path, config: &Path, telemetry: u16) -> Self {
        // Writes beyond a limit are to fail, not to kill.
        let mut command = Command::new("env");
        command.arg("--ignore-signal=XFSZ").arg(binary()).args(["up", "--config"]).arg(config);
        Self { process: Process::start(command, folder), address: format!("127.0.0.1:{telemetry}") }
    }

    /// Waits until readiness is `ready` and its report as it should be.
    fn becomes(&self, ready: bool, what: &str, is: impl Fn(&Value) -> bool) {
        let mut last = Value::Null;
        let came = eventually(|| {
            let (now, report) = readyz(&self.address);
            last = report;
            now == ready && is(&last["checks"])
        });
        assert!(came, "{what}: {last}: {}", self.process.log());
        let (status, _, body) = ask(&self.address, "GET", "/healthz");
        assert_eq!(
            (status, body.as_str()),
            (200, r#"{"status":"ok"}"#),
            "it lives whatever is out"
        );
    }

    /// No file of the process may grow beyond `limit` bytes.
    fn limit_files(&self, limit: &str) {
        let limited = Command::new("prlimit")
            .args(["--pid", &self.process.pid().to_string(), &format!("--fsize={limit}:unlimited")])
            .status();
        assert!(limited.expect("prlimit runs").success());
    }
}

#[test]
fn readiness_goes_and_comes_with_target_and_log() {
    let folder = tempfile::Builder::new().prefix("tallyport-ready-").tempdir().unwrap();
    let data = tempfile::Builder::new().prefix("tallyport-pg-").tempdir().unwrap();
    let data = data.path().join("data");
    let parent = data.parent().unwrap();
    std::fs::set_permissions(parent, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (port, telemetry) = (free_port(), free_port());
    let Some(server) = postgres(&data, port) else { return };
    let up = Up::start(folder.path(), &config(folder.path(), port, telemetry), telemetry);
    assert!(eventually(|| TcpStream::connect(&up.address).is_ok()), "{}", up.process.log());

    up.becomes(true, "nobody asked for a session, and it is ready", |checks| {
        let all = ["control", "lake", "log", "query", "recorder", "targets"];
        checks.as_object().is_some_and(|checks| checks.len() == all.len())
            && all.iter().all(|name| checks[name]["ok"] == true)
            && checks["targets"]["detail"]["nowhere"]["code"] == "io"
    });
    let since = readyz(&up.address).1["checks"]["log"]["since"].clone();
    routes(&up.address);

    drop(server);
    up.becomes(false, "the only target that was there is gone", |checks| {
        checks["targets"]["ok"] == false
            && checks["targets"]["detail"]["sample"]["ok"] == false
            && checks["log"]["ok"] == true
    });
    // A balancer that would take the revocations and approvals away, too, asks for the rest.
    let (status, _, body) = ask(&up.address, "GET", "/readyz?without=targets,stopping");
    assert_eq!(status, 200, "{body}");
    assert!(body.contains(r#""without":["targets","stopping"]"#), "{body}");
    assert_eq!(
        ask(&up.address, "GET", "/readyz?without=lake").0,
        503,
        "another one does not count"
    );
    for query in ["without", "without=", "without=targets,", "without=a%20b", "with=targets"] {
        let (status, _, body) = ask(&up.address, "GET", &format!("/readyz?{query}"));
        assert_eq!(status, 400, "{query}: {body}");
    }
    let server = postgres(&data, port).unwrap();
    up.becomes(true, "the target is back", |checks| {
        checks["targets"]["detail"]["sample"]["ok"] == true && checks["log"]["since"] == since
    });

    up.limit_files("0");
    let gateway = &[("producer", "gateway")];
    up.becomes(false, "the log refuses", |checks| {
        checks["log"]["ok"] == false && checks["log"]["detail"]["gateway"]["ok"] == false
    });
    let commits = |scrape: &Scrape, outcome| {
        scrape.sum("tallyport_log_commits_total", &[("producer", "gateway"), ("outcome", outcome)])
    };
    let refused = || {
        let now = Scrape::of(&up.address);
        now.sum("tallyport_log_healthy", gateway) == 0.0
            && commits(&now, "failed") + commits(&now, "unknown") >= 1.0
    };
    assert!(eventually(refused), "{}", Scrape::of(&up.address).text);
    up.limit_files("unlimited");
    up.becomes(true, "the log takes events again", |checks| checks["log"]["since"] != since);
    assert_eq!(Scrape::of(&up.address).sum("tallyport_log_healthy", gateway), 1.0);
    slow_clients_are_bounded(&up.address);
    drop(server);
}

/// What is no route, or no way to ask one, is told what there is.
fn routes(address: &str) {
    for (method, path, status, code) in [
        ("GET", "/", 404, "not_found"),
        ("GET", "/metrics/", 404, "not_found"),
        ("POST", "/metrics", 405, "method_not_allowed"),
        ("DELETE", "/readyz", 405, "method_not_allowed"),
    ] {
        let (answered, head, body) = ask(address, method, path);
        assert_eq!(answered, status, "{method} {path}: {body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["code"], code);
        assert_eq!(body["routes"], serde_json::json!(["/metrics", "/healthz", "/readyz"]));
        assert!(head.contains("content-type: application/json"), "{head}");
        assert_eq!(status == 405, head.contains("allow: get, head"), "{head}");
    }
    let (status, _, body) = ask(address, "HEAD", "/healthz");
    assert_eq!((status, body.as_str()), (200, ""));
}

/// Clients that send nothing are closed in time and only so many are held: the next one is answered after them.
fn slow_clients_are_bounded(address: &str) {
    let mut slow: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(address).unwrap()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    }
    let began = Instant::now();
    assert_eq!(ask(address, "GET", "/healthz").0, 200);
    let waited = began.elapsed();
    assert!(waited > Duration::from_secs(2), "not all of them are served at once: {waited:?}");
    let mut answer = Vec::new();
    let _closed = slow[0].read_to_end(&mut answer);
    assert!(began.elapsed() < Duration::from_secs(20), "a slow client is closed in time");
}
