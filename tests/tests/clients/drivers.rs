//! psycopg 3, asyncpg, node `pg`, JDBC: scripts under tests/clients that print what they saw.

use std::process::{Command, Output};

use dev_services::repo_root;
use tallyport_tests::{said, say_not_run};

use crate::{differences, world};

fn client(kind: &str, port: u16) -> Output {
    Command::new(repo_root().join("deploy/dev/client"))
        .args([kind, "127.0.0.1", &port.to_string(), "postgres", "postgres"])
        .output()
        .expect("deploy/dev/client runs")
}

fn sees_the_same(kind: &str) {
    let Some(world) = world() else { return };
    let direct = client(kind, world.postgres.port("port"));
    if direct.status.code() == Some(75) {
        say_not_run(kind, &said(&direct));
        return;
    }
    assert!(direct.status.success(), "{kind} fails on a direct connection: {}", said(&direct));
    let through = client(kind, world.forward.port());
    assert!(through.status.success(), "{kind} fails through the gateway: {}", said(&through));
    let (direct, through) =
        (String::from_utf8_lossy(&direct.stdout), String::from_utf8_lossy(&through.stdout));
    assert!(direct.lines().count() > 10, "{kind} printed too little to compare: {direct}");
    let differ = differences(&direct, &through);
    assert!(
        differ.is_empty(),
        "{kind} sees something else through the gateway:\n{}",
        differ.join("\n")
    );
}

#[test]
fn psycopg() {
    sees_the_same("psycopg");
}

#[test]
fn asyncpg() {
    sees_the_same("asyncpg");
}

#[test]
fn node_pg() {
    sees_the_same("node");
}

#[test]
fn jdbc() {
    sees_the_same("jdbc");
}
