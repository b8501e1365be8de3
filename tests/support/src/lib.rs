//! Starts the real parts that tests talk to, through the scripts under `deploy/dev`.
//!
//! Every script keeps one contract: it installs what is missing from the package registries, starts its service on
//! free ports under a temporary directory, prints **one line of JSON** on stdout once the service answers, and runs
//! until its stdin closes; then it stops what it started, by process id, and removes the directory. Exit code 75
//! (`EX_TEMPFAIL`) means that a registry could not be reached: the test did not run, and stderr says why.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

/// A running service. Dropping it stops the service and waits for that.
#[derive(Debug)]
pub struct DevService {
    child: Child,
    stdin: Option<ChildStdin>,
    ready: Value,
}

/// A service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A package registry could not be reached; the script said why on stderr.
    #[error(
        "deploy/dev/{name} could not install what it needs (see above); the test that needs it did not run"
    )]
    NotInstallable {
        /// The script.
        name: String,
    },
    /// The script failed.
    #[error("deploy/dev/{name} ended with {status} before it was ready (see above)")]
    Failed {
        /// The script.
        name: String,
        /// How it ended.
        status: String,
    },
    /// The script could not be run at all.
    #[error("deploy/dev/{name} cannot be run: {source}")]
    Spawn {
        /// The script.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// What it printed is not a line of JSON.
    #[error("deploy/dev/{name} printed `{line}` where one line of JSON was due")]
    BadReadyLine {
        /// The script.
        name: String,
        /// What it printed.
        line: String,
    },
}

/// The root of the checkout.
#[must_use]
pub fn repo_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

impl DevService {
    /// Starts `deploy/dev/<name>` with `args` and waits until it is ready.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(name: &str, args: &[&str]) -> Result<Self, StartError> {
        let spawn_error = |source| StartError::Spawn { name: name.to_owned(), source };
        let mut child = Command::new(repo_root().join("deploy/dev").join(name))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(spawn_error)?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(spawn_error)?;
        }
        if line.trim().is_empty() {
            let status = child.wait().map_err(spawn_error)?;
            return Err(match status.code() {
                Some(75) => StartError::NotInstallable { name: name.to_owned() },
                _ => StartError::Failed { name: name.to_owned(), status: status.to_string() },
            });
        }
        match serde_json::from_str(&line) {
            Ok(ready) => Ok(Self { child, stdin, ready }),
            Err(_) => Err(StartError::BadReadyLine { name: name.to_owned(), line }),
        }
    }

    /// What it printed when it was ready.
    #[must_use]
    pub const fn ready(&self) -> &Value {
        &self.ready
    }

    /// A text of the ready line; empty when there is none of that name.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        self.ready.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// A port of the ready line; 0 when there is none of that name.
    #[must_use]
    pub fn port(&self, key: &str) -> u16 {
        self.ready
            .get(key)
            .and_then(Value::as_u64)
            .and_then(|port| u16::try_from(port).ok())
            .unwrap_or_default()
    }
}

impl Drop for DevService {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _stopped = self.child.wait();
    }
}
