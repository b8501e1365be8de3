//! A secret that a program prints: so that any secret store plugs in that has a command line.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

use super::{MAX_BYTES, Secret, without_line_break};

/// The longest a program may take.
const WITHIN: Duration = Duration::from_secs(10);
/// How long what it printed is used before it is asked again. A target that refuses it ends that at once.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// A program with its arguments, and what it printed last. No shell is involved.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct SecretCommand {
    program: Arc<str>,
    arguments: Arc<[String]>,
    kept: Arc<Mutex<Option<(Instant, Secret)>>>,
    /// Held while it runs.
    running: Arc<tokio::sync::Mutex<()>>,
}

/// A program gave no secret. Carries nothing of what it printed.
#[derive(Debug, thiserror::Error)]
pub enum SecretCommandError {
    /// It cannot be started.
    #[error("the command {program} cannot be started: {source}; name it with its whole path")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It failed.
    #[error("the command {program} ended with {status}; run it by hand as the service's user")]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// It did not end in time.
    #[error("the command {program} did not end within {} ms", within.as_millis())]
    Slow {
        /// The program.
        program: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// What it printed is no secret.
    #[error("the command {program} printed {problem}; it must print the secret and nothing else")]
    Printed {
        /// The program.
        program: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// It was not run yet.
    #[error("the command {program} was not run yet")]
    NotRun {
        /// The program.
        program: String,
    },
}

impl TryFrom<Vec<String>> for SecretCommand {
    type Error = &'static str;

    fn try_from(words: Vec<String>) -> Result<Self, Self::Error> {
        let [program, arguments @ ..] = words.as_slice() else {
            return Err("a command needs a program; write [\"/usr/bin/vault\", \"kv\", ...]");
        };
        if program.is_empty() {
            return Err("a command needs a program; its first word is empty");
        }
        let (program, arguments) = (program.as_str().into(), arguments.into());
        Ok(Self { program, arguments, kept: Arc::default(), running: Arc::default() })
    }
}

impl SecretCommand {
    /// What was printed last.
    pub(super) fn read(&self) -> Result<Secret, SecretCommandError> {
        let kept = self.kept.lock();
        let secret = kept.as_ref().map(|(_, secret)| secret.clone());
        secret.ok_or_else(|| SecretCommandError::NotRun { program: self.name() })
    }

    /// Runs the program unless what it printed is fresh; whether it ran.
    pub(super) async fn refresh(&self) -> Result<bool, SecretCommandError> {
        self.refresh_within(WITHIN).await
    }

    async fn refresh_within(&self, within: Duration) -> Result<bool, SecretCommandError> {
        let is_fresh = |kept: &(Instant, Secret)| kept.0.elapsed() < KEPT_FOR;
        let fresh = || self.kept.lock().as_ref().is_some_and(is_fresh);
        if fresh() {
            return Ok(false);
        }
        // Whoever asks meanwhile waits for what it prints, and has none of their own run.
        let _one = self.running.lock().await;
        if fresh() {
            return Ok(false);
        }
        let slow = |_| SecretCommandError::Slow { program: self.name(), within };
        let secret = timeout(within, self.run()).await.map_err(slow)??;
        *self.kept.lock() = Some((Instant::now(), secret));
        Ok(true)
    }

    /// The same on a thread of its own, which is waited for: whoever calls may be one of a runtime's.
    pub(super) fn refresh_first(&self) -> Result<bool, SecretCommandError> {
        let failed = |source| SecretCommandError::Start { program: self.name(), source };
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(failed)?.block_on(self.refresh())
        };
        let ran = std::thread::scope(|threads| threads.spawn(run).join());
        ran.unwrap_or_else(|_| Err(failed(std::io::ErrorKind::Other.into())))
    }

    /// What was printed last is no longer good.
    pub(super) fn forget(&self) {
        *self.kept.lock() = None;
    }

    async fn run(&self) -> Result<Secret, SecretCommandError> {
        let start = |source| SecretCommandError::Start { program: self.name(), source };
        let mut child = Command::new(&*self.program)
            .args(&*self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // It may repeat a token; whoever needs it runs the command by hand.
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(start)?;
        let mut printed = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
        if let Some(stdout) = child.stdout.take() {
            let mut stdout = stdout.take(MAX_BYTES as u64 + 1);
            stdout.read_to_end(&mut printed).await.map_err(start)?;
        }
        let bad = |problem| SecretCommandError::Printed { program: self.name(), problem };
        if printed.len() > MAX_BYTES {
            return Err(bad("more than 64 KiB"));
        }
        let status = child.wait().await.map_err(start)?;
        if !status.success() {
            return Err(SecretCommandError::Failed { program: self.name(), status });
        }
        let text = std::str::from_utf8(&printed).map_err(|_| bad("what is not UTF-8"))?;
        let text = without_line_break(text);
        if text.is_empty() { Err(bad("nothing")) } else { Ok(Secret::new(text.to_owned())) }
    }

    fn name(&self) -> String {
        self.program.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> SecretCommand {
        let words = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        SecretCommand::try_from(words).unwrap()
    }

    async fn refused(script: &str) -> String {
        shell(script).refresh().await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn who_asks_meanwhile_waits_for_the_one_that_runs() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        let command = shell(&format!("echo run >> {}; sleep 0.2; echo secret", runs.display()));
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let command = command.clone();
            all.spawn(async move { command.refresh().await.unwrap() });
        }
        let ran = all.join_all().await;
        assert_eq!(ran.into_iter().filter(|ran| *ran).count(), 1);
        assert_eq!(std::fs::read_to_string(runs).unwrap().lines().count(), 1);
    }

    #[tokio::test]
    async fn what_a_command_prints_is_the_secret_until_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "first\n").unwrap();
        let command = shell(&format!("cat {}", file.display()));
        assert!(command.read().is_err(), "it was not run yet");
        assert!(command.refresh().await.unwrap());
        std::fs::write(&file, "second\r\n").unwrap();
        assert!(!command.refresh().await.unwrap(), "what it printed is fresh");
        assert_eq!(command.read().unwrap().expose(), "first");
        command.forget();
        assert!(command.refresh().await.unwrap());
        assert_eq!(command.read().unwrap().expose(), "second");
    }

    #[tokio::test]
    async fn a_command_that_gives_no_secret_is_an_error_that_repeats_nothing() {
        assert!(refused("echo hunter2; exit 3").await.contains("exit status: 3"));
        assert!(refused("true").await.contains("printed nothing"));
        assert!(refused("printf '\\377hunter2'").await.contains("not UTF-8"));
        assert!(
            refused("head -c 70000 /dev/zero; echo hunter2").await.contains("more than 64 KiB")
        );
        for script in ["echo hunter2; exit 3", "printf '\\377hunter2'", "head -c 70000 /dev/zero"] {
            assert!(!refused(script).await.contains("hunter2"), "{script}");
        }
        let missing = SecretCommand::try_from(vec!["/no/such/program".to_owned()]).unwrap();
        assert!(missing.refresh().await.unwrap_err().to_string().contains("/no/such/program"));
        assert!(SecretCommand::try_from(Vec::new()).is_err());
        let shown = format!("{:?}", shell("true"));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_given_up() {
        let hangs = shell("exec sleep 600");
        let slow = hangs.refresh_within(Duration::from_millis(20)).await.unwrap_err();
        assert!(matches!(slow, SecretCommandError::Slow { .. }), "{slow}");
    }
}
