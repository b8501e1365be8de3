//! A client that can show a page, and a call that waits for somebody who must agree.

use serde_json::{Value, json};
use tallyport_tests::{Stack, free_port, said, start_or_say};

use crate::agent::Agent;

/// The Python library shows the approval's page to whoever uses it, makes the call again, and has its result as soon as somebody
/// else agreed: the model never learns that it waited.
#[test]
fn a_client_that_shows_pages_is_shown_the_approval_and_has_its_result() {
    let test = "a_client_that_shows_pages_is_shown_the_approval_and_has_its_result";
    let Some(_postgres) = start_or_say(test, "postgres", &[]) else { return };
    let port = free_port();
    let stack = Stack::start(&["--listen", &format!("127.0.0.1:{port}")]);
    let Some(mut agent) = Agent::start_showing(test, &stack, "ops-agent") else { return };
    let delete = json!({ "sql": "DELETE FROM app.orders WHERE id = 11" });
    let shown = agent.call("execute", delete);
    let page = shown["page"].as_str().unwrap_or_else(|| panic!("{shown}"));
    let own = format!("https://localhost:{port}/console/#/approvals/");
    let id = page.strip_prefix(&own).unwrap_or_else(|| panic!("{page}"));
    assert!(shown["message"].as_str().unwrap().contains(id), "{shown}");
    let approval = stack.run(&["approvals", "show", id, "--json", "--as", "approver"]);
    let approval: Value = serde_json::from_slice(&approval.stdout).unwrap();
    let digest = approval["digest"].as_str().unwrap();
    let approve = ["approvals", "approve", id, "--digest", digest, "--comment", "OPS-9", "--as"];
    let approved = stack.run(&[&approve[..], &["approver"]].concat());
    assert!(approved.status.success(), "{}", said(&approved));
    let told = agent.hear();
    assert_eq!(
        (&told["error"], &told["structured"]["tag"]),
        (&json!(false), &json!("DELETE 1")),
        "{told}"
    );
}
