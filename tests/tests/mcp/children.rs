//! A program that the gateway starts as a server behind it.

use std::process::Command;

use dev_services::repo_root;
use serde_json::{Value, json};
use tallyport_tests::{Stack, eventually, said, say_not_run, start_or_say};

use crate::agent::Agent;

/// Clients of both revisions use a real server on standard input and output through the gateway: each caller has a process of
/// their own, what needs somebody who agrees waits and runs once, and the audit says who asked what.
#[test]
fn a_program_behind_the_gateway_is_everybodys_own_and_on_record() {
    let test = "a_program_behind_the_gateway_is_everybodys_own_and_on_record";
    let python = Command::new(repo_root().join("deploy/dev/mcp-client")).arg("python").output();
    let python = python.unwrap();
    if python.status.code() == Some(75) {
        return say_not_run(test, &said(&python));
    }
    let Some(_postgres) = start_or_say(test, "postgres", &[]) else { return };
    let python = String::from_utf8(python.stdout).unwrap();
    let script = repo_root().join("tests/clients/mcp_notes.py");
    let server = format!("notes=stdio:{} {}", python.trim(), script.display());
    let stack = Stack::start(&["--mcp-server", &server]);
    let mut processes = Vec::new();
    for (round, (mode, revision)) in
        [("auto", "2026-07-28"), ("legacy", "2025-11-25")].into_iter().enumerate()
    {
        let Some(mut agent) = Agent::start(test, &stack, "ops-agent", mode) else { return };
        assert_eq!(agent.revision, revision);
        let note = json!({ "text": format!("by {mode}") });
        let waits = agent.bad("notes__add", note.clone());
        assert_eq!(waits["code"], "waits_for_approval", "{waits}");
        let id = waits["approvals"][0]["approval_id"].as_str().unwrap();
        let shown = stack.run(&["approvals", "show", id, "--json", "--as", "approver"]);
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        let digest = shown["digest"].as_str().unwrap();
        let approve =
            ["approvals", "approve", id, "--digest", digest, "--comment", "OPS-8", "--as"];
        let approved = stack.run(&[&approve[..], &["approver"]].concat());
        assert!(approved.status.success(), "{}", said(&approved));
        let added = agent.good("notes__add", note);
        assert_eq!(added["notes"], json!(round + 1), "{mode}: {added}");
        processes.push(added["process"].clone());
        assert_eq!(agent.good("notes__read", json!({}))["notes"][round], format!("by {mode}"));
    }
    assert_eq!(processes[0], processes[1], "one process serves one caller on");
    // Another caller's process has nothing of it; and the server as it is has the same door.
    let Some(mut support) = Agent::start_at("/notes", test, &stack, "support-agent", "auto") else {
        return;
    };
    assert_eq!(support.good("read", json!({}))["notes"], json!([]));

    let story = "SELECT principal_name, tool, arguments, status FROM tool_calls WHERE server = 'notes' AND status = 'ok'";
    let mut rows = Vec::new();
    assert!(
        eventually(|| {
            rows = stack.sql("analyst", story);
            rows.len() == 5
        }),
        "{rows:?}"
    );
    assert!(rows.iter().any(|row| row["arguments"].to_string().contains("by legacy")), "{rows:?}");
    let listed = said(&stack.run(&["mcp-servers", "list", "--as", "approver"]));
    assert!(listed.contains("stdio:python"), "{listed}");
}
