//! A new gateway takes the port over from the one that runs, as an upgrade does: two processes over a real Kafka.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dev_services::DevService;
use tallyport_gateway::connect::Transport;
use tallyport_tests::{
    AGENT, Books, Load, Role, Site, binary, eventually, kill, psql, said, start_or_say,
};

use crate::together::checks;

/// Everything that runs beside the gateways.
struct Parts {
    site: Site,
    config: PathBuf,
    _recorder: Role,
    _query: Role,
    _kafka: DevService,
}

/// A gateway process, with its exit status.
struct Gateway {
    node: &'static str,
    child: Child,
    log: PathBuf,
}

#[test]
fn an_upgrade_refuses_nobody_and_loses_nothing() {
    let Some(parts) = Parts::start("an_upgrade_refuses_nobody_and_loses_nothing") else { return };
    let site = &parts.site;
    let blue = parts.gateway("blue");
    let forward = site.connect();
    let mut books = Books::default();
    let load = Load::start(0, forward.port());
    let fresh = Fresh::start(site, forward.port());
    load.wait_for_more(16);
    fresh.wait_for_more(4);
    let kept = statement(forward.port(), "SELECT 'kept', pg_sleep(6)");
    assert!(eventually(|| is_running(site, "SELECT 'kept'")), "its statement runs");

    let same = parts.refused("blue");
    assert_eq!(same.status.code(), Some(2), "{}", said(&same));
    assert!(said(&same).contains("another `node`"), "{}", said(&same));

    let green = parts.gateway("green");
    assert!(eventually(|| blue.said("another process has the port")), "{}", blue.told());
    fresh.wait_for_more(16);
    load.wait_for_more(64);
    let answer = kept.wait_with_output().expect("psql ends");
    assert!(said(&answer).starts_with("kept|"), "it came after the takeover: {}", said(&answer));
    // What is opened now is the new one's, by a client that had a connection to the old one, too.
    let next = statement(forward.port(), "SELECT 'next'").wait_with_output().expect("psql ends");
    assert_eq!(said(&next).trim(), "next");
    fresh.stop();
    books.received(load.stop());
    assert_eq!(blue.ended().code(), Some(0), "it ends by itself once its sessions have");

    let load = Load::start(1, forward.port());
    load.wait_for_more(16);
    books.received(load.stop());
    books.executed(site.statement_log());
    eprintln!("{books}");
    // Nobody was killed: no number of either is missing.
    books.compare(&|sql| site.sql(sql), 0);
    for (statement, node) in [("SELECT ''kept''", "blue"), ("SELECT ''next''", "green")] {
        let sql = format!(
            "SELECT DISTINCT producer_id FROM events WHERE session_id IN \
             (SELECT session_id FROM commands WHERE statement LIKE '{statement}%')"
        );
        let producers = site.sql(&sql);
        assert_eq!(producers.len(), 1, "{statement}: {producers:?}");
        assert_eq!(producers[0]["producer_id"], format!("{node}/gateway"));
    }
    assert_eq!(green.stopped().code(), Some(0));
}

#[test]
fn whichever_of_the_two_is_killed_the_other_goes_on() {
    let Some(parts) = Parts::start("whichever_of_the_two_is_killed_the_other_goes_on") else {
        return;
    };
    let site = &parts.site;
    let blue = parts.gateway("blue");
    // Each with a connection of its own.
    let [first, second] = [(); 2].map(|()| site.connect());
    let mut held = Held::open(first.port());
    let long = statement(first.port(), "SELECT 'long', pg_sleep(10)");
    assert!(eventually(|| is_running(site, "SELECT 'long'")), "its statement runs");

    // The new one is killed while the old one drains: that goes on by itself, both ways.
    let green = parts.gateway("green");
    assert!(eventually(|| blue.said("another process has the port")), "{}", blue.told());
    answers(second.port());
    // Whoever stops it now asks for what it does already.
    blue.signal("TERM");
    assert!(eventually(|| blue.said("another signal ends at once")), "{}", blue.told());
    green.killed();
    let answer = long.wait_with_output().expect("psql ends");
    assert!(said(&answer).starts_with("long|"), "{}", said(&answer));
    assert_eq!(held.ask("SELECT 'alone'"), "alone");
    // The next one takes the port over from it.
    let red = parts.gateway("red");
    assert!(red.said("the port was taken over"), "{}", red.told());
    answers(second.port());
    assert_eq!(held.ask("SELECT 'still here'"), "still here");
    held.end();
    drop(first);
    assert_eq!(blue.ended().code(), Some(0));

    // The old one is killed while it drains: its clients learn that at once, and the new one does not mind.
    let lost = statement(second.port(), "SELECT 'lost', pg_sleep(600)");
    assert!(eventually(|| is_running(site, "SELECT 'lost'")), "its statement runs");
    let white = parts.gateway("white");
    assert!(eventually(|| red.said("another process has the port")), "{}", red.told());
    red.killed();
    let began = Instant::now();
    let told = lost.wait_with_output().expect("psql ends");
    assert!(!told.status.success(), "{}", said(&told));
    assert!(began.elapsed() < Duration::from_secs(20), "not by its idle timeout, which is 30 s");
    answers(second.port());
    assert_eq!(white.stopped().code(), Some(0));
    let refused = parts.site.gateway_listens();
    assert!(!refused, "nobody has the port any more");
}

/// psql that stays, and is given statements.
struct Held {
    psql: Child,
    answers: BufReader<ChildStdout>,
}

impl Held {
    fn open(port: u16) -> Self {
        let mut psql = psql(port, "anyone", "postgres");
        psql.arg("-At").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut psql = psql.spawn().expect("psql runs");
        let answers = BufReader::new(psql.stdout.take().expect("a pipe"));
        let mut held = Self { psql, answers };
        assert_eq!(held.ask("SELECT 'open'"), "open");
        held
    }

    fn ask(&mut self, sql: &str) -> String {
        let stdin = self.psql.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{sql};").expect("psql reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("psql answers");
        answer.trim().to_owned()
    }

    fn end(mut self) {
        drop(self.psql.stdin.take());
        assert!(self.psql.wait().expect("psql ends").success());
    }
}

fn answers(port: u16) {
    let seen = statement(port, "SELECT 'here'").wait_with_output().expect("psql ends");
    assert_eq!(said(&seen).trim(), "here");
}

/// psql with one statement, under way.
fn statement(port: u16, sql: &str) -> Child {
    let mut psql = psql(port, "anyone", "postgres");
    psql.args(["-Atc", sql]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    psql.spawn().expect("psql runs")
}

fn is_running(site: &Site, statement: &str) -> bool {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '{}%'",
        statement.replace('\'', "''")
    );
    let asked = psql(site.postgres.port("port"), "postgres", "postgres")
        .args(["-Atc", &sql])
        .output()
        .expect("psql runs");
    String::from_utf8_lossy(&asked.stdout).trim() == "1"
}

impl Parts {
    fn start(test: &str) -> Option<Self> {
        let site = Site::start(test)?;
        let kafka = start_or_say(test, "kafka", &[])?;
        let log = format!("kafka://{}?partitions=3", kafka.text("bootstrap"));
        let lake = format!("[lake]\nurl = \"file://{}\"\n", site.path("lake").display());
        let sections = ["gateway", "takeover", "recorder", "query"];
        let config = site.config("site.toml", &log, &lake, &sections);
        checks(&config);
        let (recorder, query) = (Role::start("recorder", &config), Role::start("query", &config));
        Some(Self { site, config, _recorder: recorder, _query: query, _kafka: kafka })
    }

    /// Starts a gateway of this node and waits until it serves.
    fn gateway(&self, node: &'static str) -> Gateway {
        let log = self.site.path(&format!("{node}.log"));
        let file = std::fs::File::create(&log).expect("its log");
        let child = self.command(node).stderr(file).spawn().expect("the binary runs");
        let gateway = Gateway { node, child, log };
        assert!(eventually(|| gateway.said(": serving config=")), "{}", gateway.told());
        gateway
    }

    /// Starts one that does not get that far.
    fn refused(&self, node: &str) -> Output {
        self.command(node).stderr(Stdio::piped()).output().expect("the binary runs")
    }

    fn command(&self, node: &str) -> Command {
        let config: &Path = &self.config;
        let mut command = Command::new(binary());
        command.args(["gateway", "--node", node, "--config"]).arg(config);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

impl Gateway {
    fn told(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        format!("{} said:\n{log}", self.node)
    }

    fn said(&self, what: &str) -> bool {
        self.told().contains(what)
    }

    /// Until it has ended by itself.
    fn ended(mut self) -> ExitStatus {
        let mut status = None;
        let ended = eventually(|| {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        assert!(ended, "it ends: {}", self.told());
        assert!(!self.said(" ERROR "), "{}", self.told());
        status.expect("it has ended")
    }

    /// Ended by a signal, in order.
    fn stopped(self) -> ExitStatus {
        self.signal("TERM");
        self.ended()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs");
        assert!(sent.success(), "{} was there", self.node);
    }

    fn killed(mut self) {
        kill(u64::from(self.child.id()));
        self.child.wait().expect("a child");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Clients that come all the time: connections of their own, and sessions through a local port.
struct Fresh {
    stop: Arc<AtomicBool>,
    served: [Arc<AtomicUsize>; 2],
    clients: Vec<JoinHandle<()>>,
}

impl Fresh {
    fn start(site: &Site, port: u16) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let served = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let token = runtime.block_on(site.token_of(AGENT));
        let connect = site.connector_maker(&token);
        let (stopping, count) = (stop.clone(), served[0].clone());
        let connections = std::thread::spawn(move || {
            while !stopping.load(Ordering::Acquire) {
                runtime.block_on(async {
                    let connector = connect();
                    let tunnel = connector.open("sample").await.expect("nobody is refused");
                    assert_eq!(tunnel.transport(), Transport::Quic, "nobody has to fall back");
                    drop(tunnel);
                    connector.close().await;
                });
                count.fetch_add(1, Ordering::AcqRel);
            }
        });
        let (stopping, count) = (stop.clone(), served[1].clone());
        let sessions = std::thread::spawn(move || {
            while !stopping.load(Ordering::Acquire) {
                answers(port);
                count.fetch_add(1, Ordering::AcqRel);
            }
        });
        Self { stop, served, clients: vec![connections, sessions] }
    }

    /// Until so many more of each kind were served, or one failed.
    fn wait_for_more(&self, count: usize) {
        for served in &self.served {
            let due = served.load(Ordering::Acquire) + count;
            let enough = || {
                self.clients.iter().any(JoinHandle::is_finished)
                    || served.load(Ordering::Acquire) >= due
            };
            assert!(eventually(enough), "clients are served");
        }
        assert!(!self.clients.iter().any(JoinHandle::is_finished), "a client was refused");
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Release);
        for client in self.clients {
            client.join().expect("a client was refused");
        }
    }
}
