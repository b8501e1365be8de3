//! An approval as people do it: psql waits, a reviewer reads and answers at the command line, psql returns; and the audit
//! tells who let it through.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

mod access;

use serde_json::{Value, json};
use tallyport_tests::{Forward, Stack, eventually, psql, said, start_or_say};

/// The example policy's: operators delete orders with an approval.
const DELETE: &str = "DELETE FROM app.orders WHERE id = 1";

struct World {
    stack: Stack,
    forward: Forward,
    database: String,
}

impl World {
    fn start(test: &str) -> Option<Self> {
        // The stack has its own PostgreSQL; this one only says whether there can be one, with psql.
        let _postgres = start_or_say(test, "postgres", &[])?;
        let stack = Stack::start(&[]);
        let forward = stack.connect("ops-agent", "sample");
        let database = stack.ready()["targets"][0]["database"].as_str().unwrap().to_owned();
        Some(Self { stack, forward, database })
    }

    /// psql with one statement, as the agent.
    fn agent(&self, statement: &str) -> Child {
        psql(self.forward.port(), "agent", &self.database)
            .args(["-At", "-c", statement])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psql starts")
    }

    fn approvals(&self, who: &str, arguments: &[&str]) -> std::process::Output {
        let arguments: Vec<&str> =
            ["approvals"].iter().chain(arguments).chain(&["--as", who]).copied().collect();
        self.stack.run(&arguments)
    }

    /// The only request that waits, once there is one.
    fn waiting(&self) -> Value {
        let mut found = Value::Null;
        let there = eventually(|| {
            let list = self.approvals("approver", &["list", "--json"]);
            assert!(list.status.success(), "{}", said(&list));
            let list: Vec<Value> = serde_json::from_slice(&list.stdout).expect("JSON");
            found = list.first().cloned().unwrap_or_default();
            list.len() == 1
        });
        assert!(there, "nothing waits");
        found
    }
}

#[test]
fn a_statement_waits_for_a_reviewer_who_answers_at_the_command_line() {
    let Some(world) = World::start("approvals") else { return };
    let mut child = world.agent(DELETE);
    // The agent is told while it waits.
    let mut notice = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut notice).unwrap();
    assert!(
        notice.contains("waits for approval") && notice.contains("1 of order-approvers"),
        "{notice}"
    );

    let asked = world.waiting();
    let id = asked["approval_id"].as_str().unwrap();
    assert!(notice.contains(id), "{notice}");
    let short = &id[id.len() - 12..];
    let list = said(&world.approvals("approver", &["list"]));
    for part in [short, "pending", "Operations agent", DELETE, "1 of order-approvers"] {
        assert!(list.contains(part), "{part} is not in\n{list}");
    }
    let shown = said(&world.approvals("approver", &["show", short]));
    for part in [
        id,
        "grace@example.com (its owner)",
        "app.orders",
        DELETE,
        "operators-delete-orders-with-approval",
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    only_reviewers_answer(&world, &asked, short);

    let digest = asked["digest"].as_str().unwrap();
    let approved = world.approvals(
        "approver",
        &["approve", short, "--digest", digest, "--comment", "as agreed in OPS-7"],
    );
    assert!(approved.status.success(), "{}", said(&approved));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "DELETE 1");
    let again = world.approvals("approver", &["approve", id, "--digest", digest]);
    assert_eq!(again.status.code(), Some(1), "{}", said(&again));
    assert!(said(&again).contains("used already"), "{}", said(&again));
    the_audit_tells(&world);
}

/// Others do not see it, and a script must say what it approves.
fn only_reviewers_answer(world: &World, asked: &Value, short: &str) {
    let id = asked["approval_id"].as_str().unwrap();
    assert!(said(&world.approvals("auditor", &["list"])).contains("nothing waits"));
    let blind = world.approvals("approver", &["approve", short]);
    assert_eq!(blind.status.code(), Some(2), "{}", said(&blind));
    assert!(said(&blind).contains("--digest"));
    for (who, code) in [("auditor", 2), ("ops-agent", 3)] {
        let digest = asked["digest"].as_str().unwrap();
        let refused = world.approvals(who, &["approve", id, "--digest", digest]);
        assert_eq!(refused.status.code(), Some(code), "{who}: {}", said(&refused));
    }
    for (bad, code) in [("nonsense", 2), ("abc", 2), ("0000000000", 2)] {
        let refused = world.approvals("approver", &["show", bad]);
        assert_eq!(refused.status.code(), Some(code), "{}", said(&refused));
    }
}

/// Every step, who let it through, and what it read.
fn the_audit_tells(world: &World) {
    let story = "SELECT activity, reviewer_name, reason, statement, command_id FROM approvals ORDER BY time";
    let mut steps = Vec::new();
    let told = eventually(|| {
        steps = world.stack.sql("auditor", story);
        steps.len() == 3
    });
    assert!(told, "{steps:?}");
    let activities: Vec<&Value> = steps.iter().map(|step| &step["activity"]).collect();
    assert_eq!(json!(activities), json!(["requested", "granted", "used"]));
    assert_eq!(steps[0]["statement"], DELETE);
    assert_eq!(
        (&steps[1]["reviewer_name"], &steps[1]["reason"]),
        (&json!("Order approver"), &json!("as agreed in OPS-7"))
    );
    let read = world.stack.run(&[
        "ask",
        "who-read-column",
        "-p",
        "column=app.orders.id",
        "--as",
        "auditor",
        "--json",
    ]);
    let read: Vec<Value> =
        serde_json::from_slice(&read.stdout).unwrap_or_else(|_| panic!("{}", said(&read)));
    let ran =
        read.iter().find(|row| row["statement"] == DELETE).expect("it read the id to find the row");
    assert_eq!(
        (&ran["approved_by"], &ran["command_id"]),
        (&json!("Order approver"), &steps[2]["command_id"])
    );
}

#[test]
fn a_denial_and_an_interrupt_end_the_wait() {
    let Some(world) = World::start("approvals") else { return };
    let child = world.agent(DELETE);
    let asked = world.waiting();
    let id = asked["approval_id"].as_str().unwrap();
    let denied = world.approvals("approver", &["deny", id, "--comment", "use the archive"]);
    assert!(denied.status.success(), "{}", said(&denied));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("denied by Order approver: use the archive"),
        "{}",
        said(&output)
    );

    // Ctrl-C.
    let child = world.agent(DELETE);
    let _asked = world.waiting();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(said(&output).contains("canceling statement due to user request"), "{}", said(&output));
    assert!(eventually(|| said(&world.approvals("approver", &["list"])).contains("nothing waits")));
    let rest = psql(world.forward.port(), "agent", &world.database)
        .args(["-At", "-c", "SELECT count(*) FROM app.orders WHERE id = 1"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&rest.stdout).trim(), "1", "{}", said(&rest));
}

#[test]
fn who_watches_sees_what_comes_and_what_changes() {
    let Some(world) = World::start("approvals") else { return };
    let mut watch = Command::new(tallyport_tests::binary())
        .args(["approvals", "list", "--watch", "--as", "approver"])
        .env("TALLYPORT_READY_FILE", world.stack.ready_file())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap());
    let child = world.agent(DELETE);
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert!(line.contains("pending") && line.contains(DELETE), "{line}");
    let asked = world.waiting();
    let denied = world.approvals("approver", &["deny", asked["approval_id"].as_str().unwrap()]);
    assert!(denied.status.success());
    line.clear();
    lines.read_line(&mut line).unwrap();
    assert!(line.contains("denied"), "{line}");
    assert!(
        Command::new("kill").args(["-INT", &watch.id().to_string()]).status().unwrap().success()
    );
    assert!(watch.wait().unwrap().success());
    let _denied = child.wait_with_output().unwrap();
}
