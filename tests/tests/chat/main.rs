//! Approvals in a chat tool: a real Matrix homeserver, the example bridge (`deploy/examples/chat-bridge`), a gateway with a
//! webhook, and psql, unchanged, as the agent. The bridge's own tests run here, too.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod room;
mod world;

use serde_json::{Value, json};
use tallyport_tests::{eventually, said, say_not_run};

use world::{World, bridge};

const DELETE: &str = "DELETE FROM app.orders WHERE id = 1";

#[test]
fn the_bridge_keeps_its_own_promises() {
    let output = bridge(&["--test"]);
    if output.status.code() == Some(75) {
        say_not_run("the_bridge_keeps_its_own_promises", &said(&output));
        return;
    }
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn reviewers_answer_in_the_room() {
    let Some(mut world) = World::start("reviewers_answer_in_the_room") else { return };
    a_statement_is_approved(&world);
    one_is_denied(&world);
    what_was_asked_stays_text(&world);
    what_happens_while_the_bridge_is_down_is_told(&mut world);
}

fn a_statement_is_approved(world: &World) {
    let mut agent = world.agent(DELETE);
    let asked = world.room.request(DELETE);
    let shown = asked["content"]["body"].as_str().unwrap();
    let page = format!("{}/console/#/approvals/", world.site.origin());
    for part in [
        "waits for approval",
        "Asks: Operations agent (agent ops-agent of ",
        "On behalf of: grace@example.com",
        "A statement on sample",
        "Tables: app.orders",
        "Has a WHERE clause: yes",
        "Must agree: 1 of order-approvers",
        "Until: ",
        &page,
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }

    world.room.react("mallory", &asked, "✅");
    world.room.says("@mallory:localhost: not counted: the webhook vouches for no such reviewer");
    world.room.react("bob", &asked, "✅");
    world.room.says("@bob:localhost: not counted: the owner of who asks may not answer");
    assert!(agent.try_wait().unwrap().is_none(), "nobody's answer counted");

    world.room.reply("ann", &asked, "approve as agreed in OPS-7");
    let output = agent.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "DELETE 1", "{}", said(&output));
    world.room.says("@ann:localhost: approve counted: it is ");
    world.room.shows(&asked, "A statement on sample was approved and ran");
    world.room.shows(&asked, "Answer: Ann agreed: as agreed in OPS-7");
    world.room.react("ann", &asked, "❌");
    world.room.says("@ann:localhost: not counted: the request is used already");

    let told = world.audit_tells_one(&documented("docs/reference/webhooks.md"));
    let of = |key: &str| told[key].as_str().unwrap_or_default();
    assert_eq!(
        [of("activity"), of("reviewer_name"), of("way"), of("comment"), of("statement")],
        ["granted", "Ann", "webhook/chat", "as agreed in OPS-7", DELETE]
    );
    // Who pressed, whether it counted or not; by `token_id` one finds the very event in the room.
    let vouched = "SELECT DISTINCT principal_name, failure FROM authentications WHERE method = 'webhook' \
                   ORDER BY principal_name NULLS LAST";
    let wanted = json!([
        { "principal_name": "Ann", "failure": null },
        { "principal_name": "grace@example.com", "failure": null },
        { "principal_name": null, "failure": "unknown_reviewer" },
    ]);
    world.audit_tells(vouched, &wanted);
}

/// The question to the audit that a page of the documentation shows.
fn documented(page: &str) -> String {
    let page = std::fs::read_to_string(dev_services::repo_root().join(page)).unwrap();
    let question =
        page.split("```sql\n").nth(1).and_then(|rest| rest.split(";\n```").next()).unwrap();
    // At the command line a leading comment passes for an option.
    question.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n")
}

fn one_is_denied(world: &World) {
    let agent = world.agent("DELETE FROM app.orders WHERE id = 2");
    let asked = world.room.request("DELETE FROM app.orders WHERE id = 2");
    world.room.reply("ann", &asked, "deny use the archive");
    let output = agent.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = said(&output);
    assert!(told.contains("42501") && told.contains("denied by Ann: use the archive"), "{told}");
    world.room.shows(&asked, "A statement on sample was denied");
}

/// What an agent writes is not the bridge's to say: no markup, no link, no mention.
fn what_was_asked_stays_text(world: &World) {
    let statement = "DELETE FROM app.orders WHERE item = '</code></pre><h1>Approved by Ann</h1><img src=x> \
                     [x](https://evil.example) **@room** @ann:localhost \u{202e}'";
    let agent = world.agent(statement);
    let asked = world.room.request("Approved by Ann");
    let content = &asked["content"];
    let formatted = content["formatted_body"].as_str().unwrap();
    let escaped = "<pre><code>DELETE FROM app.orders WHERE item = &#x27;&lt;/code&gt;&lt;/pre&gt;&lt;h1&gt;Approved by Ann&lt;/h1&gt;\
                   &lt;img src=x&gt; [x](https://evil.example) **@room** @ann:localhost \\u{202e}&#x27;</code></pre>";
    assert!(formatted.contains(escaped), "{formatted}");
    assert_eq!(content["m.mentions"], json!({}));
    for user in ["ann", "bob"] {
        assert_eq!(world.room.highlights(user), Vec::<Value>::new(), "{user} is mentioned");
    }
    // The mark, with no comment.
    world.room.react("ann", &asked, "✅");
    let output = agent.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "DELETE 0", "{}", said(&output));
}

fn what_happens_while_the_bridge_is_down_is_told(world: &mut World) {
    let before = world.agent("DELETE FROM app.orders WHERE id = 3");
    let asked_before = world.room.request("DELETE FROM app.orders WHERE id = 3");
    // It is not stopped before it has noted what it posted: what is pressed under a message that it does not know counts for nothing.
    let posted = asked_before["event_id"].as_str().unwrap();
    let noted = || {
        let kept = std::fs::read_to_string(world.site.path("bridge.json"));
        kept.is_ok_and(|kept| kept.contains(posted))
    };
    assert!(eventually(noted), "{posted} is not noted");
    world.stop_bridge();
    let meanwhile = world.agent("DELETE FROM app.orders WHERE id = 4");
    let refused = || world.gateway_log().contains("a message was not taken; it is sent again");
    assert!(eventually(refused), "{}", world.gateway_log());
    world.room.react("ann", &asked_before, "❌");
    world.start_bridge();

    // What was pressed meanwhile counts, for the message under which it was pressed.
    let output = before.wait_with_output().unwrap();
    assert!(said(&output).contains("denied by Ann"), "{}", said(&output));
    world.room.shows(&asked_before, "A statement on sample was denied");
    let asked = world.room.request("DELETE FROM app.orders WHERE id = 4");
    world.room.react("ann", &asked, "✅");
    let output = meanwhile.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "DELETE 1", "{}", said(&output));
    world.room.shows(&asked, "was approved and ran");
    assert_eq!(world.room.requests("DELETE FROM app.orders WHERE id = 3").len(), 1, "told once");
}
