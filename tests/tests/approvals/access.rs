//! Access as people give and end it: an agent asks, a human agrees, psql comes in; a human ends it, and psql is out.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Output, Stdio};

use serde_json::Value;
use tallyport_tests::{Forward, Stack, eventually, psql, said, start_or_say};

const ORDERS: &str = "SELECT count(*) > 0 FROM app.orders";
const SHORT: [&str; 6] = ["request", "sample", "--for", "30m", "--reason", "orders hang"];

/// The on-call agent of the example policy, behind its local port.
struct OnCall {
    stack: Stack,
    forward: Forward,
    database: String,
}

impl OnCall {
    fn start() -> Self {
        let stack = Stack::start(&[]);
        let forward = stack.connect("on-call-agent", "sample");
        let database = stack.ready()["targets"][0]["database"].as_str().unwrap().to_owned();
        Self { stack, forward, database }
    }

    fn run(&self, who: &str, arguments: &[&str]) -> Output {
        let arguments: Vec<&str> = arguments.iter().chain(&["--as", who]).copied().collect();
        self.stack.run(&arguments)
    }

    fn rows(&self, sql: &str) -> Vec<Value> {
        self.stack.sql("auditor", sql)
    }

    /// What psql says of one statement.
    fn ask(&self) -> String {
        let mut psql = psql(self.forward.port(), "agent", &self.database);
        said(&psql.args(["-Atc", ORDERS]).output().unwrap()).trim().to_owned()
    }

    /// psql that stays, and its session.
    fn stay(&self) -> (Child, String) {
        let mut child = psql(self.forward.port(), "agent", &self.database)
            .arg("-At")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.as_mut().unwrap();
        writeln!(stdin, "{ORDERS};").unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "t");
        let sql = "SELECT session_id FROM sessions WHERE state = 'open' AND principal_name = 'On-call agent'";
        let mut rows = Vec::new();
        let alone = eventually(|| {
            rows = self.rows(sql);
            rows.len() == 1
        });
        assert!(alone, "{rows:?}");
        (child, rows[0]["session_id"].as_str().unwrap().to_owned())
    }

    /// An agent asks, a human reads and agrees. The grant's id.
    fn is_granted(&self) -> String {
        let told = said(&self.run("on-call-agent", &SHORT));
        assert!(told.contains("asked for sample: waits for 1 of order-approvers"), "{told}");
        let list = said(&self.run("approver", &["approvals", "list"]));
        for part in ["On-call agent", "access for 30m: orders hang", "1 of order-approvers"] {
            assert!(list.contains(part), "{part} is not in\n{list}");
        }
        let waiting = json(&self.run("approver", &["approvals", "list", "--json"]));
        let text = |key: &str| waiting[0][key].as_str().unwrap().to_owned();
        let (id, digest) = (text("approval_id"), text("digest"));
        let shown = said(&self.run("approver", &["approvals", "show", &id]));
        assert!(shown.contains("orders hang") && shown.contains("30m"), "{shown}");
        let approve = ["approvals", "approve", &id, "--digest", &digest, "--comment", "OPS-9"];
        assert!(self.run("approver", &approve).status.success());
        id
    }
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Sends one more statement to a session that was ended: psql is out.
fn is_out(mut child: Child) {
    let mut stdin = child.stdin.take().unwrap();
    let _broken = writeln!(stdin, "{ORDERS};");
    drop(stdin);
    let ended = said(&child.wait_with_output().unwrap());
    assert!(ended.contains("ended by an administrator"), "{ended}");
}

#[test]
fn an_agent_asks_for_access_a_human_agrees_and_another_ends_it() {
    let Some(_postgres) = start_or_say("access", "postgres", &[]) else { return };
    let world = OnCall::start();
    // psql itself is told how to ask.
    let refused = world.ask();
    assert!(refused.contains("tallyport request sample --for 30m --reason"), "{refused}");
    let id = world.is_granted();
    assert_eq!(world.ask(), "t");
    // Asked again, it is there already.
    let again = said(&world.run("on-call-agent", &[&SHORT[..], &["--wait"]].concat()));
    assert!(again.contains("granted: sessions to sample until"), "{again}");

    // One session ends, and the agent may come again.
    let (child, session) = world.stay();
    let kill = ["sessions", "kill", &session, "--reason", "it hangs"];
    let killed = said(&world.run("approver", &kill));
    assert!(killed.contains(&format!("ordered the end of session {session}")), "{killed}");
    is_out(child);
    assert_eq!(world.ask(), "t");

    // The agent is out, and stays out until somebody lets it in.
    let (child, _) = world.stay();
    let order = ["revoke", "agent", "on-call-agent", "--reason", "its key leaked"];
    assert_eq!(world.run("on-call-agent", &order).status.code(), Some(3), "not by itself");
    assert!(world.run("approver", &order).status.success());
    is_out(child);
    assert!(world.ask().contains("access was revoked"), "{}", world.ask());
    let table = said(&world.run("approver", &["revoke", "list"]));
    assert!(table.contains("agent on-call-agent") && table.contains("its key leaked"), "{table}");
    let standing = json(&world.run("approver", &["revoke", "list", "--json"]));
    let revocation = standing[0]["revocation_id"].as_str().unwrap();
    let lift = ["revoke", "lift", revocation, "--reason", "new key"];
    assert!(world.run("approver", &lift).status.success());
    assert_eq!(world.ask(), "t");

    // The grant is given back.
    assert!(world.run("on-call-agent", &["approvals", "withdraw", &id]).status.success());
    assert!(world.ask().contains("grant_required"));
    is_on_record(&world, &id);
}

/// Who was let in, by whom and what for; and who was ended, by whom and why.
fn is_on_record(world: &OnCall, id: &str) {
    let sql = format!(
        "SELECT activity, reviewer_name, reason FROM approvals WHERE approval_id = '{id}' ORDER BY time"
    );
    let mut rows = Vec::new();
    let told = eventually(|| {
        rows = world.rows(&sql);
        rows.len() == 3
    });
    assert!(told, "{rows:?}");
    let steps: Vec<_> = rows.iter().map(|it| it["activity"].as_str().unwrap()).collect();
    assert_eq!(steps, ["requested", "granted", "withdrawn"]);
    assert_eq!(rows[0]["reason"], "orders hang");
    assert_eq!(rows[1]["reviewer_name"], "Order approver");
    let sql = "SELECT activity, kind, principal_name, reason FROM revocations ORDER BY time";
    let rows = world.rows(sql);
    let step = |it: &Value| (it["activity"].clone(), it["kind"].clone(), it["reason"].clone());
    let steps: Vec<_> = rows.iter().map(step).collect();
    let want = [
        ("revoked".into(), "session".into(), "it hangs".into()),
        ("revoked".into(), "agent".into(), "its key leaked".into()),
        ("lifted".into(), Value::Null, "new key".into()),
    ];
    assert_eq!(steps, want);
    assert!(rows.iter().all(|it| it["principal_name"] == "Order approver"));
}
