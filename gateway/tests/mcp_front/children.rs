//! Servers that are children of the gateway: each process is one caller's, and whatever it does, harms nobody but whoever asked.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tallyport_schemas::{Body, Event, Phase, Response, ResponseStatus};

use crate::client::{Answer, WAYS, Way};
use crate::message::{Message, bare, legacy, modern};
use crate::servers::{at, commands, find, pins, responses};
use crate::world::World;

pub const KEY: &str = "the-gateways-own-key";

/// The folder of a child that tells there what happens to it.
pub struct Child(tempfile::TempDir);

impl Child {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// As it is configured.
    pub fn config(&self, era: &str, how: &[&str], more: &str) -> String {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mcp_front/child.py");
        let mut words =
            vec!["python3", program.to_str().unwrap(), era, self.0.path().to_str().unwrap()];
        words.extend(how);
        format!(
            "[[servers]]\nname = 'crm'\ncommand = {words:?}\nenv = {{ CRM_KEY = {{ value = '{KEY}' }} }}\n{more}"
        )
    }

    pub async fn world(&self, era: &str, more: &str) -> Arc<World> {
        started(&self.config(era, &[], more)).await
    }

    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.0.path().join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What its processes got of this method.
    pub fn seen(&self, method: &str) -> Vec<Value> {
        let all = self.lines("seen").into_iter().map(|line| serde_json::from_str(&line).unwrap());
        all.filter(|it: &Value| it["method"] == method).collect()
    }

    /// All of them, and what they started.
    pub fn pids(&self) -> Vec<u32> {
        self.lines("pids").iter().map(|pid| pid.parse().unwrap()).collect()
    }

    /// Those that run still.
    pub fn alive(&self) -> Vec<u32> {
        let runs = |pid: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
        };
        self.pids().into_iter().filter(runs).collect()
    }
}

pub async fn started(config: &str) -> Arc<World> {
    let world = World::saying(config).await;
    world.wait_for("pins", |events| pins(events) >= 2).await;
    Arc::new(world)
}

pub async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A call that has the child do this.
pub fn has(does: &str) -> Message {
    find(json!({ "do": does }))
}

/// The same at the endpoint of all.
pub fn has_at_all(does: &str) -> Message {
    modern("tools/call", json!({ "name": "crm__find", "arguments": { "do": does } }))
}

pub fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// What a call found; the last message where it came as a stream.
pub fn said(answer: &Answer) -> Value {
    let text = text(answer);
    let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back();
    let message: Value =
        serde_json::from_str(last.unwrap_or(&text)).unwrap_or_else(|_| panic!("{text}"));
    message
}

pub fn found(answer: &Answer) -> Value {
    let message = said(answer);
    assert!(message["result"]["structuredContent"].is_object(), "{message}");
    message["result"]["structuredContent"].clone()
}

/// All bytes of answers and asides on record.
pub fn recorded(events: &[Event]) -> String {
    let contents = events.iter().filter_map(|it| match &it.body {
        Body::Response(response) => match &**response {
            Response::Completed(summary) => summary.content.as_ref(),
            Response::Unsolicited { content, .. } | Response::Chunk { content, .. } => {
                content.as_ref()
            }
        },
        Body::Command(command) => command.content.as_ref(),
        _ => None,
    });
    let texts = contents.map(|it| String::from_utf8(it.replay().unwrap()).unwrap());
    texts.collect::<Vec<_>>().join("\n") + &format!("{events:?}")
}

pub async fn begin(world: &World, token: &str, capabilities: Value) -> String {
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": { "name": "c", "version": "1" } });
    let begun =
        at("/mcp/crm", legacy("initialize", params)).token(token).send(world, Way::H2).await;
    assert_eq!(said(&begun)["id"], 1, "{begun:?}");
    begun.header("mcp-session-id").to_owned()
}

pub fn within(session: &str, does: &str) -> Message {
    let call = legacy("tools/call", json!({ "name": "find", "arguments": { "do": does } }));
    at("/mcp/crm", call).and("mcp-session-id", session).and("mcp-protocol-version", "2025-11-25")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_is_asked_as_any_server_and_all_is_on_record() {
    for era in ["modern", "legacy", "both"] {
        let child = Child::new();
        let more = "masks = [{ tool = 'find', at = ['/mark'], mask = 'redact' }]\n";
        let world = child.world(era, more).await;
        let token = world.token("agent", None).await;
        let mut asked = Vec::new();
        for way in WAYS {
            if era != "legacy" {
                let call = find(json!({ "mark": "m" })).but("/id", json!("c-7")).token(&token);
                asked.push(call.send(&world, way).await);
            }
            let call =
                modern("tools/call", json!({ "name": "crm__find", "arguments": { "mark": "m" } }));
            asked.push(call.but("/id", json!("c-7")).token(&token).send(&world, way).await);
        }
        for answer in &asked {
            assert_eq!((answer.status, &said(answer)["id"]), (200, &json!("c-7")), "{answer:?}");
            assert_eq!(found(answer)["mark"], "[redacted]", "{answer:?}");
        }
        let events = world.events().await;
        let calls: Vec<_> =
            commands(&events).into_iter().filter(|it| it.phase == Phase::Call).collect();
        assert_eq!(calls.len(), asked.len());
        // What went on record is what the child got, byte for byte.
        let sent: Vec<String> =
            child.lines("seen").into_iter().filter(|it| it.contains("\"tools/call\"")).collect();
        let command = &calls[0];
        assert_eq!(
            command.statement.as_deref(),
            Some(r#"{"arguments":{"mark":"m"},"name":"find"}"#)
        );
        assert!(sent.iter().any(|line| line.len() as u64 == command.wire_bytes));
        assert!(command.definition_sha256.is_some());
        assert!(responses(&events).iter().all(|it| it.status == ResponseStatus::Ok));
        assert!(!recorded(&events).contains(KEY));
        let unknown = modern("tools/call", json!({ "name": "crm__none" })).token(&token);
        assert_eq!(
            unknown.send(&world, Way::H2).await.json()["error"]["message"],
            "Unknown tool: crm__none"
        );
        let other = world.token("other", None).await;
        let told = has("x").token(&other).send(&world, Way::H2).await.json();
        assert!(told["error"].is_object(), "policy decides about it as about any: {told}");
    }
}

/// A process has what it was given, and nothing of the gateway's own; and does not say again what it was given.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_has_its_own_environment_and_does_not_tell_its_key() {
    let child = Child::new();
    let world = child.world("modern", "").await;
    let token = world.token("agent", None).await;
    let told = found(&has("tell").token(&token).send(&world, Way::H2).await);
    assert_eq!(
        (&told["key"], &told["[redacted]"]),
        (&json!("[redacted]"), &json!("as a name")),
        "{told}"
    );
    let environment: Value = serde_json::from_str(&child.lines("environment")[0]).unwrap();
    assert_eq!(environment["CRM_KEY"], KEY, "it reaches it");
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    // What shells set by themselves is theirs.
    let passes = ["LANG", "LC_CTYPE", "PATH", "PWD", "OLDPWD", "SHLVL", "_"];
    for (name, _) in std::env::vars_os() {
        let name = name.into_string().unwrap();
        let is_shells = passes.contains(&name.as_str()) || name.starts_with("PYENV");
        assert!(is_shells || environment.get(&name).is_none(), "{name} of {environment}");
    }
    assert!(!recorded(&world.events().await).contains(KEY));
}

/// Two at once have their own processes and their own answers, though they use one id.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everybody_has_their_own_process_and_answers() {
    for era in ["modern", "legacy"] {
        let child = Child::new();
        let world = child.world(era, "").await;
        let mut calls = Vec::new();
        for name in ["agent", "writer"] {
            let token = world.token(name, None).await;
            // Each has one that runs already.
            assert!(
                found(&has_at_all("").token(&token).send(&world, Way::H2).await)["pid"].is_u64()
            );
            for number in 0..6 {
                let mark = format!("{name} {number}");
                let arguments = json!({ "do": "slow", "mark": mark });
                let call =
                    modern("tools/call", json!({ "name": "crm__find", "arguments": arguments }));
                // The same id by several clients of one principal, too: from several connections.
                let call = call.but("/id", json!(number / 2)).token(&token);
                let there = Arc::clone(&world);
                calls.push((mark, tokio::spawn(async move { call.send(&there, Way::H2).await })));
            }
        }
        let mut pids = std::collections::HashMap::<String, Vec<Value>>::new();
        for (mark, call) in calls {
            let told = found(&call.await.unwrap());
            assert_eq!(told["mark"], mark, "{era}");
            let name = mark.split(' ').next().unwrap().to_owned();
            pids.entry(name).or_default().push(told["pid"].clone());
        }
        let (one, other) = (&pids["agent"], &pids["writer"]);
        assert!(
            one.iter().all(|pid| *pid == one[0]) && other.iter().all(|pid| *pid == other[0]),
            "{pids:?}"
        );
        assert_ne!(one[0], other[0], "{era}");
    }
}

/// A session is one process: what its client offered it may ask, and with the session it ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_a_process_of_its_own() {
    let child = Child::new();
    let world = child.world("legacy", "").await;
    let token = world.token("agent", None).await;
    let (one, other) = (
        begin(&world, &token, json!({ "sampling": {} })).await,
        begin(&world, &token, json!({})).await,
    );
    let call = |session: &str, does: &str| within(session, does).token(&token);
    let first = found(&call(&one, "").send(&world, Way::H2).await)["pid"].clone();
    assert_ne!(found(&call(&other, "").send(&world, Way::H2).await)["pid"], first);
    assert!(text(&call(&one, "log").send(&world, Way::H2).await).contains("looking"));
    // What a client did not offer, it is not asked; and its server is told.
    let told = found(&call(&other, "ask").send(&world, Way::H2).await);
    assert_eq!(told["answered"], "unable", "{told}");
    let (there, asks, session) = (Arc::clone(&world), token.clone(), one.clone());
    let asking = tokio::spawn(async move {
        within(&session, "ask").but("/id", json!("q")).token(&asks).send(&there, Way::H2).await
    });
    until("the question", || {
        child
            .seen("tools/call")
            .iter()
            .filter(|it| it["params"]["arguments"]["do"] == "ask")
            .count()
            == 2
    })
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let answer = json!({ "jsonrpc": "2.0", "id": 5, "result": { "role": "assistant" } });
    let answer = within(&one, "").raw(answer.to_string()).token(&token).send(&world, Way::H2).await;
    assert_eq!(answer.status, 202);
    let asked = asking.await.unwrap();
    assert!(text(&asked).contains("sampling/createMessage"), "{asked:?}");
    assert_eq!(
        (found(&asked)["answered"]["role"].as_str(), &said(&asked)["id"]),
        (Some("assistant"), &json!("q"))
    );
    // Another's process is not reached by its session, and none by what is over.
    let writer = world.token("writer", None).await;
    assert_eq!(within(&one, "").token(&writer).send(&world, Way::H2).await.status, 404);
    let pid = u32::try_from(first.as_u64().unwrap()).unwrap();
    let end = bare(Method::DELETE, "/mcp/crm").token(&token).and("mcp-session-id", &one);
    assert_eq!(end.send(&world, Way::H2).await.status, 204);
    until("its end", || !child.alive().contains(&pid)).await;
    assert_eq!(call(&one, "").send(&world, Way::H2).await.status, 404);
    assert!(
        text(&call(&other, "die").send(&world, Way::H2).await).contains("ended before its answer")
    );
    assert_eq!(call(&other, "").send(&world, Way::H2).await.status, 404, "its client begins anew");
    assert!(!begin(&world, &token, json!({})).await.is_empty());
}

/// A client that leaves, or cancels, has its call ended at the child, by the name that the child knows it by.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_is_cancelled_at_the_child() {
    let child = Child::new();
    let world = child.world("both", "").await;
    let token = world.token("agent", None).await;
    let session = begin(&world, &token, json!({})).await;
    for (number, call) in
        [has("never"), within(&session, "never"), has_at_all("never")].into_iter().enumerate()
    {
        let (there, call) = (Arc::clone(&world), call.but("/id", json!("c-9")).token(&token));
        let call = tokio::spawn(async move { call.send(&there, Way::H1).await });
        until("the call", || child.seen("tools/call").len() == number + 1).await;
        if number == 1 {
            let mut cancels = legacy("notifications/cancelled", json!({ "requestId": "c-9" }));
            cancels.body.as_object_mut().unwrap().remove("id");
            let cancels = at("/mcp/crm", cancels)
                .and("mcp-session-id", &session)
                .and("mcp-protocol-version", "2025-11-25");
            assert_eq!(cancels.token(&token).send(&world, Way::H2).await.status, 202);
        } else {
            call.abort();
        }
        until("its end", || child.seen("notifications/cancelled").len() == number + 1).await;
        let (asked, told) =
            (&child.seen("tools/call")[number], &child.seen("notifications/cancelled")[number]);
        assert_eq!(told["params"]["requestId"], asked["id"], "{number}");
    }
}
