//! The binary as a process of its own, with an environment of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tallyport_tests::{binary, eventually};

/// A service that runs until it is dropped.
pub struct Process {
    child: Child,
    stderr: PathBuf,
}

impl Process {
    /// Starts `command`, with what it says in a file of `folder`.
    pub fn start(mut command: Command, folder: &Path) -> Self {
        let stderr = folder.join("stderr.log");
        let said = File::create(&stderr).unwrap();
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn();
        Self { child: started.expect("the binary runs; build it with make build"), stderr }
    }

    /// `tallyport dev`, ready; gives its ready file, too.
    pub fn dev(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> (Self, PathBuf) {
        let ready = folder.join("ready.json");
        let mut command = Command::new(binary());
        command.arg("dev").arg("--ready-file").arg(&ready);
        command.arg("--data").arg(folder.join("data"));
        command.args(arguments).envs(environment.iter().copied());
        let process = Self::start(command, folder);
        assert!(eventually(|| ready.exists()), "dev is ready: {}", process.log());
        (process, ready)
    }

    /// What it said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end in order, and waits until it has.
    pub fn stop(mut self) -> String {
        self.end();
        self.log()
    }

    fn end(&mut self) {
        let _asked = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        let _ended = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

/// A ready file's content.
pub fn ready(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}
