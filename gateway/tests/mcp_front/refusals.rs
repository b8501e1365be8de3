//! What the protocol does not permit, and what is not for this gateway, is on record, each once and with the reason.

use std::time::Duration;

use serde_json::json;
use tallyport_eventlog::faults::{Fault, FaultKind};
use tallyport_schemas::{Body, Decision, Effect, Event};

use crate::client::{WAYS, Way};
use crate::double::Double;
use crate::message::{Message, legacy, modern};
use crate::servers::{at, find, world};
use crate::world::World;

/// Decisions that refuse a message for the protocol's sake, or as one too many.
pub fn refused(events: &[Event]) -> Vec<(&Event, &Decision)> {
    let decisions = events.iter().filter_map(|it| match &it.body {
        Body::Decision(decision) => Some((it, decision)),
        _ => None,
    });
    decisions.filter(|(_, it)| it.policy_ids == ["tallyport:request"]).collect()
}

fn list() -> Message {
    modern("tools/list", json!({}))
}

fn saying(body: impl Into<String>) -> Message {
    list().raw(body.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_protocol_does_not_permit_is_on_record_once_with_its_reason() {
    let double = Double::start().await;
    let world = world(&double, "").await;
    let token = world.token("agent", None).await;
    let call = |path: &str, tool: &str| {
        at(path, modern("tools/call", json!({ "name": tool, "arguments": {} })))
    };
    let deep = format!("{}1{}", "[".repeat(9_999), "]".repeat(9_999));
    let cases = [
        ("other field", list().with("mcp-method", "tools/call"), "Mcp-Method"),
        ("other revision", list().with("mcp-protocol-version", "2025-11-25"), "rotocol"),
        ("no method", modern("tools/forget", json!({})), "Method not found"),
        ("no tool", call("/mcp", "forget"), "Unknown tool"),
        ("no tool of a server", call("/mcp/crm", "forget"), "Unknown tool"),
        ("no JSON", saying("{"), "JSON"),
        (
            "a name twice",
            saying(r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}"#),
            "",
        ),
        ("a bomb", saying(deep), ""),
        ("a type", list().with("content-type", "text/plain"), "Content-Type"),
        (
            "a session of nobody",
            at("/mcp/crm", legacy("ping", json!({}))).and("mcp-session-id", "mine"),
            "session",
        ),
        (
            "another parameter",
            find(json!({ "region": "eu" })).and("mcp-param-region", "us"),
            "Mcp-Param",
        ),
    ];
    let mut before = 0;
    for (case, message, words) in cases {
        let told = message.token(&token).send(&world, Way::H2).await;
        let error = told.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        let events = world.events().await;
        let refused = refused(&events);
        assert_eq!(refused.len(), before + 1, "{case}: {told:?}");
        before += 1;
        let (event, decision) = refused.last().unwrap();
        assert_eq!(
            (decision.effect, &decision.reasons),
            (Effect::Deny, &vec![error.clone()]),
            "{case}"
        );
        assert!(error.contains(words), "{case}: {error}");
        let principal = event.context.principal.as_ref().unwrap();
        assert_eq!(principal.subject, "agent", "{case}");
    }
    assert!(double.seen("tools/call").is_empty());
    // What is permitted, or refused by policy, is not refused once more.
    for message in [
        list(),
        find(json!({ "region": "eu" })).and("mcp-param-region", "eu"),
        call("/mcp/crm", "refund"),
    ] {
        let _told = message.token(&token).send(&world, Way::H2).await;
    }
    let other = world.token("other", None).await;
    let _told = find(json!({})).token(&other).send(&world, Way::H2).await;
    assert_eq!(refused(&world.events().await).len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_refusal_is_told_without_its_record() {
    let world = World::start().await;
    let token = world.token("agent", None).await;
    let forget = || modern("tools/forget", json!({})).token(&token);
    for kind in [FaultKind::Refuse, FaultKind::Unknown, FaultKind::Hang] {
        for persisted in [true, false] {
            let case = format!("{kind:?}, persisted {persisted}");
            // It recovers without a restart.
            let told = forget().send(&world, Way::H2).await;
            assert_eq!(told.code(), -32601, "{case}: {told:?}");
            world.settled().await;
            // The check of the token passes; the decision does not.
            world.faults.set(Fault::once(FaultKind::Delay(Duration::ZERO), true));
            world.faults.set(Fault::once(kind, persisted));
            let told = forget().send(&world, Way::H2).await;
            assert_eq!(told.status, 503, "{case}: {told:?}");
            assert!(!format!("{told:?}").contains("Method not found"), "{case}: {told:?}");
            world.faults.release_hung();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_for_other_hosts_and_of_other_pages_are_counted_on_record() {
    let world = World::start().await;
    for way in WAYS {
        let told = list().to("evil.example").send(&world, way).await;
        assert_eq!(told.status, 403);
        let told = list().and("origin", "https://evil.example").send(&world, way).await;
        assert_eq!(told.status, 403);
    }
    // The last counts go on record at the end.
    world.gateway.shutdown(Duration::ZERO).await;
    let events = world.events().await;
    for code in ["foreign_host", "foreign_origin"] {
        let counted = events.iter().filter_map(|it| match &it.body {
            Body::Authentication(it) => {
                it.failure.as_deref().filter(|it| *it == code).map(|_| &it.message)
            }
            _ => None,
        });
        assert!(counted.count() >= 1, "{code}");
    }
}

/// How often one of them may ask is told to each alone, and on record as a decision.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_a_server_too_often_waits_and_nobody_else() {
    let double = Double::start().await;
    let world = world(&double, "limits = { requests_per_minute = 3 }").await;
    let (agent, writer) = (world.token("agent", None).await, world.token("writer", None).await);
    let call = async |token: &str| find(json!({})).token(token).send(&world, Way::H2).await.json();
    for _ in 0..3 {
        assert_eq!(call(&agent).await["result"]["isError"], false);
    }
    let before = double.all().len();
    let told = call(&agent).await.to_string();
    assert!(told.contains("try again in"), "{told}");
    assert_eq!(double.all().len(), before, "the server has seen it");
    assert_eq!(call(&writer).await["result"]["isError"], false);
    let events = world.events().await;
    let limited = events.iter().filter(|it| {
        matches!(&it.body, Body::Decision(it) if it.effect == Effect::Deny && it.policy_ids == ["tallyport:limit"])
    });
    assert_eq!(limited.count(), 1);
}

/// To ask to hear of a resource tells whether it changes: what policy says of that is on record as of a read.
#[tokio::test(flavor = "multi_thread")]
async fn to_listen_to_what_one_may_not_read_is_a_denied_decision() {
    let double = Double::start().await;
    let world = world(&double, "").await;
    let token = world.token("agent", None).await;
    let uris = json!({ "notifications": { "resourceSubscriptions": ["file:///pub/a", "file:///secret/x"] } });
    let asked = at("/mcp/crm", modern("subscriptions/listen", uris)).token(&token);
    let told = asked.send(&world, Way::H2).await;
    let told = String::from_utf8(told.body.to_vec()).unwrap();
    assert!(told.contains("error") && !told.contains("\"result\""), "{told}");
    assert!(double.seen("subscriptions/listen").is_empty());
    let decision = world.decisions().await.pop().unwrap();
    assert_eq!(decision.policy_ids, ["secret"], "{decision:?}");
    let resources = format!("{:?}", decision.resources);
    assert!(resources.contains("secret%2Fx"), "{resources}");
}
