//! A server behind the gateway, and what the audit tells of who used it.

use serde_json::{Value, json};
use tallyport_tests::{Stack, eventually, said, start_or_say};

use crate::agent::Agent;

/// Both clients of the Python library call a real server's tool through the gateway: it waits for somebody who must agree, runs
/// once, and the audit says who called what, and who let them.
#[test]
fn tools_of_a_server_behind_the_gateway_wait_run_once_and_are_on_record() {
    let test = "tools_of_a_server_behind_the_gateway_wait_run_once_and_are_on_record";
    let Some(reference) = start_or_say(test, "mcp-reference", &[]) else { return };
    let Some(_postgres) = start_or_say(test, "postgres", &[]) else { return };
    let stack = Stack::start(&["--mcp-server", &format!("notes={}", reference.text("url"))]);
    for (mode, revision) in [("auto", "2026-07-28"), ("legacy", "2025-11-25")] {
        let Some(mut agent) = Agent::start(test, &stack, "ops-agent", mode) else { return };
        assert_eq!(agent.revision, revision);
        let waits = agent.bad("notes__test_simple_text", json!({}));
        assert_eq!(waits["code"], "waits_for_approval", "{waits}");
        let id = waits["approvals"][0]["approval_id"].as_str().unwrap();
        let shown = stack.run(&["approvals", "show", id, "--json", "--as", "approver"]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(shown["command"]["functions"], json!(["notes/test_simple_text"]), "{shown}");
        let digest = shown["digest"].as_str().unwrap();
        let approve =
            ["approvals", "approve", id, "--digest", digest, "--comment", "OPS-8", "--as"];
        let approved = stack.run(&[&approve[..], &["approver"]].concat());
        assert!(approved.status.success(), "{}", said(&approved));
        let told = agent.call("notes__test_simple_text", json!({})).to_string();
        assert!(told.contains("simple text response"), "{mode}: {told}");
    }
    // Support agents are let use what only reads: this server's tools do not say that of themselves.
    let Some(mut support) = Agent::start(test, &stack, "support-agent", "auto") else { return };
    let told = support.call("notes__test_simple_text", json!({})).to_string();
    assert!(told.contains("denied by policy") || told.contains("Unknown tool"), "{told}");

    let story = "SELECT principal_name, server, tool, arguments, status, effect FROM tool_calls WHERE server = 'notes' ORDER BY time";
    let mut rows = Vec::new();
    assert!(
        eventually(|| {
            rows = stack.sql("analyst", story);
            rows.iter().filter(|row| row["status"] == "ok").count() == 2
        }),
        "{rows:?}"
    );
    assert!(rows.iter().any(|row| row["principal_name"] == "Operations agent"), "{rows:?}");
    assert!(rows.iter().all(|row| row["tool"] == "test_simple_text"), "{rows:?}");
    let asked =
        said(&stack.run(&["ask", "tool-calls", "--since", "1h", "--json", "--as", "analyst"]));
    assert!(asked.contains("test_simple_text") && asked.contains("Operations agent"), "{asked}");
    let pins = "SELECT DISTINCT state FROM policy_changes WHERE server = 'notes'";
    assert_eq!(stack.sql("analyst", pins), vec![json!({ "state": "pinned" })]);
}
