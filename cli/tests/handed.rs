//! Sockets of a service manager that are of no use end a start with what to do; those that are served are `check-units`' to show.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by failing")]

use std::path::Path;
use std::process::Command;

/// Becomes the program with descriptor 3 handed over: a listener, a socket that is none, or a file.
const HAND_OVER: &str = r#"
import os, socket, sys
kind, program, *rest = sys.argv[1:]
if kind == "file":
    os.dup2(os.open("/dev/null", os.O_RDONLY), 3)
else:
    it = socket.socket()
    it.bind(("127.0.0.1", 0))
    if kind == "listener":
        it.listen()
    os.dup2(it.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(program, [program, *rest])
"#;

fn started(folder: &Path, kind: &str) -> (Option<i32>, String) {
    let file = folder.join("t.toml");
    let text = "node = \"n\"\n[log]\nurl = \"embedded:log\"\n[[issuers]]\nissuer = \"https://idp.example\"\naudiences = [\"a\"]\n\
                [policy]\npath = \"policy.cedar\"\n[lake]\nurl = \"file:///lake\"\n[query]\nhttp = \"127.0.0.1:1\"\n";
    std::fs::write(&file, text).unwrap();
    std::fs::write(folder.join("policy.cedar"), "").unwrap();
    let ran = Command::new("python3")
        .args(["-c", HAND_OVER, kind, env!("CARGO_BIN_EXE_tallyport"), "query", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    (ran.status.code(), String::from_utf8(ran.stderr).unwrap())
}

#[test]
fn a_socket_that_nobody_serves_ends_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, why) in [
        ("listener", "listens on 127.0.0.1:"),
        ("listener", "query.http and query.pgwire"),
        ("socket", "it does not listen"),
        ("file", "is not a socket"),
    ] {
        let (code, said) = started(folder.path(), kind);
        assert_eq!(code, Some(2), "{kind}: {said}");
        assert!(said.contains(why), "{kind}: {said}");
    }
}
