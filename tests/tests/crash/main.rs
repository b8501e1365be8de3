//! `kill -9` of any one process in the middle of a load, then the books are compared: PostgreSQL's own log, what the
//! agents received, what the lake holds.
//!
//! `TALLYPORT_CRASH_ROUNDS` sets the number of rounds (3), `TALLYPORT_SEED` replays the moments of the kills.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod shutdown;

use std::path::Path;
use std::time::Duration;

use dev_services::{DevService, repo_root};
use tallyport_tests::{Books, Load, Stack, kill, psql, roll, setting, start_or_say};

/// Who is killed in a round; the rounds take them in turn.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Tallyport,
    Connect,
    Postgres,
}

const VICTIMS: [Victim; 3] = [Victim::Tallyport, Victim::Connect, Victim::Postgres];

#[test]
fn nothing_passes_unrecorded_whoever_is_killed() {
    let test = "nothing_passes_unrecorded_whoever_is_killed";
    let rounds = setting("TALLYPORT_CRASH_ROUNDS").unwrap_or(3);
    let seed = setting("TALLYPORT_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("TALLYPORT_SEED={seed} TALLYPORT_CRASH_ROUNDS={rounds}");
    let kept = tempfile::Builder::new()
        .prefix("tallyport-crash-")
        .tempdir()
        .expect("a temporary directory");
    let data = kept.path().join("data");
    // The server's user must reach its own directory below this one.
    std::fs::set_permissions(kept.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))
        .expect("permitted");
    let cluster = kept.path().join("postgres");
    let Some(mut postgres) = start_postgres(test, &cluster, None) else { return };
    let port = postgres.port("port");
    let mut books = Books::default();
    for round in 0..rounds {
        let victim = VICTIMS[usize::try_from(round).expect("few rounds") % VICTIMS.len()];
        let stack = start_stack(&data, port);
        let forward = stack.connect("ops-agent", "sample");
        let load = Load::start(round, forward.port());
        load.wait_for_traffic();
        std::thread::sleep(Duration::from_millis(100 + roll(seed, round, 1_000)));
        match victim {
            Victim::Tallyport => kill(stack.pid()),
            Victim::Connect => kill(forward.pid()),
            Victim::Postgres => kill(postgres.ready()["pid"].as_u64().expect("a pid")),
        }
        books.received(load.stop());
        books.executed(Path::new(postgres.text("log_file")));
        if matches!(victim, Victim::Postgres) {
            drop(postgres);
            postgres = start_postgres(test, &cluster, Some(port)).expect("PostgreSQL starts again");
        }
        drop(forward);
        drop(stack);
        eprintln!("round {round}: killed {victim:?}; {books}");
    }
    let stack = start_stack(&data, port);
    books.executed(Path::new(postgres.text("log_file")));
    books.compare(&|sql| stack.sql("auditor", sql), 0);
}

fn start_postgres(test: &str, cluster: &Path, port: Option<u16>) -> Option<DevService> {
    let (cluster, port) =
        (cluster.to_string_lossy().into_owned(), port.map(|port| port.to_string()));
    let mut arguments = vec!["--data", &cluster];
    if let Some(port) = &port {
        arguments.extend(["--port", port]);
    }
    let service = start_or_say(test, "postgres", &arguments)?;
    let ready = psql(service.port("port"), "postgres", "postgres")
        .args(["-c", "SELECT 1"])
        .output()
        .expect("psql runs");
    assert!(ready.status.success());
    Some(service)
}

fn start_stack(data: &Path, port: u16) -> Stack {
    let data = data.to_string_lossy();
    let own = own_database(port);
    let mut arguments = vec!["--data", &data];
    arguments.extend(own.iter().map(String::as_str));
    Stack::start(&arguments)
}

/// The arguments that make `dev` run on this server, with nothing denied and nothing masked.
fn own_database(port: u16) -> [String; 6] {
    let fixtures = repo_root().join("tests/fixtures");
    let fixture = |name: &str| fixtures.join(name).to_string_lossy().into_owned();
    [
        "--target-url".to_owned(),
        format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable"),
        "--policy".to_owned(),
        fixture("allow-all.cedar"),
        "--masking".to_owned(),
        fixture("no-masks.toml"),
    ]
}
