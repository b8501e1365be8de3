//! A server's program: started with an environment of its own, in a process group of its own, and ended with all that it
//! started.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::BufReader;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout};

use super::WireError;
use super::lines::{Line, Lines};
use crate::config::McpProcess;
use crate::outgoing::Secrets;

/// What it has of the gateway's own environment: where programs are, and the language that they speak. Whatever else stands
/// there may be a secret; `HOME` leads to more of them.
const INHERITED: [&str; 2] = ["PATH", "LANG"];
/// What does not end once its input has, is asked to,
const LEAVES_WITHIN: Duration = Duration::from_millis(500);
/// and what does not end then is made to.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
/// What is read of a line on its standard error, and what is logged of it.
const MAX_READ_BYTES: usize = 64 * 1024;
const MAX_LOGGED_CHARS: usize = 1024;
/// The most such lines that are logged in a minute.
const MAX_LOGGED: u32 = 120;
const MINUTE: Duration = Duration::from_secs(60);

/// One that runs. Dropped, it is killed, with its whole group.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Group,
}

/// One that was started just now.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) process: Process,
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
    pub(super) secrets: Secrets,
    /// Whether what it says there may hold what is hidden elsewhere.
    pub(super) is_screened: bool,
}

#[derive(Debug)]
struct Group(Option<Pid>);

/// Starts it.
///
/// # Cancel safety
/// A dropped call has started nothing.
pub(super) async fn start(config: &McpProcess) -> Result<Started, WireError> {
    let mut command = Command::new(&config.program);
    command
        .args(&config.arguments)
        .env_clear()
        .current_dir(&config.folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    let mut secrets = Secrets::default();
    for (name, credential) in &config.environment {
        let secret = credential.current().await?;
        if secret.expose().contains('\0') {
            let why = format!("its credential {name} has a NUL in it");
            return Err(WireError::Unreachable(why));
        }
        command.env(name, secret.expose());
        secrets.add(&secret);
    }
    let failed =
        |why: &str| WireError::Unreachable(format!("its program cannot be started: {why}"));
    let mut child = command.spawn().map_err(|error| failed(&error.to_string()))?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    let group = Group(pid);
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = pipes else { return Err(failed("no pipes")) };
    let is_screened = config.is_screened;
    Ok(Started { process: Process { child, group }, stdin, stdout, stderr, secrets, is_screened })
}

impl Process {
    /// Waits until it ended by itself.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn ended(&mut self) {
        let _status = self.child.wait().await;
    }

    /// Ends it: its input has ended already.
    ///
    /// # Cancel safety
    /// A dropped call kills it at once.
    pub(super) async fn end(mut self) {
        if timeout(LEAVES_WITHIN, self.child.wait()).await.is_err() {
            self.group.signal(Signal::TERM);
            let _ended_or_not = timeout(ENDS_WITHIN, self.child.wait()).await;
        }
        // Also what it started and left behind; the group's number is nobody else's while one of it is there.
        self.group.signal(Signal::KILL);
        let _ended = timeout(ENDS_WITHIN, self.child.wait()).await;
        self.group.0 = None;
    }
}

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(leader) = self.0 {
            // There may be none left.
            let _sent = kill_process_group(leader, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Logs what it says on its standard error, as far as that is of use, and only how much where something of its answers is
/// hidden; reads all of it, since it would wait for that.
///
/// # Cancel safety
/// Cancel safe.
pub(super) async fn log(server: &str, stderr: ChildStderr, secrets: &Secrets, is_screened: bool) {
    let mut lines = Lines::new(BufReader::new(stderr), MAX_READ_BYTES);
    let (mut since, mut logged) = (Instant::now(), 0);
    while let Ok(Some(line)) = lines.next().await {
        if since.elapsed() >= MINUTE {
            (since, logged) = (Instant::now(), 0);
        }
        logged += 1;
        if logged <= MAX_LOGGED {
            let said = readable(line, secrets, is_screened);
            tracing::debug!(server, said, "an MCP server says on its standard error");
        }
    }
}

/// What may be logged of a line.
fn readable(line: Line, secrets: &Secrets, is_screened: bool) -> String {
    let (Line::Whole(bytes) | Line::TooLong(bytes)) = line;
    if is_screened {
        return format!(
            "{} bytes; not shown, since something of its answers is hidden",
            bytes.len()
        );
    }
    // Before it is cut: half a secret would not be found.
    let text = secrets.hide_in_text(String::from_utf8_lossy(&bytes).into_owned());
    text.chars().filter(|c| !c.is_control()).take(MAX_LOGGED_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn a_line_of_the_log_has_its_bounds_and_no_secret() {
        let mut secrets = Secrets::default();
        secrets.add(&Secret::new("hunter2".to_owned()));
        let line = format!("\u{1b}[31mkey=hunter2 {}", "x".repeat(5000));
        let said = readable(Line::Whole(line.into_bytes()), &secrets, false);
        assert!(said.starts_with("[31mkey=[redacted] x"), "{said}");
        assert_eq!(said.chars().count(), MAX_LOGGED_CHARS);
        let said = readable(Line::Whole(b"row: ada, 4111".to_vec()), &secrets, true);
        assert!(said.starts_with("14 bytes;") && !said.contains("ada"), "{said}");
    }
}
