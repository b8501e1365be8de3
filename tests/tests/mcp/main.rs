//! An agent of the Model Context Protocol, as its own libraries make one, at a gateway with a real PostgreSQL: it finds a
//! customer's last orders without ever seeing a card number, is stopped at what it may not do alone, gets it approved, and
//! the audit tells the whole story.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod agent;
mod children;
mod conformance;
mod federation;
mod inspector;
mod pages;
mod sign_in;
mod stdio;

use serde_json::{Value, json};
use tallyport_tests::{Stack, eventually, said, start_or_say};

use agent::Agent;

/// The card of the customer that is asked about, as the sample has it.
const CARD: &str = "5555555555554444";

fn stack(test: &str) -> Option<Stack> {
    // The stack has its own PostgreSQL; this one only says whether there can be one.
    let _postgres = start_or_say(test, "postgres", &[])?;
    Some(Stack::start(&[]))
}

#[test]
fn an_agent_finds_orders_is_stopped_gets_it_approved_and_all_is_on_record() {
    let test = "an_agent_finds_orders_is_stopped_gets_it_approved_and_all_is_on_record";
    let Some(stack) = stack(test) else { return };
    let Some(mut agent) = Agent::start(test, &stack, "ops-agent", "auto") else { return };
    assert_eq!(agent.revision, "2026-07-28");
    agent.sees_its_tools();
    let me = agent.good("whoami", json!({}));
    assert!(me.to_string().contains("Operations agent"), "{me}");

    let tables = agent.good("list_tables", json!({ "schema": "app" }));
    assert!(tables["rows"].to_string().contains("orders"), "{tables}");
    let table = agent.good("describe_table", json!({ "table": "app.customers" }));
    let card = table["columns"].as_array().unwrap().iter().find(|it| it["name"] == "card").unwrap();
    assert!(card["masked"].is_object(), "{table}");
    let last = "SELECT c.name, c.card, o.id, o.item, o.total FROM app.customers c JOIN app.orders o ON o.customer_id = c.id \
                WHERE c.id = $1 ORDER BY o.created_at DESC";
    let orders = agent.good("query", json!({ "sql": last, "params": [2], "max_rows": 3 }));
    assert_eq!(orders["row_count"], 3, "{orders}");
    assert!(orders["masking"].as_str().unwrap().contains("card"), "{orders}");
    let order = orders["rows"][0][2].as_i64().unwrap();

    let delete = json!({ "sql": "DELETE FROM app.orders WHERE id = $1", "params": [order] });
    let told = agent.bad("execute", delete.clone());
    assert_eq!(told["code"], "waits_for_approval", "{told}");
    let id = told["approvals"][0]["approval_id"].as_str().unwrap().to_owned();
    let shown = stack.run(&["approvals", "show", &id, "--json", "--as", "approver"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let digest = shown["digest"].as_str().unwrap();
    let approve = ["approvals", "approve", &id, "--digest", digest, "--comment", "OPS-7", "--as"];
    let own = stack.run(&[&approve[..], &["ops-agent"]].concat());
    assert!(!own.status.success(), "who asks may not: {}", said(&own));
    let approved = stack.run(&[&approve[..], &["approver"]].concat());
    assert!(approved.status.success(), "{}", said(&approved));
    assert_eq!(agent.good("execute", delete)["tag"], "DELETE 1");

    let denied = agent.bad("query", json!({ "sql": "SELECT name, salary FROM hr.staff" }));
    assert_eq!(denied["code"], "denied_by_policy", "{denied}");
    assert!(!agent.heard.contains(CARD), "no card number was ever said");

    let story = "SELECT reviewer_name, reason FROM approvals WHERE activity = 'granted'";
    let mut rows = Vec::new();
    assert!(eventually(|| {
        rows = stack.sql("analyst", story);
        !rows.is_empty()
    }));
    assert_eq!(rows[0]["reason"], "OPS-7", "{rows:?}");
    let denied = said(&stack.run(&["ask", "denied", "--since", "1h", "--json", "--as", "analyst"]));
    assert!(denied.contains("hr.staff") && denied.contains("Operations agent"), "{denied}");
    let told =
        said(&stack.run(&["ask", "statements", "--since", "1h", "--json", "--as", "analyst"]));
    for part in ["FROM app.customers c JOIN app.orders o", "DELETE FROM app.orders WHERE id = $1"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}

/// Clients of the revision before, and another library, do the same work.
#[test]
fn older_clients_and_other_libraries_are_served() {
    let test = "older_clients_and_other_libraries_are_served";
    let Some(stack) = stack(test) else { return };
    for (mode, revision) in [
        ("legacy", "2025-11-25"),
        ("fastmcp", "fastmcp"),
        ("npm-auto", "2026-07-28"),
        ("npm-legacy", "2025-11-25"),
    ] {
        let Some(mut agent) = Agent::start(test, &stack, "ops-agent", mode) else { return };
        assert_eq!(agent.revision, revision);
        agent.sees_its_tools();
        let told = agent.good("query", json!({ "sql": "SELECT 6 * 7 AS answer" }));
        assert_eq!(told["rows"], json!([[42]]), "{mode}: {told}");
        let told = agent.bad("query", json!({ "sql": "DELETE FROM app.orders WHERE id = 7" }));
        assert_eq!(told["code"], "read_only", "{mode}: {told}");
    }
    for era in ["modern", "legacy"] {
        inspector::lists_and_calls(&stack, era);
    }
}

/// `tallyport mcp` is a server to a client that starts one: over QUIC, with tokens of its own, bound to a key of its own.
#[test]
fn a_client_that_starts_its_server_is_served_over_quic() {
    let test = "a_client_that_starts_its_server_is_served_over_quic";
    let Some(stack) = stack(test) else { return };
    for (mode, revision) in [("auto", "2026-07-28"), ("legacy", "2025-11-25")] {
        let Some(mut agent) = Agent::start_on_stdio(test, &stack, "ops-agent", mode) else {
            return;
        };
        assert_eq!(agent.revision, revision);
        agent.sees_its_tools();
        let told = agent.good("query", json!({ "sql": "SELECT 6 * 7 AS answer" }));
        assert_eq!(told["rows"], json!([[42]]), "{mode}: {told}");
        let told = agent.bad("execute", json!({ "sql": "DELETE FROM app.orders WHERE id = 3" }));
        assert_eq!(told["code"], "waits_for_approval", "{mode}: {told}");
    }
    let came = "SELECT DISTINCT front FROM authentications WHERE outcome = 'success' AND \
                principal_name = 'Operations agent'";
    let mut rows = Vec::new();
    assert!(eventually(|| {
        rows = stack.sql("analyst", came);
        rows.iter().any(|row| row["front"] == "quic")
    }));
    assert!(rows.iter().all(|row| row["front"] == "quic"), "{rows:?}");
}
