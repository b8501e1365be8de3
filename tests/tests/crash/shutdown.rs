//! A stop in the middle of a statement: the agent is told why, and the record says so.

use std::process::{Command, Stdio};

use tallyport_tests::{Stack, eventually, psql, start_or_say};

#[test]
fn a_shutdown_is_told_to_the_agent_and_recorded_as_one() {
    let test = "a_shutdown_is_told_to_the_agent_and_recorded_as_one";
    let Some(postgres) = start_or_say(test, "postgres", &[]) else { return };
    let port = postgres.port("port");
    let kept = tempfile::Builder::new().prefix("tallyport-stop-").tempdir().unwrap();
    let data = kept.path().join("data");
    let stack = super::start_stack(&data, port);
    let forward = stack.connect("ops-agent", "sample");
    let mut agent = psql(forward.port(), "any", "postgres");
    let agent = agent.args(["-v", "VERBOSITY=verbose", "-c", "SELECT pg_sleep(600)"]);
    let agent = agent.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let running = || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(600)%'";
        let asked = psql(port, "postgres", "postgres").args(["-At", "-c", sql]).output().unwrap();
        String::from_utf8_lossy(&asked.stdout).trim() == "1"
    };
    assert!(eventually(running), "the statement runs");
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

fn interrupt(pid: u64) {
    let sent = Command::new("kill").args(["-INT", &pid.to_string()]).status().unwrap();
    assert!(sent.success(), "process {pid} was there");
}
