//! `tallyport mcp`, as a desktop agent starts it and speaks to it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "helpers of tests fail as tests do"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use serde_json::{Value, json};

use super::binary;

/// The child, and both ends of it; ended when dropped.
#[derive(Debug)]
pub struct Desk {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    asked: u64,
}

impl Desk {
    /// With these arguments.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .arg("mcp")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs; build it with make build");
        let (to, from) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        Self { child, to, from: BufReader::new(from), asked: 0 }
    }

    /// Says one line.
    pub fn say(&mut self, line: &str) {
        let to = self.to.as_mut().expect("its input is open");
        writeln!(to, "{line}").expect("it listens");
    }

    /// The next message.
    pub fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("it speaks");
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"))
    }

    /// Calls a tool, and gives the answer.
    pub fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        self.asked += 1;
        let params = json!({ "name": tool, "arguments": arguments });
        let call =
            json!({ "jsonrpc": "2.0", "id": self.asked, "method": "tools/call", "params": params });
        self.say(&call.to_string());
        self.hear()
    }

    /// Ends its input, and waits until it is gone.
    pub fn leave(mut self) -> ExitStatus {
        drop(self.to.take());
        self.child.wait().expect("it was started")
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}
