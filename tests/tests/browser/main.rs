//! The pages for people in a real browser: headless Chromium, driven by Playwright, at a gateway whose people sign in at a
//! real OpenID provider; psql, unchanged, is the agent. The walks are in tests/browser.
//!
//! `TALLYPORT_SCREENSHOTS=DIR` keeps a picture of each page.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod built;
mod world;

use std::process::Command;

use serde_json::json;
use tallyport_tests::{eventually, said};

use world::World;

const DELETE: &str = "DELETE FROM app.orders WHERE id = 1";

#[test]
fn reviewers_walk_through_the_pages() {
    let Some(world) = World::start("reviewers_walk_through_the_pages") else { return };
    a_statement_is_approved(&world);
    one_is_denied(&world);
    one_expires(&world);
    one_needs_two(&world);
    nobody_approves_their_own(&world);
    a_session_is_ended_and_replayed(&world);
}

fn a_statement_is_approved(world: &World) {
    let agent = world.agent(DELETE);
    world.walk("approve", &json!({ "statement": DELETE, "comment": "as agreed in OPS-7" }));
    let output = agent.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "DELETE 1", "{}", said(&output));
    let told = "SELECT reviewer_name, reason FROM approvals WHERE activity = 'granted'";
    let mut rows = Vec::new();
    assert!(eventually(|| {
        rows = world.site.sql(told);
        rows.len() == 1
    }));
    assert_eq!(
        (&rows[0]["reviewer_name"], &rows[0]["reason"]),
        (&json!("Second approver"), &json!("as agreed in OPS-7"))
    );
}

fn one_is_denied(world: &World) {
    let agent = world.agent("DELETE FROM app.orders WHERE id = 2");
    world.walk("deny", &json!({ "comment": "use the archive" }));
    let output = agent.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = said(&output);
    assert!(told.contains("denied by Order approver: use the archive"), "{told}");
}

fn one_expires(world: &World) {
    let agent = world.agent("INSERT INTO app.orders VALUES (99, 1, 'lamp', 1.0)");
    world.walk("expiry", &json!({}));
    let output = agent.wait_with_output().unwrap();
    assert!(said(&output).contains("not given in time"), "{}", said(&output));
}

fn one_needs_two(world: &World) {
    let mut agent = world.agent("UPDATE app.orders SET status = 'paid' WHERE id = 6");
    world.walk("firstOfTwo", &json!({}));
    assert!(agent.try_wait().unwrap().is_none(), "one of two is not enough");
    world.walk("secondOfTwo", &json!({}));
    let output = agent.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "UPDATE 1", "{}", said(&output));
}

/// Neither who owns the agent, nor a person who asks with their own hands.
fn nobody_approves_their_own(world: &World) {
    let agent = world.agent("DELETE FROM app.orders WHERE id = 3");
    world.walk("refused", &json!({ "who": "ops-owner", "why": "own" }));
    stop(agent);

    let forward = world.sign_in_at_the_terminal("operator");
    let desk = world.at_the_desk("operator");
    assert!(desk.contains("\"display_name\":\"Operator\""), "{desk}");
    let person = world.psql(&forward, "DELETE FROM app.orders WHERE id = 4");
    world.walk("refused", &json!({ "who": "operator", "why": "own|ask" }));
    stop(person);
    let left = world.psql(&forward, "SELECT count(*) FROM app.orders WHERE id IN (3, 4)");
    let output = left.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "2", "{}", said(&output));
}

fn a_session_is_ended_and_replayed(world: &World) {
    let agent = world
        .agent("SELECT email FROM app.customers WHERE id = 2; DELETE FROM app.orders WHERE id = 5");
    let session = world.live_session();
    let walk = json!({
        "session": session, "reason": "it deletes too much", "masked": "[redacted]",
        "secret": "bob@example.com",
    });
    world.walk("killAndReplay", &walk);
    let output = agent.wait_with_output().unwrap();
    assert!(
        said(&output).contains("the session was ended by an administrator"),
        "{}",
        said(&output)
    );
    let ended = format!("SELECT state, closed_by FROM sessions WHERE session_id = '{session}'");
    let revoked = || world.site.sql(&ended).first().is_some_and(|row| row["state"] == "revoked");
    assert!(eventually(revoked));
}

/// Ctrl-C.
fn stop(child: std::process::Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(said(&output).contains("canceling statement"), "{}", said(&output));
}
