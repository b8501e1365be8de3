//! `tallyport up`: all roles of a file in one process, on the embedded log and a lake of files; or some of them.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use tallyport_tests::{Role, Site, binary, eventually, free_port, psql, said};

use crate::sessions;

#[test]
fn up_serves_the_roles_of_the_file() {
    let test = "up_serves_the_roles_of_the_file";
    let Some(site) = Site::start(test) else { return };
    let log = format!("embedded:{}", site.path("log").display());
    let lake = format!("[lake]\nurl = \"file://{}\"\n", site.path("lake").display());
    let all = site.config("all.toml", &log, &lake, &["gateway", "recorder", "query"]);
    checks(&all);
    let up = Role::start("up", &all);
    let forward = site.connect();
    sessions::happen_and_are_told(&site, forward.port());
    drop(forward);
    up.stop();
    assert!(site.path("lake").join("events/_delta_log").is_dir(), "the recorder wrote to the lake");

    let query = site.config("query.toml", &log, &lake, &["query"]);
    checks(&query);
    let up = Role::start("up", &query);
    assert!(up.log().contains("nothing reaches the lake"), "{}", up.log());
    let told = site.sql("SELECT state FROM sessions WHERE target = 'sample' AND refused = 1");
    assert_eq!(told.len(), 1, "what was recorded is answered: {told:?}");
    assert!(!site.gateway_listens(), "the file has no [gateway]");
    up.stop();

    let gateway = site.config("gateway.toml", &log, "", &["gateway"]);
    checks(&gateway);
    let up = Role::start("up", &gateway);
    assert!(site.gateway_listens());
    let unanswered = site.ask(&["sql", "SELECT 1"]);
    assert_eq!(unanswered.status.code(), Some(1), "{}", said(&unanswered));
    up.stop();
}

/// A gateway that ends because the recorder beside it did is no place to send anything to, however long it drains: its
/// readiness says so even to whoever leaves `stopping` out.
#[test]
fn up_that_ends_by_a_failure_says_so_while_it_drains() {
    let test = "up_that_ends_by_a_failure_says_so_while_it_drains";
    let Some(site) = Site::start(test) else { return };
    let sections = &["gateway", "recorder", "query"];
    let telemetry = format!("127.0.0.1:{}", free_port());
    let start = |name: &str| {
        let log = format!("embedded:{}", site.path(&format!("log-{name}")).display());
        let lake = format!("[lake]\nurl = \"file://{}\"\n", site.path(name).display());
        let config = site.config(&format!("{name}.toml"), &log, &lake, sections);
        let more = format!("[telemetry]\nlisten = \"{telemetry}\"\n");
        OpenOptions::new().append(true).open(&config).unwrap().write_all(more.as_bytes()).unwrap();
        Role::start("up", &config)
    };
    let readyz = |leave_out: &str| get(&telemetry, &format!("/readyz{leave_out}"));

    let other = start("other");
    sessions::happen_and_are_told(&site, site.connect().port());
    other.stop();

    let up = start("lake");
    let forward = site.connect();
    let mut agent = sleeping(&up, forward.port());
    assert_eq!(readyz("").0, 200, "{}", up.log());
    assert!(eventually(|| site.path("lake").join("events/_delta_log").is_dir()), "it is recorded");
    std::fs::rename(site.path("lake"), site.path("gone")).unwrap();
    std::fs::rename(site.path("other"), site.path("lake")).unwrap();
    let failed = || {
        let (status, report) = readyz("?without=targets,stopping");
        status == 503 && report.contains("\"state\":\"failed\"")
    };
    assert!(eventually(failed), "{:?} {}", readyz(""), up.log());
    assert_eq!(readyz("").0, 503);
    assert!(agent.try_wait().unwrap().is_none(), "it drains: {}", up.log());
    agent.kill().unwrap();
    agent.wait().unwrap();
    assert!(eventually(|| up.is_gone()), "it ends by itself: {}", up.log());
    assert!(up.log().contains("belongs to"), "{}", up.log());
}

/// An agent whose statement does not end.
fn sleeping(up: &Role, port: u16) -> Child {
    let statements = ["-At", "-c", "SELECT 'here'", "-c", "SELECT pg_sleep(600)"];
    let mut agent = psql(port, "any", "postgres");
    let mut agent = agent.args(statements).stdout(Stdio::piped()).spawn().unwrap();
    let mut here = String::new();
    BufReader::new(agent.stdout.as_mut().unwrap()).read_line(&mut here).unwrap();
    assert_eq!(here, "here\n", "{}", up.log());
    agent
}

/// As a service manager asks, and asks again. Of `dev` and Ctrl-C: tests/crash.
#[test]
fn a_second_sigterm_ends_up_at_once() {
    let test = "a_second_sigterm_ends_up_at_once";
    let Some(site) = Site::start(test) else { return };
    let log = format!("embedded:{}", site.path("log").display());
    let lake = format!("[lake]\nurl = \"file://{}\"\n", site.path("lake").display());
    let config = site.config("all.toml", &log, &lake, &["gateway", "recorder", "query"]);
    let up = Role::start("up", &config);
    let forward = site.connect();
    let mut agent = sleeping(&up, forward.port());
    up.terminate();
    assert!(eventually(|| up.log().contains("another signal ends at once")), "{}", up.log());
    assert!(agent.try_wait().unwrap().is_none(), "it drains: {}", up.log());
    up.terminate();
    assert!(eventually(|| up.is_gone()), "{}", up.log());
    // It would have told the agent, and said so, in order.
    assert!(up.log().contains("a second signal: ended at once"), "{}", up.log());
    let _ended = agent.kill();
    agent.wait().unwrap();
}

/// Status and body of what the telemetry address answers.
pub fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("telemetry listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: telemetry\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and closes");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.expect("a status"), answer)
}

/// `tallyport config check` finds the file in order.
pub fn checks(config: &std::path::Path) {
    let checked = Command::new(binary())
        .args(["config", "check"])
        .arg(config)
        .output()
        .expect("the binary runs; build it with make build");
    assert!(checked.status.success(), "{}", said(&checked));
}
