//! A stop in the middle of a statement: the agent is told why, and the record says so.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use tallyport_tests::{Forward, Stack, binary, eventually, psql, start_or_say};

#[test]
fn a_shutdown_is_told_to_the_agent_and_recorded_as_one() {
    let test = "a_shutdown_is_told_to_the_agent_and_recorded_as_one";
    let Some(postgres) = start_or_say(test, "postgres", &[]) else { return };
    let port = postgres.port("port");
    let kept = tempfile::Builder::new().prefix("tallyport-stop-").tempdir().unwrap();
    let data = kept.path().join("data");
    let stack = super::start_stack(&data, port);
    let forward = stack.connect("ops-agent", "sample");
    let agent = sleeping(forward.port(), port);
    interrupt(stack.pid());
    let told = agent.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(told.contains("FATAL:  57P01"), "{told}");
    drop(forward);
    drop(stack);
    let stack: Stack = super::start_stack(&data, port);
    let sql = "SELECT state, closed_by FROM sessions WHERE target = 'sample'";
    let sessions = stack.sql("auditor", sql);
    let as_recorded: Vec<_> =
        sessions.iter().map(|row| (row["state"].as_str(), row["closed_by"].as_str())).collect();
    assert_eq!(as_recorded, [(Some("closed"), Some("shutdown"))], "{sessions:?}");
}

#[test]
fn a_second_signal_ends_at_once_and_nothing_that_passed_is_lost() {
    let test = "a_second_signal_ends_at_once_and_nothing_that_passed_is_lost";
    let Some(postgres) = start_or_say(test, "postgres", &[]) else { return };
    let port = postgres.port("port");
    let kept = tempfile::Builder::new().prefix("tallyport-stop-").tempdir().unwrap();
    let (data, ready) = (kept.path().join("data"), kept.path().join("ready.json"));
    let mut process = Command::new(binary())
        .args(["dev", "--data", &data.to_string_lossy(), "--ready-file", &ready.to_string_lossy()])
        .args(super::own_database(port))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(eventually(|| ready.exists()), "it is ready");
    let ready_file = ready.to_string_lossy();
    let forward = Forward::start(&["sample", "--as", "ops-agent", "--ready-file", &ready_file]);
    let agent = sleeping(forward.port(), port);
    interrupt(u64::from(process.id()));
    // It drains, and waits for the agent: until it says so, two signals might count as one.
    let mut said = BufReader::new(process.stderr.take().unwrap()).lines();
    assert!(said.by_ref().any(|line| line.unwrap().contains("another signal ends at once")));
    interrupt(u64::from(process.id()));
    assert_eq!(process.wait().unwrap().code(), Some(130));
    assert!(said.any(|line| line.unwrap().contains("a second signal: ended at once")));
    drop(forward);
    assert!(!agent.wait_with_output().unwrap().status.success());

    let stack: Stack = super::start_stack(&data, port);
    let sql = "SELECT c.disposition, s.closed_by FROM commands c JOIN sessions s ON c.session_id = s.session_id \
               WHERE c.statement LIKE 'SELECT pg_sleep(600)%'";
    let rows = stack.sql("auditor", sql);
    let row = rows.first().expect("the statement is on record");
    assert_eq!((row["disposition"].as_str(), row["closed_by"].as_str()), (Some("forwarded"), None));
}

/// psql through `forward`, in the middle of a statement of the server at `port`.
fn sleeping(forward: u16, port: u16) -> Child {
    let mut agent = psql(forward, "any", "postgres");
    let agent = agent.args(["-v", "VERBOSITY=verbose", "-c", "SELECT pg_sleep(600)"]);
    let agent = agent.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let running = || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%'";
        let asked = psql(port, "postgres", "postgres").args(["-At", "-c", sql]).output().unwrap();
        String::from_utf8_lossy(&asked.stdout).trim() == "1"
    };
    assert!(eventually(running), "the statement runs");
    agent
}

fn interrupt(pid: u64) {
    let sent = Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "process {pid} was there");
}
