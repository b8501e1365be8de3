//! PostgreSQL's own programs.

use std::time::Duration;

use dev_services::{DevService, StartError};
use tokio::process::Command;

use crate::Failure;
use crate::figures::Waits;

/// A fresh PostgreSQL, with the fixture's log of every statement off: that one is for tests.
///
/// # Errors
/// When it cannot be started.
pub async fn postgres(arguments: &'static [&'static str]) -> Result<DevService, Failure> {
    let start = move || DevService::start("postgres", arguments);
    let postgres = tokio::task::spawn_blocking(start).await??;
    let port = postgres.port("port");
    for sql in ["ALTER SYSTEM SET log_statement = 'none'", "SELECT pg_reload_conf()"] {
        psql(port, sql).await?;
    }
    Ok(postgres)
}

/// pgbouncer in front of it, in session mode; none, said, where it cannot be installed.
///
/// # Errors
/// When it is there and does not start.
pub async fn pgbouncer(server: u16) -> Result<Option<DevService>, Failure> {
    peer("pgbouncer", vec!["--server".to_owned(), format!("127.0.0.1:{server}")]).await
}

/// A peer out of `deploy/dev`; none, said, where it cannot be installed.
///
/// # Errors
/// When it is there and does not start.
pub async fn peer(name: &'static str, more: Vec<String>) -> Result<Option<DevService>, Failure> {
    let start = move || {
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        DevService::start(name, &more)
    };
    match tokio::task::spawn_blocking(start).await? {
        Ok(service) => Ok(Some(service)),
        Err(StartError::NotInstallable { .. }) => {
            println!("NOT RUN: {name} as peer: it cannot be installed");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// One statement, or several.
///
/// # Errors
/// With what `psql` said.
pub async fn psql(port: u16, sql: &str) -> Result<String, Failure> {
    run("psql", port, &["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]).await
}

/// The tables of pgbench.
///
/// # Errors
/// With what `pgbench` said.
pub async fn pgbench_tables(port: u16) -> Result<(), Failure> {
    run("pgbench", port, &["-i", "-q", "-s", "10"]).await.map(drop)
}

/// What one run of `pgbench -S -M prepared` says.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Transactions per second.
    pub tps: f64,
    /// The middle latency in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 took at most so long, in milliseconds.
    pub p99_ms: f64,
    /// Transactions of the client that had the fewest, over those of the mean client: 1 is fair.
    pub slowest: f64,
}

/// `pgbench -S -M prepared`, with a line on each transaction, whichever way it is.
///
/// # Errors
/// With what `pgbench` said.
pub async fn pgbench(port: u16, clients: u32, seconds: u32) -> Result<Load, Failure> {
    let dir = tempfile::tempdir()?;
    let prefix = format!("--log-prefix={}", dir.path().join("transactions").display());
    let (count, seconds) = (clients.to_string(), seconds.to_string());
    let out = run(
        "pgbench",
        port,
        &["-n", "-S", "-M", "prepared", "-c", &count, "-j", "2", "-T", &seconds, "-l", &prefix],
    )
    .await?;
    let tps = out.lines().find_map(|line| line.strip_prefix("tps = "));
    let tps = tps.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    let tps = tps.ok_or_else(|| format!("pgbench told no tps: {out}"))?;
    let mut waits = Waits::new();
    let mut of_client = vec![0_u64; clients as usize];
    for file in std::fs::read_dir(dir.path())? {
        for line in std::fs::read_to_string(file?.path())?.lines() {
            // client_id transaction_no time script_no time_epoch time_us
            let mut fields = line.split(' ').map(str::parse);
            let (Some(Ok(client)), Some(Ok(us))) = (fields.next(), fields.nth(1)) else { continue };
            waits.add(Duration::from_micros(us));
            if let Some(count) = of_client.get_mut(usize::try_from(client)?) {
                *count += 1;
            }
        }
    }
    let mean = waits.count() as f64 / f64::from(clients);
    let slowest = of_client.into_iter().min().unwrap_or_default() as f64 / mean;
    let [p50_ms, p99_ms] = waits.at([50, 99]);
    Ok(Load { tps, p50_ms, p99_ms, slowest })
}

/// One of PostgreSQL's programs against a port.
///
/// # Errors
/// With what it said.
pub async fn run(program: &str, port: u16, arguments: &[&str]) -> Result<String, Failure> {
    let out = Command::new(program)
        .env("PATH", programs())
        .args(["-h", "127.0.0.1", "-U", "postgres", "-p", &port.to_string()])
        .args(arguments)
        .args(["-d", "postgres"])
        .kill_on_drop(true)
        .output()
        .await?;
    if !out.status.success() {
        return Err(format!("{program}: {}", String::from_utf8_lossy(&out.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Debian keeps pgbench beside the server's programs.
fn programs() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = found.map(|version| version.path().join("bin")).max();
    newest.map_or(path.clone(), |bin| format!("{}:{path}", bin.display()))
}
