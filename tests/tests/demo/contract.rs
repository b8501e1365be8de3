//! What scripts rely on: the ready file of `tallyport dev`, and the exit code of a denial.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use tallyport_tests::{Stack, said};

#[test]
fn the_ready_file_and_the_exit_codes_are_a_contract() {
    let stack = Stack::start(&[]);
    let mode = std::fs::metadata(stack.ready_file()).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds secrets");
    let ready = stack.ready();
    for place in [
        "/data_dir",
        "/gateway/quic",
        "/gateway/https",
        "/gateway/server_name",
        "/ca",
        "/query/http",
        "/query/pg",
        "/log",
        "/lake",
        "/targets/0/name",
        "/targets/0/kind",
        "/targets/0/database",
        "/issuer/url",
        "/issuer/token_url",
        "/issuer/audience",
    ] {
        let text = ready.pointer(place).and_then(Value::as_str).unwrap_or_default();
        assert!(!text.is_empty(), "{place} is missing: {ready}");
    }
    assert!(ready["pid"].as_u64().is_some_and(|pid| pid > 1), "{ready}");
    let clients = ready["issuer"]["clients"].as_array().expect("clients");
    assert!(clients.len() >= 3, "at least three principals: {clients:?}");
    for client in clients {
        for key in ["id", "secret", "description"] {
            let text = client[key].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{key} is missing: {client}");
        }
    }
    exit_codes(&stack);
}

fn exit_codes(stack: &Stack) {
    let session = "01a20635-5f36-74df-bd6e-bebe288245d9";
    for (arguments, code) in [
        (vec!["sql", "SELECT count(*) FROM sessions", "--as", "auditor"], 0),
        (vec!["ask"], 0),
        (vec!["sessions", "show", session, "--as", "auditor"], 1),
        (vec!["sessions", "replay", session, "--as", "auditor"], 1),
        (vec!["sql", "SELEC", "--as", "auditor"], 2),
        (vec!["sql", "SELECT * FROM sessions", "--as", "no-such-client"], 2),
        (vec!["sql", "SELECT * FROM sessions", "--as", "support-agent"], 3),
        (vec!["ask", "denied", "--as", "support-agent"], 3),
        (vec!["sql", "SELECT 1", "--token", "not-a-token"], 3),
    ] {
        let output = stack.run(&arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    }
    let csv = stack.run(&["sql", "SELECT 'a' AS x", "--as", "auditor", "--format", "csv"]);
    assert_eq!(String::from_utf8_lossy(&csv.stdout), "x\na\n", "lines end as a shell expects");
}
