//! `tallyport mcp`, line by line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tallyport_tests::{Stack, binary, eventually};

use super::stack;

struct Server {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Server {
    fn start(stack: &Stack) -> Self {
        let mut child = Command::new(binary())
            .args(["mcp", "--as", "ops-agent", "--ready-file"])
            .arg(stack.ready_file())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take(), child.stdout.take().unwrap());
        Self { child, to, from: BufReader::new(from) }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.to.as_mut().unwrap(), "{line}").unwrap();
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"))
    }
}

#[test]
fn what_is_cancelled_ends_what_is_no_message_is_told_and_the_end_of_input_is_the_end() {
    let test = "what_is_cancelled_ends_what_is_no_message_is_told_and_the_end_of_input_is_the_end";
    let Some(stack) = stack(test) else { return };
    let mut server = Server::start(&stack);
    server.say("{");
    assert_eq!(server.hear()["error"]["code"], -32_700);
    let call = |id: u32, sql: &str| {
        let params = json!({ "name": "query", "arguments": { "sql": sql } });
        json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string()
    };
    server.say(&call(1, "SELECT pg_sleep(100)"));
    let live = "SELECT session_id FROM sessions WHERE state = 'open' AND commands > 0";
    assert!(eventually(|| !stack.sql("analyst", live).is_empty()), "it runs");
    server.say(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#);
    // Nothing more is said of it, and it goes on with others.
    server.say(&call(2, "SELECT 2"));
    let told = server.hear();
    assert_eq!((&told["id"], &told["result"]["isError"]), (&json!(2), &json!(false)), "{told}");
    let cancelled = "SELECT phase FROM commands WHERE phase = 'cancel'";
    assert!(eventually(|| !stack.sql("analyst", cancelled).is_empty()), "at the target, too");
    drop(server.to.take());
    assert!(server.child.wait().unwrap().success());
}
