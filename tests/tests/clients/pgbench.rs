//! pgbench in all three query modes, initialisation (DDL and COPY) included.

use std::path::PathBuf;
use std::process::{Command, Output};

use tallyport_tests::said;

use crate::world;

/// pgbench is in the server's folder on Debian.
fn program() -> PathBuf {
    let installed =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> = installed
        .map(|entry| entry.path().join("bin/pgbench"))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| PathBuf::from("pgbench"))
}

fn pgbench(port: u16, arguments: &[&str]) -> Output {
    Command::new(program())
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", "postgres"])
        .args(arguments)
        .arg("postgres")
        .env("LC_ALL", "C")
        .output()
        .expect("pgbench runs")
}

#[test]
fn all_query_modes() {
    let Some(world) = world() else { return };
    let port = world.forward.port();
    let made = pgbench(port, &["-i", "-q", "-s", "1"]);
    assert!(made.status.success(), "initialisation: {}", said(&made));
    for mode in ["simple", "extended", "prepared"] {
        for script in ["tpcb-like", "select-only"] {
            let ran =
                pgbench(port, &["-n", "-M", mode, "-b", script, "-c", "4", "-j", "2", "-t", "25"]);
            let seen = said(&ran);
            assert!(ran.status.success(), "{mode} {script}: {seen}");
            assert!(
                seen.contains("number of transactions actually processed: 100/100"),
                "{mode} {script}: {seen}"
            );
        }
    }
    let executed = world.stack.sql(
        "auditor",
        "SELECT count(*) AS n FROM commands WHERE phase = 'execute' AND statement LIKE 'SELECT abalance FROM pgbench_accounts%'",
    );
    let counted = executed.first().and_then(|row| row.get("n")).and_then(serde_json::Value::as_i64);
    // Two modes, two scripts, a hundred transactions each, one such statement in each transaction.
    assert_eq!(counted, Some(400), "every execution is on record once");
}
