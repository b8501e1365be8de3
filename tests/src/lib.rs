//! What the end-to-end tests share: the binary as a running stack, an agent's local port, tokens, audit answers.
//!
//! The stack is the real binary (`make build` first; `make test` does), PostgreSQL is real, clients are unchanged.

mod books;
mod chaos;
mod desk;
mod load;
mod site;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Once;
use std::time::{Duration, Instant};

use dev_services::{DevService, StartError};
use serde_json::Value;

pub use books::{Ask, Books};
pub use chaos::{kill, roll, setting, signal};
pub use desk::Desk;
pub use load::Load;
pub use site::{AGENT, Role, Site, free_port, keys_of, lake_on};

/// How long a condition may take to come true.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// `tallyport dev`, running.
#[derive(Debug)]
pub struct Stack {
    service: DevService,
}

/// `tallyport connect`, running.
#[derive(Debug)]
pub struct Forward {
    service: DevService,
}

/// The binary under test.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TALLYPORT_BIN") {
        return path.into();
    }
    let tests = std::env::current_exe().unwrap_or_default();
    let binary: PathBuf =
        tests.ancestors().nth(2).map(|profile| profile.join("tallyport")).unwrap_or_default();
    static CHECKED: Once = Once::new();
    CHECKED.call_once(|| assert_is_current(&binary));
    binary
}

/// `cargo test --test NAME` leaves the binary as it was: a test of another than the sources shows nothing.
fn assert_is_current(binary: &Path) {
    let modified = |path: &Path| path.metadata().and_then(|it| it.modified()).ok();
    let Ok(made_of) = std::fs::read_to_string(binary.with_extension("d")) else { return };
    let sources = made_of.split(' ').map(str::trim_end).filter(|path| path.ends_with(".rs"));
    let newer = sources.map(Path::new).find(|path| modified(path) > modified(binary));
    assert!(newer.is_none(), "{newer:?} is newer than the binary: cargo build --workspace --bins");
}

/// Starts a dev service, or says on stderr that `test` does not run and why.
#[must_use]
pub fn start_or_say(test: &str, name: &str, arguments: &[&str]) -> Option<DevService> {
    match DevService::start(name, arguments) {
        Ok(service) => Some(service),
        Err(error @ StartError::NotInstallable { .. }) => {
            say_not_run(test, &error);
            None
        }
        #[expect(
            clippy::panic,
            reason = "a test harness: a service that fails to start fails the test"
        )]
        Err(error) => panic!("{error}"),
    }
}

/// Says on the process's own stderr, which no test harness captures, that `test` does not run and why.
pub fn say_not_run(test: &str, why: &dyn std::fmt::Display) {
    let line = format!("NOT RUN: {test}: {why}\n");
    let _said = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
}

/// Waits until `condition` holds; false when it did not within [`PATIENCE`].
#[must_use]
pub fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

impl Stack {
    /// Starts `tallyport dev` with these arguments.
    #[must_use]
    #[expect(clippy::panic, reason = "a test harness: a stack that fails to start fails the test")]
    pub fn start(arguments: &[&str]) -> Self {
        let arguments: Vec<&str> =
            std::iter::once("dev").chain(arguments.iter().copied()).collect();
        match DevService::start("tallyport", &arguments) {
            Ok(service) => Self { service },
            Err(error) => panic!("{error}"),
        }
    }

    /// The ready file's content.
    #[must_use]
    pub const fn ready(&self) -> &Value {
        self.service.ready()
    }

    /// The ready file.
    #[must_use]
    pub fn ready_file(&self) -> &Path {
        Path::new(self.service.text("ready_file"))
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u64 {
        self.ready().get("pid").and_then(Value::as_u64).unwrap_or_default()
    }

    /// `tallyport connect` to `target` as this client of the development issuer.
    #[must_use]
    pub fn connect(&self, client: &str, target: &str) -> Forward {
        Forward::start(&[target, "--as", client, "--ready-file", self.service.text("ready_file")])
    }

    /// Runs the binary with `--ready-file` set.
    #[must_use]
    #[expect(clippy::panic, reason = "a test harness: a binary that cannot be run fails the test")]
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(arguments).env("TALLYPORT_READY_FILE", self.ready_file());
        command.output().unwrap_or_else(|error| panic!("{}: {error}", binary().display()))
    }

    /// The rows of an audit question in SQL, asked as `client`.
    #[must_use]
    pub fn sql(&self, client: &str, sql: &str) -> Vec<Value> {
        rows(&self.run(&["sql", sql, "--as", client, "--json"]))
    }
}

impl Forward {
    /// Starts `tallyport connect` with these arguments.
    #[must_use]
    #[expect(
        clippy::panic,
        reason = "a test harness: a forward that fails to start fails the test"
    )]
    pub fn start(arguments: &[&str]) -> Self {
        let arguments: Vec<&str> =
            std::iter::once("connect").chain(arguments.iter().copied()).collect();
        match DevService::start("tallyport", &arguments) {
            Ok(service) => Self { service },
            Err(error) => panic!("{error}"),
        }
    }

    /// The local port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.service.port("port")
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u64 {
        self.service.ready().get("pid").and_then(Value::as_u64).unwrap_or_default()
    }
}

/// psql, unchanged, without the user's own configuration.
#[must_use]
pub fn psql(port: u16, user: &str, database: &str) -> Command {
    let mut command = Command::new("psql");
    command.args(["-X", "-h", "127.0.0.1", "-p", &port.to_string(), "-U", user, "-d", database]);
    command.env("PGCONNECT_TIMEOUT", "20").env("PGPASSWORD", "ignored").env("LC_ALL", "C");
    command
}

/// The rows that a finished `tallyport ... --json` printed.
#[must_use]
#[expect(clippy::panic, reason = "a test harness: a question that fails, fails the test")]
pub fn rows(output: &Output) -> Vec<Value> {
    match serde_json::from_slice(&output.stdout) {
        Ok(rows) => rows,
        Err(error) => panic!("{error}: {}", said(output)),
    }
}

/// What a finished program said, both streams, for a comparison or a message.
#[must_use]
pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
